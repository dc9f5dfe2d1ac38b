"""Four traps of deciding which of two edits is newer. Each is shown to be there, in the server's own commit times, and not
to catch us; with either direction first, and with the daemon dying in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.account (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tag text NOT NULL, name text, city text);
"""
ERP = """
CREATE SCHEMA erp;
CREATE TABLE erp.customer (no integer GENERATED ALWAYS AS IDENTITY (START 1000) PRIMARY KEY, code text NOT NULL, company varchar(80), town text);
"""
LINKS = {
    "customer": """
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
fields:
  - {crm: tag, erp: code}
  - {crm: name, erp: company}
  - {crm: city, erp: town}
"""
}


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("traps")
    with linked(server, folder, "traps", CRM, ERP, LINKS) as found:
        yield found


@pytest.fixture(params=[False, True], ids=["", "killed"])
def dies(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def made(pair: Pair, *tags: str) -> None:
    for tag in tags:
        pair.crm.execute("INSERT INTO crm.account (tag, name, city) VALUES (%s, 'old', 'old')", (tag,))
    pair.settle()


def crm(pair: Pair, tag: str, sets: str) -> None:
    assert pair.crm.execute(f"UPDATE crm.account SET {sets} WHERE tag = '{tag}'").rowcount == 1  # type: ignore[call-overload]


def erp(pair: Pair, tag: str, sets: str) -> None:
    assert pair.erp.execute(f"UPDATE erp.customer SET {sets} WHERE code = '{tag}'").rowcount == 1  # type: ignore[call-overload]


def until(pair: Pair, flow: int, dies: bool) -> Any:
    while not (steps := pair.turn(flow)):
        pair.exchange.wait(0.02)
    if dies:
        pair.crash()
    return steps


def stand(pair: Pair, tag: str) -> tuple[Any, Any]:
    return (
        pair.rows("crm", "SELECT name, city FROM crm.account WHERE tag = %s", (tag,))[0],
        pair.rows("erp", "SELECT company, town FROM erp.customer WHERE code = %s", (tag,))[0],
    )


def row_time(pair: Pair, node: str, tag: str) -> Any:
    """When the transaction that wrote this row last committed."""
    sql = "SELECT pg_xact_commit_timestamp(xmin) FROM " + (
        "crm.account WHERE tag = %s" if node == "crm" else "erp.customer WHERE code = %s"
    )
    return pair.rows(node, sql, (tag,))[0][0]


def logged(pair: Pair) -> set[tuple[Any, ...]]:
    """What met, and who won."""
    rows = [
        row
        for node in ("crm", "erp")
        for row in pair.rows(node, "SELECT field, incoming, existing, winner FROM replicator.conflict")
    ]
    for connection in (pair.crm, pair.erp):
        connection.execute("DELETE FROM replicator.conflict")
    return {(name, frozenset((a, b)), winner) for name, a, b, winner in rows}


def test_the_time_of_an_apply_transaction_says_nothing_about_its_rows(pair: Pair, dies: bool) -> None:
    """One transaction on the ERP brings many of the CRM's. Its time is the same for all their rows, and later than every edit
    of the ERP's users, of which each second one is the newer."""
    tags = [f"many {dies} {number}" for number in range(20)]
    made(pair, *tags)
    logged(pair)
    for number, tag in enumerate(tags):
        for edit in ((crm, "name = 'crm'"), (erp, "company = 'erp'"))[:: 1 if number % 2 else -1]:
            edit[0](pair, tag, edit[1])
    sent = pair.rows("crm", "SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0]
    steps = []
    while pair.exchange.flows[0].drained < sent:
        pair.exchange.wait(0.05)
        steps += pair.turn(0)
    together = max(step.batch.transactions for step in steps)
    times = [row_time(pair, "erp", tag) for tag in tags]
    assert together > 1
    assert len(set(times)) < len(tags)
    if dies:
        pair.crash()
    pair.settle()
    for number, tag in enumerate(tags):
        newer = "erp" if number % 2 else "crm"
        assert stand(pair, tag) == ((newer, "old"), (newer, "old"))
    assert logged(pair) == {("name", frozenset(("crm", "erp")), winner) for winner in ("crm", "erp")}


@pytest.mark.parametrize("first", [0, 1])
def test_the_time_of_a_row_moves_when_another_field_is_written(pair: Pair, first: int, dies: bool) -> None:
    """The CRM's name is older than the ERP's, and its row is younger, for its city is the newest of all."""
    tag = f"moves {first} {dies}"
    made(pair, tag)
    logged(pair)
    crm(pair, tag, "name = 'crm'")
    erp(pair, tag, "company = 'erp'")
    crm(pair, tag, "city = 'crm'")
    assert row_time(pair, "crm", tag) > row_time(pair, "erp", tag)
    until(pair, first, dies)
    pair.settle()
    assert stand(pair, tag) == (("erp", "crm"), ("erp", "crm"))
    assert logged(pair) == {("name", frozenset(("crm", "erp")), "erp")}


@pytest.mark.parametrize("newer", ["crm", "erp"])
def test_the_loser_may_be_in_wal_that_is_not_read_yet(pair: Pair, newer: str, dies: bool) -> None:
    """The CRM's edit is written on the ERP, over an edit of the ERP's own that nobody has read: whichever is newer stands."""
    tag = f"unread {newer} {dies}"
    made(pair, tag)
    logged(pair)
    for edit in ((crm, "name = 'crm'"), (erp, "company = 'erp'"))[:: 1 if newer == "erp" else -1]:
        edit[0](pair, tag, edit[1])
    until(pair, 0, dies)
    assert stand(pair, tag)[1] == ("crm", "old")
    pair.settle()
    assert stand(pair, tag) == ((newer, "old"), (newer, "old"))
    assert logged(pair) == {("name", frozenset(("crm", "erp")), newer)}


def test_an_edit_of_a_record_that_is_parked_may_be_written_over_unread(pair: Pair, dies: bool) -> None:
    """The name is refused, so the record waits. Then the ERP's older town is written over the CRM's newer one, still unread."""
    tag = f"waits {dies}"
    made(pair, tag)
    crm(pair, tag, f"name = '{'long' * 50}'")
    pair.settle()
    assert len(pair.parked()) == 1
    logged(pair)
    erp(pair, tag, "town = 'older'")
    crm(pair, tag, "city = 'newer', name = 'short'")
    until(pair, 1, dies)
    assert stand(pair, tag)[0] == ("short", "older")
    pair.settle()
    assert pair.parked() == []
    assert stand(pair, tag) == (("short", "newer"), ("short", "newer"))
