"""Histories on two real databases: users' actions on many records at a time, which share stalls, batches, crashes and clocks."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from tests.two_way.pair_of_nodes import Pair
from tests.two_way.rules_judge import edits_of, judge
from tests.two_way.rules_model import NODES, met
from tests.two_way.rules_records import (
    COLUMNS,
    ON_ERP,
    RULES,
    STAGES,
    TABLES,
    Change,
    Record,
    fields,
)

HISTORIES = int(os.environ.get("REPLICATOR_HISTORIES", "600"))
LONG = "REPLICATOR_HISTORIES" in os.environ
SEED = int(os.environ.get("REPLICATOR_SEED", "0"))
RECORD = os.environ.get("REPLICATOR_RECORD")
RECORDS = 40  # of one random run
SIZES = (2, 7, 20000)  # of batches

BROKEN = frozenset({"score"})  # where both may key a record in: test_a_merge_of_a_record_both_keyed_in_...
RISE_AGAIN = ("product",)  # records with deletes, until the three tests of `update_deleted: update` below hold

LSN = "(pg_current_wal_insert_lsn() - '0/0')::bigint"


class Run:
    """Everything follows from the seed, except how much of the WAL a step finds."""

    def __init__(self, pair: Pair, seed: int, records: int = RECORDS, links: Sequence[str] = tuple(TABLES)) -> None:
        self.pair, self.seed, self.random = pair, seed, random.Random(seed)
        self.records: list[Record] = []
        self.kinds: set[str] = set()
        self.columns: Sequence[str] = ()  # those that every update writes; none: some at random
        for i in range(records):
            r = random.Random(f"{seed}-{i}")
            link = r.choice(links)
            self.records.append(Record(f"{seed}-{i}", link, r, r.random() < 0.25, uuid.UUID(int=r.getrandbits(128))))
        self.transaction: dict[str, list[tuple[Record, Change]]] | None = None

    def say(self, text: str) -> None:
        for record in self.records:
            record.log.append(text)

    # -- what users do

    def execute(self, record: Record, node: str, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        crm, erp, _ = TABLES[record.link]
        table, key, tag = (f"crm.{crm}", "id", "tag") if node == "crm" else (f"erp.{erp}", "no", "code")
        return self.pair.rows(node, sql.format(table=table, key=key, tag=tag), params)

    def names(self, node: str, columns: Sequence[str], prefix: str = "") -> list[str]:
        return [prefix + (column if node == "crm" else ON_ERP[column]) for column in columns]

    def inserted(self, record: Record, node: str, again: bool = False) -> None:
        values = {column: record.value(column) for column in COLUMNS}
        values |= {"visits": record.random.randrange(100), "credit": 0 if node == "crm" else values["credit"]}
        row = [STAGES[v] if c == "stage" and node == "erp" else v for c, v in values.items()]
        columns = ", ".join(["{tag}", *self.names(node, COLUMNS), *(["id"] if node == "crm" else [])])
        sql = f"INSERT INTO {{table}} ({columns}) VALUES ({', '.join(['%s'] * (len(row) + 1 + (node == 'crm')))})"
        if again:  # under a new key now and then
            record.id = record.id if record.random.random() < 0.5 else uuid.UUID(int=record.random.getrandbits(128))
        done = self.execute(
            record, node, f"{sql} RETURNING {{key}}::text, {LSN}", [record.name, *row, *([record.id] if node == "crm" else [])]
        )
        self.changed(record, Change(node, "insert", {}, fields([values[c] for c in COLUMNS]), done[0][1]), done[0][0])

    def updated(self, record: Record, node: str) -> None:
        r = record.random
        columns = self.columns or r.sample(COLUMNS, r.randint(1, 3))
        sets, params = [], []
        for column, name in zip(columns, self.names(node, columns), strict=True):
            if column == "visits":
                sets.append(f"{name} = t.{name} + %s")
                params.append(r.randint(-50, 100))
            else:
                sets.append(f"{name} = %s")
                value = record.value(column)
                params.append(STAGES[value] if column == "stage" and node == "erp" else value)
        returned = [*self.names(node, COLUMNS, "o."), *self.names(node, COLUMNS, "t.")]
        sql = (
            f"WITH o AS MATERIALIZED (SELECT * FROM {{table}} WHERE {{tag}} = %s FOR UPDATE) UPDATE {{table}} t SET {', '.join(sets)}"
            f" FROM o WHERE t.{{key}} = o.{{key}} RETURNING t.{{key}}::text, {LSN}, {', '.join(returned)}"
        )
        for key, lsn, *row in self.execute(record, node, sql, [record.name, *params]):
            before, after = fields(row[: len(COLUMNS)]), fields(row[len(COLUMNS) :])
            self.changed(record, Change(node, "update", before, after, lsn), key)

    def deleted(self, record: Record, node: str) -> bool:
        sql = f"DELETE FROM {{table}} WHERE {{tag}} = %s RETURNING {{key}}::text, {LSN}, {', '.join(self.names(node, COLUMNS))}"
        done = self.execute(record, node, sql, [record.name])
        known = self.pair.rows(node, "SELECT max(lsn - '0/0')::bigint FROM replicator.checkpoint")[0][0]
        for key, lsn, *row in done:
            self.changed(record, Change(node, "delete", fields(row), {}, lsn, known), key)
        return bool(done)

    def changed(self, record: Record, change: Change, key: str) -> None:
        record.keys.add(key)
        if self.transaction is not None:
            self.transaction[change.node].append((record, change))
        else:
            self.committed(record, change)

    def committed(self, record: Record, change: Change) -> None:
        new = {c: v for c, v in change.after.items() if change.before.get(c) != v} if change.kind != "delete" else ""
        record.log.append(f"  {change.kind} {change.node} {new} at {change.lsn:X}")
        record.changes.append(change)

    def act(self, record: Record) -> None:
        """One thing that one user does to this record."""
        r = record.random
        node = r.choice(NODES)
        if not record.changes:
            both = r.random() < 0.3
            for maker in r.sample(NODES, 2 if both else 1):
                self.inserted(record, maker)
            return
        dice = r.random()
        if record.mortal and dice < 0.25 and record.link not in RISE_AGAIN:
            if self.deleted(record, node) and r.random() < 0.3:
                self.inserted(record, node, again=True)
        elif dice < 0.45 and self.transaction is None:
            with self.connection(node).transaction():
                self.transaction = defaultdict(list)
                for _ in range(r.randint(2, 3)):
                    self.updated(record, node)
            self.flush()
        else:
            self.updated(record, node)

    def connection(self, node: str) -> Any:
        return self.pair.crm if node == "crm" else self.pair.erp

    def flush(self, nodes: Sequence[str] = NODES) -> None:
        """The transactions have committed, in this order; what one did to a field of a record is one edit."""
        changes, self.transaction = self.transaction or {}, None
        for node in nodes:
            for record, change in changes.get(node, []):
                last = record.changes[-1] if record.changes else None
                if change.kind == "update" and last and last.kind != "delete" and any(last is c for _, c in changes[node]):
                    last.after = change.after
                    last.wrote |= change.wrote
                    record.log.append(f"    and {change.after}")
                else:
                    self.committed(record, change)

    # -- a run

    def play(self) -> None:
        r = self.random
        weather: tuple[int | None, ...] = (0, 1, None)
        early = r.random() < 0.5
        for number in range(r.randint(6, 14)):
            if number == 1 and early:
                self.settle()
            busy = r.random() * 0.6 + 0.1
            here = [record for record in self.records if record.random.random() < busy or not record.changes]
            if r.random() < 0.3:  # large transactions, open side by side
                order = r.sample(NODES, 2)
                with ExitStack() as outer:
                    for node in reversed(order):
                        outer.enter_context(self.connection(node).transaction())
                    self.transaction = defaultdict(list)
                    for record in here:
                        self.act(record)
                self.flush(order)
            else:
                for record in here:
                    self.act(record)
            if r.random() < 0.3:  # one direction stands still for a while, or both do
                weather = r.choice(((0, 1, None), (0,), (1,), (), (0, 1)))
            if r.random() < 0.1:
                self.pair.crash()
                self.say("crash")
            elif r.random() < 0.2 and self.pair.failpoint.calls is None:
                self.pair.failpoint.calls, self.pair.failpoint.after = r.randint(1, 80), r.random() < 0.5
            for _ in range(r.randint(1, 3) if weather else 0):
                self.step(r.choice(weather), r.choice(SIZES))
        self.pair.settle()

    def step(self, flow: int | None, rows: int) -> None:
        failpoint = self.pair.failpoint
        for one in self.pair.exchange.flows:
            one._batch_rows = rows
        armed = failpoint.calls is not None
        steps = self.pair.turn(flow)
        while flow is not None and self.pair.opened is not None and self.pair.exchange.flows[flow].open:  # a large transaction
            steps += self.pair.turn(flow)
        done = [f"{step.flow} {step.batch.rows}" for step in steps]
        self.say(
            f"step {flow} of {rows} rows: {done}" + (f" crash at {failpoint.hit}" if armed and failpoint.calls is None else "")
        )
        time.sleep(0.001)  # lets the servers send

    def short(self, slots: Sequence[Sequence[str]], flows: Sequence[str]) -> None:
        """Per record what users do in each slot (letters of ACTIONS), and what the flows do after each."""
        for i, steps in enumerate([*flows, ""]):
            for record, slot in zip(self.records, slots, strict=True):
                for action in slot[i] if i < len(slot) else "":
                    node, kind = ACTIONS[action]
                    getattr(self, kind)(record, node)
            for step in steps:
                if step == "x":
                    self.pair.crash()
                elif step == "*":
                    self.settle()
                else:
                    self.until(int(step))
                self.say(f"flow {step}")
        self.pair.settle()

    def settle(self) -> None:
        self.pair.settle()
        for record in self.records:
            record.settled = record.settled or len(record.changes) == 1

    def until(self, flow: int) -> None:
        """A step of the flow, if there is anything for it to do."""
        for _ in range(25):
            if self.pair.turn(flow):
                return
            self.pair.exchange.wait(0.02)

    # -- how it must end

    def verdict(self, apart: bool = False, skip: frozenset[str] = frozenset()) -> dict[str, list[str]]:
        """Per record what is not as it must be."""
        rows = {node: self.rows(node) for node in NODES}
        logged = self.logged()
        parked = [(link, key, f"is parked: {reason} {message}") for _, link, key, reason, _, message in self.pair.parked()]
        found = {}
        for record in self.records:
            ends = {node: rows[node].get((record.link, record.name), []) for node in NODES}
            log = [row for key in sorted(record.keys) for row in logged.get((record.link, key), [])]
            log = [row for i, row in enumerate(log) if row not in log[:i]]
            lines = [line for line in judge(record, ends, log, apart) if line.split()[0].strip(":") not in skip]
            stuck = [text for link, key, text in parked if link == record.link and record.keys & {*key}]
            lines += [text for text in stuck if not any("flips" in text and f" in {name} " in text for name in skip)]
            if lines:
                found[record.name] = [
                    f"link {record.link}, keys {sorted(record.keys)}",
                    *lines,
                    *("  " + " ".join(f"{k}={v}" for k, v in row.items()) for row in log),
                    *record.log,
                ]
        return found

    def rows(self, node: str) -> dict[tuple[str, str], list[tuple[str, dict[str, Any]]]]:
        found = defaultdict(list)
        for link, (crm, erp, _) in TABLES.items():
            table, key, tag = (f"crm.{crm}", "id", "tag") if node == "crm" else (f"erp.{erp}", "no", "code")
            sql = f"SELECT {tag}, {key}::text, {', '.join(self.names(node, COLUMNS))} FROM {table} WHERE {tag} LIKE %s"
            for name, key, *row in self.pair.rows(node, sql, (f"{self.seed}-%",)):
                found[link, name].append((key, fields(row)))
        for record in self.records:
            record.keys |= {key for key, _ in found.get((record.link, record.name), [])}
        return found

    def logged(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        names = (
            "link",
            "kind",
            "field",
            "incoming",
            "existing",
            "written",
            "winner",
            "rule",
            "status",
            "source_key",
            "target_key",
        )
        found = defaultdict(list)
        for node in NODES:
            for row in self.pair.rows(node, f"SELECT {', '.join(names)} FROM replicator.conflict"):
                one = {"node": node, **dict(zip(names, row, strict=True))}
                self.kinds.add(one["kind"])
                for key in {one["source_key"], one["target_key"]} - {None}:
                    found[one["link"], key].append(one)
            self.connection(node).execute("DELETE FROM replicator.conflict")
        return found


@dataclass
class Tally:
    """Histories played; of each rule those in which edits met that did not know of each other."""

    histories: int = 0
    played: Counter[str] = field(default_factory=Counter)
    kinds: set[str] = field(default_factory=set)  # of conflicts, as the log names them

    def __str__(self) -> str:
        return f"{self.histories} histories; " + ", ".join(f"{number} {what}" for what, number in sorted(self.played.items()))

    def count(self, run: Run) -> None:
        self.kinds |= run.kinds
        for record in run.records:
            self.histories += 1
            if any(change.kind == "delete" for change in record.changes):
                self.played[f"with deletes, {TABLES[record.link][2]} wins"] += 1
                continue
            for name, rule in RULES.items():
                edits = edits_of(record, name)
                if any(a.node != b.node and met(edits, a, b) for i, a in enumerate(edits) for b in edits[i + 1 :]):
                    self.played[f"{name} ({rule})"] += 1


ACTIONS = {
    "i": ("crm", "inserted"), "I": ("erp", "inserted"), "c": ("crm", "updated"), "e": ("erp", "updated"),
    "d": ("crm", "deleted"), "D": ("erp", "deleted"),
}  # fmt: skip


def check(run: Run, tally: Tally, apart: bool = False, skip: frozenset[str] = BROKEN) -> None:
    found = run.verdict(apart, skip)
    tally.count(run)
    assert not found, f"seed {run.seed}: {len(found)} of {len(run.records)} histories\n" + "\n\n".join(
        f"record {name}:\n" + "\n".join(lines) for name, lines in list(found.items())[:2]
    )


def every_short(starts: Sequence[str], acts: str, length: int, steps: str, first: str = "") -> Iterator[tuple[Any, Any]]:
    """All slots of all records, with one pattern of steps after the other. In CI only as many patterns as there is time for."""
    slots = [[start, *middle] for start in starts for middle in product(acts.split(","), repeat=length)]
    patterns = list(product(steps.split(), repeat=length))
    for pattern in patterns if LONG else random.Random(SEED).sample(patterns, min(len(patterns), 10)):
        yield slots, [*([first] if first else []), *pattern]


def play_short(
    pair: Pair, histories: Iterator[tuple[Any, Any]], seed: int, skip: frozenset[str] = BROKEN, links: Sequence[str] = tuple(TABLES),
    columns: Sequence[str] = COLUMNS, tally: Tally | None = None,
) -> Tally:  # fmt: skip
    tally = tally or Tally()
    for number, (slots, flows) in enumerate(histories):
        run = Run(pair, seed + number, len(slots), links)
        run.columns = columns
        run.say(f"steps {flows}")
        run.short(slots, flows)
        check(run, tally, skip=skip)
    return tally


def play(pair: Pair, histories: int, first: int, apart: bool = False, tally: Tally | None = None) -> Tally:
    tally = tally or Tally()
    seed, upto = first, tally.histories + histories
    while tally.histories < upto:
        run = Run(pair, seed)
        if RECORD:
            run.records = [record for record in run.records if record.name == f"{seed}-{RECORD}"]
        run.play()
        check(run, tally, apart)
        seed += 1
    return tally
