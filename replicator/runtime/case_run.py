"""One case of a test of links, from its first step to the comparison: the live program, turn by turn, in this thread.

Promises: a step is a transaction later than those before it; without `sync` between them neither node has seen the other's
steps; what is compared is what stands when nothing is left to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from replicator.engines.postgres import scratch
from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.history import Selection
from replicator.engines.postgres.status import flushed_position
from replicator.errors import ReplicatorError
from replicator.model.case import Case, Row, Rows, Step, TableRows
from replicator.model.config import Config
from replicator.model.failure import POLICIES
from replicator.model.table import Table, TableName
from replicator.runtime import history
from replicator.runtime.match_rows import Failure, against
from replicator.runtime.wiring import NodePair, Opened, flows_of, links_between, node_pairs, open_exchange

BROKEN = POLICIES["broken"]
STEP_SECONDS = 0.001  # between steps, so that no two have the same time
WAIT_SECONDS = 0.02
QUIET, QUIET_SECONDS = 2, 0.002  # turns in which nothing happens, and the time between them
PATIENCE_SECONDS = 30.0

Connections = Mapping[str, psycopg.Connection]
Tables = Mapping[tuple[str, TableName], Table]


@contextmanager
def connected(environ: Mapping[str, str]) -> Iterator[dict[str, psycopg.Connection]]:
    """A session on each node, for a person's edits and for looking."""
    connections: dict[str, psycopg.Connection] = {}
    try:
        for node, dsn in environ.items():
            connections[node] = connect(node, dsn, "test")
        yield connections
    finally:
        for connection in connections.values():
            connection.close()


def run_case(
    config: Config, environ: Mapping[str, str], connections: Connections, tables: Tables, before: Sequence[Step], case: Case
) -> list[Failure]:
    """After `init`. Raises ReplicatorError when the program does not run on these tables."""
    sync = Step(None, case.mark)
    with _exchanges(config, environ) as exchanges:
        for step in (*before, sync, *case.steps, sync) if before else (*case.steps, sync):
            if failures := _do(connections, tables, exchanges, step):
                return failures
    return _compared(connections, tables, case)


def insert(connections: Connections, tables: Tables, given: Sequence[TableRows]) -> list[Failure]:
    """Row by row; the first that is refused ends it."""
    for rows in given:
        for row in rows.rows:
            sql = scratch.insert(tables[rows.node, rows.table], row)
            if refused := scratch.attempt(connections[rows.node], sql):
                return [Failure(row.mark, f"{rows.node} refuses this row of {rows.table}: {refused.said}")]
    return []


# -- steps -------------------------------------------------------------------------------------------------------------


def _do(connections: Connections, tables: Tables, exchanges: Sequence[_Pair], step: Step) -> list[Failure]:
    if step.node is None:
        problem = _settle(connections, exchanges)
        return [Failure(step.mark, problem)] if problem else []
    time.sleep(STEP_SECONDS)
    connection = connections[step.node]
    if step.sql is None:
        connection.execute("BEGIN")
        failures = insert(connections, tables, step.rows)
        connection.execute("ROLLBACK" if failures else "COMMIT")
        return failures
    refused = scratch.attempt(connection, step.sql)
    if refused is not None:
        mark = step.place(refused.offset) if step.place and refused.offset is not None else step.mark
        return [Failure(mark, f"{step.node} refuses this: {refused.said}")]
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return [Failure(step.mark, "this leaves a transaction open: a step is one anyway, without BEGIN")]
    connection.execute("RESET ALL")
    return []


_Pair = tuple[NodePair, list[tuple[str, str]], Opened]


@contextmanager
def _exchanges(config: Config, environ: Mapping[str, str]) -> Iterator[list[_Pair]]:
    opened: list[_Pair] = []
    try:
        for pair in node_pairs(config):
            opened.append((pair, flows_of(links_between(config, pair), pair), open_exchange(config, pair, environ)))
        yield opened
    finally:
        for _, _, one in opened:
            one.close()


def _settle(connections: Connections, exchanges: Sequence[_Pair]) -> str:
    """Until everything that was committed has gone everywhere, with its effects; what is wrong if that does not happen."""
    end = time.monotonic() + PATIENCE_SECONDS
    for _, _, opened in exchanges:
        for flow in opened.exchange.flows:
            flow.ask_for_retries()
    problem, changed = _rest(connections, exchanges, end)
    while changed and not problem:
        problem, changed = _rest(connections, exchanges, end)
    return problem


def _rest(connections: Connections, exchanges: Sequence[_Pair], end: float) -> tuple[str, bool]:
    """Until what had been committed by now is through: (what is wrong if that does not happen, whether anything changed)."""
    reached = {node: _position(connection) for node, connection in connections.items()}
    quiet, changed = 0, False
    while quiet < QUIET:
        worked = behind = False
        for _, flows, opened in exchanges:
            steps = opened.exchange.turn()
            worked |= bool(steps)
            changed |= any(step.batch.rows for step in steps)
            for (source, _), flow in zip(flows, opened.exchange.flows, strict=True):
                behind |= flow.drained < reached[source] or flow.owes or bool(flow.totals.waiting)
        quiet = 0 if worked or behind else quiet + 1
        if time.monotonic() > end:
            waiting = "; ".join(f.totals.waiting for _, _, o in exchanges for f in o.exchange.flows if f.totals.waiting)
            message = f"the replicator does not come to rest within {PATIENCE_SECONDS:.0f} seconds"
            return f"{message}{': ' if waiting else ''}{waiting}", changed
        if not worked:
            exchanges[0][2].exchange.wait(WAIT_SECONDS if behind else QUIET_SECONDS)
    return "", changed


def _position(connection: psycopg.Connection) -> int:
    """All that is committed ends before it; and something follows that the stream will bring, so that it gets there."""
    position = flushed_position(connection)
    connection.execute("SELECT pg_logical_emit_message(true, 'replicator test', '')")
    return position


# -- the comparison ----------------------------------------------------------------------------------------------------


def _compared(connections: Connections, tables: Tables, case: Case) -> list[Failure]:
    failures: list[Failure] = []
    for rows in case.expected.tables:
        with translated(rows.node):
            failures += _compared_table(connections[rows.node], tables[rows.node, rows.table], rows)
    conflicts = [_conflict(one) for one in history.select(connections, Selection())[0]]
    failures += _compared_log(case.expected.conflicts, "conflicts", conflicts)
    parked = [entry | {"on": node} for node, connection in connections.items() for entry in scratch.parked(connection)]
    failures += _compared_log(case.expected.parked, "parked", parked)
    broken = next((entry for entry in parked if entry["reason"] == BROKEN.reason), None)
    if failures and broken is not None:  # then it is not this case that is wrong
        raise ReplicatorError(str(broken["says"]), BROKEN.remedy)
    return failures


def _compared_table(connection: psycopg.Connection, table: Table, rows: TableRows) -> list[Failure]:
    try:
        found = scratch.compare(connection, table, rows.rows)
    except psycopg.Error:
        for cell in (cell for row in rows.rows for cell in row.cells if cell.kind == "sql"):
            if refused := scratch.attempt(connection, scratch.trial(table, cell)):
                return [Failure(cell.mark, f"{rows.node} refuses this expression: {refused.said}")]
        raise
    return against(replace(rows.expected, mark=rows.mark), f"{rows.table} on {rows.node}", found)


def _conflict(one: history.Conflict) -> dict[str, str | None]:
    """Words as they are written in test files; under a node's name, what its user had written."""
    return {
        "link": one.link, "field": one.field, "kind": one.kind, "winner": one.winner, "rule": one.rule, "status": one.status,
        one.incoming.node: one.incoming.value, one.existing.node: one.existing.value,
    }  # fmt: skip


def _compared_log(expected: Rows, what: str, entries: Sequence[Mapping[str, str | None]]) -> list[Failure]:
    found = [
        scratch.FoundRow(
            dict(entry), tuple(tuple(_holds(row, number, entry) for number in range(len(row.cells))) for row in expected.rows)
        )
        for entry in entries
    ]
    return against(expected, what, found)


def _holds(row: Row, number: int, entry: Mapping[str, str | None]) -> bool:
    cell = row.cells[number]
    value = entry.get(cell.key)
    same = value == cell.text
    if cell.key == "says" and cell.text is not None and value is not None:
        same = cell.text in value  # a part of the message
    return same is (cell.kind != "not")
