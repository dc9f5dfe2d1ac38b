"""Lets a server plan statements inside a transaction that is rolled back: nothing runs and nothing remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from replicator.engines.postgres.errors import told, translated
from replicator.engines.postgres.setup import has_state
from replicator.engines.postgres.sql import script
from replicator.program.trials import Trial

NO_PRIVILEGE = "42501"  # `check` has the whole list of those


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
