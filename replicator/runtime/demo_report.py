"""What the demo says at the end: numbers, a verdict, and two conflicts told as people would tell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from replicator.engines.postgres.status import LoggedConflict
from replicator.runtime.demo_meter import explain

EXAMPLES = 2
NAMES = {
    "crm": "SELECT name FROM crm.account WHERE id::text = ANY(%s)",
    "erp": "SELECT company_name FROM erp.customer WHERE customer_no::text = ANY(%s)",
}


@dataclass
class Report:
    """`seconds`: of traffic. `catch_up_seconds`: from the last user's commit until everything had arrived.
    `work`: what the users did, by kind, refused and failed included."""

    in_sync: bool
    drained: bool
    seconds: float
    catch_up_seconds: float
    world_rows: int
    world_seconds: float
    changes_applied: dict[str, int]
    transactions: dict[str, int]
    rows_written: dict[str, dict[str, int]]
    latency_ms: dict[str, float | None]
    conflicts: dict[str, int]
    examples: list[str]
    parked: dict[str, int]
    rows_compared: int
    compared: dict[str, int]
    difference_count: int
    differences: list[str]
    work: dict[str, int]
    failures: list[str]
    server_versions: dict[str, str]

    def as_document(self) -> dict[str, Any]:
        return asdict(self)


def told_examples(found: Mapping[str, LoggedConflict], connections: Mapping[str, psycopg.Connection]) -> list[str]:
    """`found`: one conflict of each sort. `connections`: to look up what people call the records."""
    return [explain(conflict, _name(conflict, connections)) for conflict in _telling(found)]


def _telling(examples: Mapping[str, LoggedConflict]) -> list[LoggedConflict]:
    """Two that show different things, the newer edit's victory first."""
    order = (
        "update_origin_differs latest",
        "update_origin_differs owner",
        "insert_exists latest",
        "update_deleted delete",
    )
    chosen = [examples[sort] for sort in order if sort in examples]
    return (chosen + [c for sort, c in examples.items() if sort not in order])[:EXAMPLES]


def _name(conflict: LoggedConflict, connections: Mapping[str, psycopg.Connection]) -> str:
    """The company's name, where that is what the conflict is about."""
    keys = [key for key in (conflict.source_key, conflict.target_key) if key]
    if conflict.link == "customer":
        for node, question in NAMES.items():
            row = connections[node].execute(question, (keys,)).fetchone()
            if row is not None:
                return str(row[0])
    return f"{conflict.link} {keys[0] if keys else ''}".rstrip()
