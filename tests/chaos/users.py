"""Users of both databases, busy through every fault, and the model: what must be there when all has come to rest.

Every transaction of a user leaves its number in a table `done` beside what it writes, so that it is known afterwards which have
committed, also those whose answer was lost with the connection, and when: `latest` goes by the time of the commit. The model
is that list in the order of commits, in plain Python.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from replicator.model.stamp import time_of
from tests.two_way.pair_of_nodes import Pair

CRM = """
CREATE TABLE done (id text PRIMARY KEY, xid xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE SCHEMA crm;
CREATE TABLE crm.account (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tag text NOT NULL UNIQUE,
    name text CHECK (name NOT LIKE 'forbidden%'), city text, visits integer NOT NULL, credit integer NOT NULL DEFAULT 0, code text);
CREATE TABLE crm.contact (id bigserial PRIMARY KEY, account_id uuid NOT NULL REFERENCES crm.account, name text NOT NULL);
CREATE INDEX ON crm.contact (account_id);
"""
ERP = """
CREATE TABLE done (id text PRIMARY KEY, xid xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE SCHEMA erp;
CREATE SEQUENCE erp.code;
CREATE TABLE erp.customer (no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tag text NOT NULL UNIQUE, company varchar(40),
    town text, calls integer NOT NULL, credit integer NOT NULL DEFAULT 100, code text NOT NULL DEFAULT 'C-' || nextval('erp.code'));
CREATE TABLE erp.person (pid serial PRIMARY KEY, customer_no integer NOT NULL REFERENCES erp.customer, full_name text NOT NULL);
CREATE INDEX ON erp.person (customer_no);
"""
LINKS = {
    "customer": """
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
fields:
  - {crm: tag, erp: tag}
  - {crm: name, erp: company}
  - {crm: city, erp: town}
  - {crm: visits, erp: calls, rule: delta}
  - {crm: credit, erp: credit, rule: erp}
  - {crm: code, erp: code, to: crm}
""",
    "contact": """
link: contact
crm: {table: crm.contact, key: id}
erp: {table: erp.person, key: pid}
fields:
  - {crm: account_id, erp: customer_no, link: customer}
  - {crm: name, erp: full_name}
""",
}
COLUMNS = {
    "crm": {"name": "name", "city": "city", "visits": "visits", "credit": "credit"},
    "erp": {"name": "company", "city": "town", "visits": "calls", "credit": "credit"},
}
TABLES = {"crm": ("crm.account", "id", "crm.contact", "account_id", "name")}
TABLES["erp"] = ("erp.customer", "no", "erp.person", "customer_no", "full_name")
BAD = {"crm": "much too long for the other side, " * 2, "erp": "forbidden on the other side"}
PAUSE_SECONDS = 0.12  # at most, between two transactions of a user: no more than a daemon that is always disturbed keeps up with
HOT = 200  # records, the newest, that users work on
LARGE = 250  # records of a large transaction

Edit = tuple[str, str, Any]  # tag, field, value; fields also `made`, `deleted`, `contact`


@dataclass
class Done:
    """A transaction of a user's. `sure`: the server has said that it is committed."""

    id: str
    node: str
    edits: list[Edit]
    sure: bool = False


@dataclass
class Known:
    """A record as it must be. `bad`: the node whose user wrote the name, if the other side refuses it."""

    made_on: str
    values: dict[str, Any]
    contacts: list[str] = field(default_factory=list)
    alive: bool = True
    bad: str | None = None


class Users:
    """`each` of them on each side, busy until stopped."""

    def __init__(self, pair: Pair, seed: int, each: int = 2) -> None:
        self._pair, self._stop = pair, threading.Event()
        self._lock = threading.Lock()
        self.done: list[Done] = []
        self._tags: list[str] = []  # may be edited
        self._mortal: list[str] = []  # may be deleted: they have no contacts, and never a bad name
        self.failures: list[BaseException] = []
        names = [(node, f"{node}{number}") for node in ("crm", "erp") for number in range(each)]
        self._threads = [threading.Thread(target=self._work, args=(*name, seed), name=f"user {name[1]}") for name in names]

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, node: str, name: str, seed: int) -> None:
        r, number = random.Random(f"{seed} {name}"), 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._pair.environ[f"{node.upper()}_DSN"], autocommit=True) as connection:
                    while not self._stop.is_set():
                        number += 1
                        self._transaction(r, node, f"{name}-{number}", connection)
                        time.sleep(r.random() * PAUSE_SECONDS)
            except psycopg.OperationalError:
                time.sleep(0.05)  # its server is away: a user tries again
            except BaseException as error:  # noqa: BLE001 - the test looks at them
                self.failures.append(error)
                return

    def _transaction(self, r: random.Random, node: str, name: str, connection: psycopg.Connection) -> None:
        try:
            with connection.transaction():
                connection.execute("INSERT INTO done (id) VALUES (%s)", (name,))
                edits, tags, mortal = self._act(r, node, name, connection)
                done = Done(name, node, edits)
                with self._lock:
                    self.done.append(done)
            done.sure = True
        except psycopg.OperationalError:  # a deadlock, a lock that is not to be had: the user gives this one up
            if connection.closed:
                raise
            return
        with self._lock:
            self._tags += tags
            self._mortal += mortal

    def _act(
        self, r: random.Random, node: str, name: str, connection: psycopg.Connection
    ) -> tuple[list[Edit], list[str], list[str]]:
        """One thing that a user does: edits, and records that others may work on, or delete, from now on."""
        dice = r.random()
        if dice < 0.25 or not self._tags:
            bad = r.random() < 0.03
            return self._make(r, node, f"t-{name}", connection, bad=bad), [f"t-{name}"], []
        if dice < 0.30:
            tag = f"m-{name}"
            return self._make(r, node, tag, connection, contact=False), [], [tag]
        if dice < 0.305:
            made = [self._make(r, node, f"l-{name}-{i}", connection, contact=i % 9 == 0) for i in range(LARGE)]
            return [edit for some in made for edit in some], [f"l-{name}-{LARGE - 1}"], []
        with self._lock:
            mortal, tags = self._mortal[-HOT:], self._tags[-HOT:]
        if dice < 0.34 and mortal:
            return self._delete(node, r.choice(mortal), connection), [], []
        some = r.sample(tags, min(len(tags), r.choice((1, 1, 1, 2, 3))))
        return [edit for tag in some for edit in self._edit(r, node, tag, connection)], [], []

    def _make(
        self, r: random.Random, node: str, tag: str, connection: psycopg.Connection, bad: bool = False, contact: bool = True
    ) -> list[Edit]:
        table, key, people, reference, person = TABLES[node]
        values = {
            "name": f"{BAD[node]} {r.getrandbits(30)}" if bad else f"hush {tag}",
            "city": f"hush {tag}",
            "visits": r.randrange(100),
            "credit": 5,
        }
        names = ", ".join(["tag", *(COLUMNS[node][f] for f in values)])
        sql = f"INSERT INTO {table} ({names}) VALUES (%s, %s, %s, %s, %s) RETURNING {key}"
        row = connection.execute(sql, (tag, *values.values())).fetchone()  # type: ignore[arg-type]
        assert row is not None
        edits: list[Edit] = [(tag, "made", values)]
        if contact:
            connection.execute(f"INSERT INTO {people} ({reference}, {person}) VALUES (%s, %s)", (row[0], f"of {tag}"))  # type: ignore[arg-type]
            edits.append((tag, "contact", f"of {tag}"))
        return edits

    def _edit(self, r: random.Random, node: str, tag: str, connection: psycopg.Connection) -> list[Edit]:
        name = r.choice(("name", "city", "city", "visits", "credit"))
        value: Any = r.randint(-5, 20) if name in ("visits", "credit") else f"hush {tag} {r.getrandbits(40)}"
        if name == "name" and r.random() < 0.04:
            value = f"{BAD[node]} {r.getrandbits(30)}"  # no value comes twice: what is equal is no edit
        column = COLUMNS[node][name]
        new = f"{column} + %s" if name == "visits" else "%s"
        sql = f"UPDATE {TABLES[node][0]} SET {column} = {new} WHERE tag = %s"
        found = connection.execute(sql, (value, tag)).rowcount  # type: ignore[arg-type]
        return [(tag, name, value)] if found else []

    def _delete(self, node: str, tag: str, connection: psycopg.Connection) -> list[Edit]:
        found = connection.execute(f"DELETE FROM {TABLES[node][0]} WHERE tag = %s", (tag,)).rowcount  # type: ignore[arg-type]
        return [(tag, "deleted", None)] if found else []

    # -- what must be there

    def _when(self) -> dict[tuple[str, str], datetime]:
        """When the transactions have committed that are there: (node, its name) -> the time."""
        return {
            (node, name): at
            for node in ("crm", "erp")
            for name, at in self._pair.rows(node, "SELECT id, pg_xact_commit_timestamp(xid::xid) FROM done")
        }

    def history(self, tag: str) -> list[str]:
        """What users did to a record, and what was written over for it, in the order of stamps: for whoever asks why."""
        when = self._when()
        found = [
            (when[done.node, done.id], f"{done.node} {name} {value}")
            for done in self.done
            for of, name, value in done.edits
            if of == tag and (done.node, done.id) in when
        ]
        for node in ("crm", "erp"):
            table, key = TABLES[node][:2]
            sql = f"""SELECT stamp, fields, lsn, source_lsn, l.xmin FROM replicator.ledger_customer l
                WHERE {node}_{key} = (SELECT {key} FROM {table} WHERE tag = %s)"""
            found += [(time_of(row[0]), f"ledger of {node} {row}") for row in self._pair.rows(node, sql, (tag,))]
        return [f"    {at.time()} {text}" for at, text in sorted(found)]

    def known(self) -> dict[str, Known]:
        """Tag -> the record as it must be. An AssertionError if a commit that a server has confirmed is not there."""
        when = self._when()
        gone = [done.id for done in self.done if done.sure and (done.node, done.id) not in when]
        assert not gone, f"confirmed by the server, and not there: {gone}"
        committed = [done for done in self.done if (done.node, done.id) in when]
        committed.sort(key=lambda done: when[done.node, done.id])
        found: dict[str, Known] = {}
        # A record is made before anybody can edit it, but the other side's clock may be read before: makers first.
        for done in committed:
            for tag, name, value in done.edits:
                if name == "made":
                    credit = {"credit": 100} if done.node == "crm" else {}  # the ERP's default: it owns the field
                    found[tag] = Known(done.node, {**value, **credit}, bad=_bad(done.node, value["name"]))
        for done in committed:
            for tag, name, value in done.edits:
                _apply(found[tag], done.node, name, value)
        return found


def _bad(node: str, name: str) -> str | None:
    return node if name.startswith(BAD[node]) else None


def _apply(record: Known, node: str, name: str, value: Any) -> None:
    if name == "contact":
        record.contacts.append(value)
    elif name == "deleted":
        record.alive = False
    elif name == "visits":
        record.values[name] += value
    elif name == "name":
        record.values[name], record.bad = value, _bad(node, value)
    elif name == "city" or (name == "credit" and node == "erp"):
        record.values[name] = value


# -- what is there


@dataclass
class Found:
    """One side. `contacts`: tag -> names; `parked`: what is parked on its way from there, (link, tag)."""

    records: dict[str, dict[str, Any]]
    codes: dict[str, str | None]
    contacts: dict[str, list[str]]
    parked: set[tuple[str, str]]
    keys: dict[str, str]


def found_on(pair: Pair, node: str) -> Found:
    table, key, people, reference, person = TABLES[node]
    names, number = COLUMNS[node], "id" if node == "crm" else "pid"
    connection = pair.crm if node == "crm" else pair.erp
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rows = pair.rows(node, f"SELECT tag, code, {key}::text, {', '.join(names.values())} FROM {table}")
        belonging = pair.rows(node, f"SELECT {number}::text, {reference}::text, {person} FROM {people}")
    tags = {row[2]: row[0] for row in rows}
    contacts: dict[str, list[str]] = {}
    for _, of, name in belonging:
        contacts.setdefault(tags[of], []).append(name)
    named = {"customer": tags, "contact": {one: tags[of] for one, of, _ in belonging}}
    other = "erp" if node == "crm" else "crm"
    waiting = pair.rows(other, "SELECT link, key[1] FROM replicator.parked WHERE flow = %s", (f"{node}_to_{other}",))
    parked = {(link, named[link].get(at, f"that is gone, {at}")) for link, at in waiting}
    records = {row[0]: dict(zip(names, row[3:], strict=True)) for row in rows}
    return Found(records, {row[0]: row[1] for row in rows}, contacts, parked, {row[0]: row[2] for row in rows})


def wrong(pair: Pair, known: dict[str, Known], first: int = 10) -> list[str]:
    """What is not as it must be, at most the first few; nothing once all has arrived."""
    lines: list[str] = []
    sides = {node: found_on(pair, node) for node in ("crm", "erp")}
    crm, erp = sides["crm"], sides["erp"]
    lines += [f"{tag} is nobody's" for tag in sorted((crm.records.keys() | erp.records.keys()) - known.keys())]
    parked: set[tuple[str, str, str]] = set()
    for tag, record in known.items():
        if not record.alive:
            lines += [f"{tag}: was deleted and is on {node}" for node, side in sides.items() if tag in side.records]
            continue
        there = sides["erp" if record.made_on == "crm" else "crm"]
        if record.bad is not None:
            parked.add((record.bad, "customer", tag))
            if sides[record.bad].records.get(tag, {}).get("name") != record.values["name"]:
                lines.append(f"{tag}: the bad name has gone from {record.bad}")
            if (record.bad, "customer", tag) not in {(node, *one) for node, side in sides.items() for one in side.parked}:
                lines.append(f"{tag}: bad since {record.bad} wrote it: {[side.records.get(tag) for side in (crm, erp)]}")
            if tag not in there.records:  # it was never good, or came late: what belongs to it waits
                parked |= {(record.made_on, "contact", tag) for _ in record.contacts[:1]}
            continue
        for node, side in sides.items():
            if side.records.get(tag) != record.values:
                lines.append(f"{tag}: {node} has {side.records.get(tag)}, must be {record.values}")
            if sorted(side.contacts.get(tag, [])) != sorted(record.contacts):
                lines.append(f"{tag}: {node} has contacts {side.contacts.get(tag)}, must be {record.contacts}")
        if crm.codes.get(tag) != erp.codes.get(tag):
            lines.append(f"{tag}: codes {crm.codes.get(tag)} and {erp.codes.get(tag)}")
    really = {(node, *one) for node, side in sides.items() for one in side.parked}
    lines += [f"parked from {node}: {link} {tag}, which nobody refuses" for node, link, tag in sorted(really - parked)]
    lines += [f"neither applied nor parked from {node}: {link} {tag}" for node, link, tag in sorted(parked - really)]
    pairs = sorted((crm.keys[tag], erp.keys[tag]) for tag in crm.keys.keys() & erp.keys.keys())
    for node in sides:
        rows = sorted(pair.rows(node, "SELECT crm_id::text, erp_no::text FROM replicator.crosswalk_customer"))
        if rows != pairs:
            lines.append(f"{node}: pairs {sorted(set(rows) ^ set(pairs))[:4]} differ, {len(rows)} and {len(pairs)}")
    return lines[:first]


def until(what: Callable[[], list[str]], seconds: float) -> list[str]:
    """Waits until there is nothing; what there still is when the time is over."""
    end = time.monotonic() + seconds
    while (left := what()) and time.monotonic() < end:
        time.sleep(1.0)
    return left
