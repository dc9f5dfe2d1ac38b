"""Asks for backfills and looks how they stand, as the commands do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from replicator.engines.postgres.setup import origin_name
from tests.two_way.pair_of_nodes import Crash, Pair


def target_of(pair: Pair, flow: str) -> psycopg.Connection:
    return pair.erp if flow.endswith("_erp") else pair.crm


def ask(
    pair: Pair,
    flow: str,
    link: str,
    condition: str | None = None,
    listed: Sequence[tuple[list[str], str | None]] = (),
    rate: int | None = None,
) -> int:
    """The number of the backfill; a running exchange takes it up at once."""
    connection = target_of(pair, flow)
    row = connection.execute(
        "INSERT INTO replicator.backfill (flow, link, why, condition, listed, rate) VALUES (%s, %s, 'backfill', %s, %s, %s) RETURNING id",
        (flow, link, condition, bool(listed), rate),
    ).fetchone()
    assert row is not None
    for key, fields in listed:
        connection.execute("INSERT INTO replicator.backfill_record VALUES (%s, %s, %s)", (row[0], key, fields))
    try:
        for one in pair.exchange.flows:
            one.backfill.load()
    except Crash:
        pair.crash()
    return int(row[0])


def behind(pair: Pair, node: str, sql: str) -> None:
    """Changes rows behind the replicator's back: as its own writes, which no flow carries on, and with triggers off."""
    pair.crash()
    peer = "erp" if node == "crm" else "crm"
    connection = pair.crm if node == "crm" else pair.erp
    while True:
        try:
            connection.execute("SELECT pg_replication_origin_session_setup(%s)", (origin_name(peer, node),))
            break
        except psycopg.errors.ObjectInUse:  # the session of the exchange is still going away
            continue
    try:
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql)  # type: ignore[call-overload]
    finally:
        connection.execute("RESET session_replication_role")
        connection.execute("SELECT pg_replication_origin_session_reset()")


def state(pair: Pair, flow: str) -> dict[str, Any]:
    """Of the newest."""
    with target_of(pair, flow).cursor(row_factory=dict_row) as cursor:
        found = cursor.execute("SELECT * FROM replicator.backfill WHERE flow = %s ORDER BY id DESC LIMIT 1", (flow,)).fetchone()
    assert found is not None
    return found
