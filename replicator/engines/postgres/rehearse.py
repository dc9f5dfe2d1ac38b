"""Lets a server plan statements inside a transaction that is rolled back, and evaluate merges in a read-only one.

Promises: nothing remains, and no statement runs on anybody's table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from replicator.engines.postgres.errors import told, translated
from replicator.engines.postgres.setup import has_state
from replicator.engines.postgres.sql import script
from replicator.mapping.laws import Answer, Breach, Failure, Value, broken
from replicator.program.trials import MergeTrial, Trial

NO_PRIVILEGE = "42501"  # `check` has the whole list of those
NOT_OF_THE_VALUES = ("08", "53", "57", "58", "42501")  # classes and states that say nothing about what was computed
PATIENCE = "5s"  # for a statement over some thousand values
STATEMENTS_LIMIT = 200  # to find out which of many values cannot be computed


@dataclass(frozen=True, slots=True)
class Refusal:
    """`said`: the server's words, without values."""

    trial: Trial
    said: str
    sqlstate: str


def rehearse(connection: psycopg.Connection, node: str, ddl: Sequence[str], trials: Sequence[Trial]) -> list[Refusal]:
    """`ddl`: state tables and temporary tables that the trials name. Raises WriteFailed when these cannot be made."""
    refused = []
    with translated(node):
        connection.execute("BEGIN")
        try:
            connection.execute("SET LOCAL lock_timeout = '2s'")
            for statement in ddl if has_state(connection) else (script("state.sql"), *ddl):
                connection.execute(statement)
            for trial in trials:
                connection.execute("SAVEPOINT trial")
                try:
                    connection.execute(f"EXPLAIN {trial.sql}")
                except psycopg.Error as error:
                    if connection.broken:
                        raise
                    if error.sqlstate != NO_PRIVILEGE:
                        refused.append(Refusal(trial, told(error), error.sqlstate or ""))
                connection.execute("ROLLBACK TO SAVEPOINT trial")
        finally:
            if not connection.broken:
                connection.execute("ROLLBACK")
    return refused


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What trying a merge has shown; at most `refused`, or the others. `tried`: how many values."""

    trial: MergeTrial
    tried: int = 0
    refused: Answer | None = None
    breach: Breach | None = None
    failure: Failure | None = None


def try_merge(connection: psycopg.Connection, trial: MergeTrial) -> MergeResult:
    """Raises WriteFailed where the server cannot be asked at all (no time, no privilege)."""
    with translated(trial.node), read_only(connection):
        merge = Attempts(connection, trial.merge, 2)
        planned = merge.run(())
        if isinstance(planned, Answer):
            return MergeResult(trial, refused=planned)
        values = usable_values(connection, trial.listed, trial.candidates, trial.usable)

        def same(pairs: Sequence[tuple[Value, Value]]) -> list[bool]:
            answers = Attempts(connection, trial.same, 2).run(pairs)
            return [False] * len(pairs) if isinstance(answers, Answer) else [answer.value == "true" for answer in answers]

        breach, failure = broken([*values, None], merge.of, same)
        return MergeResult(trial, len(values), None, breach, failure)


def usable_values(connection: psycopg.Connection, listed: str | None, candidates: Sequence[str], usable: str) -> list[Value]:
    """Those of the candidates that are values of the type, as it writes them; all values of a type that lists them."""
    if listed is not None:
        candidates = [text for (text,) in connection.execute(listed).fetchall()]
    answers = Attempts(connection, usable, 1).of([(text,) for text in candidates])
    return list(dict.fromkeys(answer.value for answer in answers if not answer.failed))


@contextmanager
def read_only(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute("BEGIN READ ONLY")
    try:
        connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE}'")
        yield
    finally:
        if not connection.broken:
            connection.execute("ROLLBACK")


def _arrays(rows: Sequence[tuple[Value, ...]], width: int) -> list[list[Value]]:
    return [[row[i] for row in rows] for i in range(width)]


class Attempts:
    """A statement over arrays of values, some of which it may fail for."""

    def __init__(self, connection: psycopg.Connection, sql: str, arrays: int) -> None:
        self.connection, self.sql, self.arrays, self.left = connection, sql, arrays, STATEMENTS_LIMIT

    def of(self, rows: Sequence[tuple[Value, ...]]) -> list[Answer]:
        """An answer a row. Where the statement fails, halves are tried, down to single rows as long as patience lasts."""
        if not rows:
            return []
        found = self.run(rows)
        if not isinstance(found, Answer):
            return found
        if len(rows) == 1 or self.left <= 0:
            return [found] * len(rows)
        half = len(rows) // 2
        return self.of(rows[:half]) + self.of(rows[half:])

    def run(self, rows: Sequence[tuple[Value, ...]]) -> list[Answer] | Answer:
        """The answers to all rows, or what the server says against some of them, or against the statement."""
        self.left -= 1
        self.connection.execute("SAVEPOINT attempt")
        try:
            found: list[Any] = self.connection.execute(self.sql, _arrays(rows, self.arrays)).fetchall()
        except psycopg.Error as error:
            state = error.sqlstate or ""
            if self.connection.broken or not state or state.startswith(NOT_OF_THE_VALUES):
                raise
            self.connection.execute("ROLLBACK TO SAVEPOINT attempt")
            return Answer(None, told(error), state)
        self.connection.execute("RELEASE SAVEPOINT attempt")
        return [Answer(value) for (value,) in found]
