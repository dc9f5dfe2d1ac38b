"""A file of tests: databases of its own, the rows that every case begins with, and its cases one by one.

Promises: every case begins with the same rows, and with a replicator that knows of no record; what a file says of tables,
columns and values that are not there is a finding before any case runs. Nothing outside of our own databases is changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg

from replicator.demo.servers import Server
from replicator.engines.postgres import scratch
from replicator.engines.postgres.catalog import TABLES, VIEWS, read_tables
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.records import value_refused
from replicator.engines.postgres.setup import flow_name, origin_name, slot_name
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.mapping.findings import Findings, near, show
from replicator.mapping.structure import check_structure
from replicator.model.case import Case, Suite, TableRows
from replicator.model.config import Config, Settings
from replicator.model.finding import Finding, Mark
from replicator.model.table import Table, TableName
from replicator.runtime.case_run import connected, insert, run_case
from replicator.runtime.lint import check_links, errors_of
from replicator.runtime.match_rows import Failure
from replicator.runtime.setup import init
from replicator.runtime.wiring import flows_of, links_between, node_pairs, read_catalog

FAST = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}  # nobody misses these databases
DUMP_HINT = "pg_dump --schema-only --no-owner --no-privileges writes such files; words of psql such as \\i are not read"


class Bench:
    """Where tests run: on the server of this DSN, or on one of our own that is gone in the end."""

    def __init__(self, dsn: str | None = None) -> None:
        self._given = dsn
        self._stack = ExitStack()
        self._number = 0
        self._scratch: scratch.Scratch | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def scratch(self) -> scratch.Scratch:
        """The server is started when it is first needed."""
        if self._scratch is None:
            dsn = self._given or self._stack.enter_context(Server(settings=FAST)).dsn()
            self._scratch = scratch.Scratch(dsn, disposable=self._given is None)
            self._stack.callback(self._scratch.close)
        return self._scratch

    def new_name(self, node: str) -> str:
        self._number += 1
        return f"{scratch.PREFIX}{os.getpid()}_{self._number}_{node}"


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: Case
    seconds: float
    failures: tuple[Failure, ...]


class BadSuite(ConfigurationError):
    """What a file says does not fit the tables, or its links do not run on them."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(f"{len(findings)} findings", "")
        self.findings = tuple(findings)


class SuiteRun:
    """As a context manager: the databases of a case are there until the next one or the end. BadSuite from `run` says that
    the file cannot be run."""

    def __init__(self, bench: Bench, suite: Suite) -> None:
        self.suite = suite
        self._bench = bench
        self._config = Config(suite.path, suite.members, str(Path(suite.path).parent), Settings(), suite.links)
        self._databases: list[str] = []
        self._environ: dict[str, str] = {}
        self._tables: dict[tuple[str, TableName], Table] = {}
        self._back: dict[str, str] = {}  # node -> the script that brings the first rows back; empty: databases are made anew
        self._used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def psql(self) -> dict[str, str]:
        """How to look at the databases of the case that ran last."""
        return {node: f"psql '{dsn}'" for node, dsn in self._environ.items()}

    def run(self, case: Case) -> CaseResult:
        if not self._back:
            self._prepare()
        elif self._used:
            self._bench.scratch.drop_slots(self._databases)
        began = time.monotonic()
        try:
            failures = self._run(case)
        except ReplicatorError as error:
            self._explain(error)
            failures = [Failure(case.mark, f"the replicator stops: {error.message}")]
        return CaseResult(case, time.monotonic() - began, tuple(failures))

    def _run(self, case: Case) -> list[Failure]:
        with connected(self._environ) as connections:
            for node, connection in connections.items() if self._used else ():
                with translated(node):
                    connection.execute(self._back[node].encode())
                    connection.execute("RESET ALL")
            self._used = True
            if any(step.sql and scratch.STRUCTURE.search(step.sql) for step in (*self.suite.before, *case.steps)):
                self._back = {}
            if refused := insert(connections, self._tables, case.given):
                return refused
            init(self._config, self._environ, False, lambda _: None)
            return run_case(self._config, self._environ, connections, self._tables, self.suite.before, case)

    # -- before a case ---------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._drop()
        pairs = [(pair, links_between(self._config, pair)) for pair in node_pairs(self._config)]
        slots = [slot_name(flow_name(*flow)) for pair, links in pairs for flow in flows_of(links, pair)]
        self._bench.scratch.clear(slots, [origin_name(*way) for (a, b), _ in pairs for way in ((a, b), (b, a))])
        for node in self.suite.nodes:
            name = self._bench.new_name(node)
            self._databases.append(name)
            self._environ[node] = self._bench.scratch.create(name)
        found = Findings()
        self._make_tables(found)
        _raise(found)
        with connected(self._environ) as connections:
            self._look_up(connections, found)
            _raise(found)
            for failure in insert(connections, self._tables, self.suite.given):
                found.add("T105", failure.mark, failure.message, "rows of other tables that it refers to stand before it")
            _raise(found)
        try:
            init(self._config, self._environ, False, lambda _: None)
        except ReplicatorError as error:
            self._explain(error)
            found.add("T106", self.suite.mark, error.message, error.hint or "`replicator lint` may know more")
            _raise(found)
        self._bench.scratch.drop_slots(self._databases)
        with connected(self._environ) as connections:
            for node, connection in connections.items():
                with translated(node):
                    connection.execute("DELETE FROM replicator.checkpoint")  # made with the slot, for each case
                    self._back[node] = scratch.save(connection)
        self._used = False

    def _drop(self) -> None:
        if self._databases:
            self._bench.scratch.drop_slots(self._databases)
            self._bench.scratch.drop(self._databases)
        self._databases, self._environ = [], {}

    def _explain(self, error: ReplicatorError) -> None:
        """Raises what lint has to say, when the program does not run on these tables."""
        with connected(self._environ) as connections:
            found = errors_of(check_links(self._config, connections, read_catalog(self.suite.links, connections)))
        if found:
            raise BadSuite(found) from error

    def _make_tables(self, found: Findings) -> None:
        for node, files in self.suite.nodes.items():
            for path in files:
                with connected({node: self._environ[node]}) as connections, translated(node):
                    _run_script(connections[node], path, found)
                    if not found.errors:
                        scratch.forget_replicator(connections[node])

    # -- tables, columns and values that the file names --------------------------------------------------------------

    def _named(self) -> Iterator[TableRows]:
        cases = self.suite.cases
        yield from self.suite.given
        for step in (*self.suite.before, *(step for case in cases for step in case.steps)):
            yield from step.rows
        for case in cases:
            yield from case.given
            yield from case.expected.tables

    def _look_up(self, connections: dict[str, psycopg.Connection], found: Findings) -> None:
        for node, connection in connections.items():
            named = [rows for rows in self._named() if rows.node == node]
            with translated(node):
                for name, table in read_tables(connection, {rows.table for rows in named}, TABLES + VIEWS).items():
                    if table is not None:
                        self._tables[node, name] = table
                refused: dict[tuple[str, str], str | None] = {}
                for rows in named:
                    self._check(connection, rows, refused, found)
        found.extend(errors_of(check_structure(self.suite.links, read_catalog(self.suite.links, connections))))

    def _check(
        self, connection: psycopg.Connection, rows: TableRows, known: dict[tuple[str, str], str | None], found: Findings
    ) -> None:
        """`known`: what was asked already of types and values."""
        table = self._tables.get((rows.node, rows.table))
        if table is None:
            hint = near(str(rows.table), scratch.table_names(connection)) or "check the name and its schema"
            found.add("T101", rows.mark, f"{rows.node} has no table {rows.table}", hint)
            return
        for cell in (cell for row in rows.rows for cell in row.cells):
            column = table.by_name.get(cell.key)
            if column is None:
                hint = near(cell.key, table.by_name) or f"its columns are {', '.join(table.by_name)}"
                found.add("T102", cell.key_mark, f"{rows.node}: {rows.table} has no column {cell.key}", hint)
                continue
            if cell.text is None or cell.kind == "sql":
                continue
            if (column.type, cell.text) not in known:
                known[column.type, cell.text] = value_refused(connection, column, cell.text)
            if refused := known[column.type, cell.text]:
                hint = f"write it as {rows.table}.{cell.key} takes it, or as {{sql: ...}}"
                found.add("T103", cell.mark, f"{show(cell.text)} {refused}", hint)


def _run_script(connection: psycopg.Connection, path: str, found: Findings) -> None:
    try:
        script = scratch.runnable(connection, Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        found.add("T003", Mark(path, 1, 1), f"the file cannot be read: {reason}", "check the path, save it as UTF-8")
        return
    except ConfigurationError as error:
        found.add("T104", Mark(path, 1, 1), error.message, error.hint)
        return
    refused = scratch.attempt(connection, script)
    if refused is not None:
        before = script[: refused.offset or 0]
        mark = Mark(path, before.count("\n") + 1, len(before) - before.rfind("\n"))
        found.add("T104", mark, f"the server refuses this: {refused.said}", DUMP_HINT)


def _raise(found: Findings) -> None:
    if found.errors:
        raise BadSuite(found.in_order())
