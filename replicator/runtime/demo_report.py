"""What the demo says at the end: numbers, what `reconcile` found, what the independent check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`problems`: links that differ or could not be compared, in words."""

    links: int
    records: int
    differences: int
    seconds: float
    problems: list[str]


@dataclass
class Report:
    """`seconds`: of traffic. `catch_up_seconds`: from the last user's commit until everything had arrived.
    `work`: what the users did, by kind, refused and failed included. `statements`: what the independent check compared, in
    business terms. `story`: the scenes that were played, step by step."""

    in_sync: bool
    drained: bool
    seconds: float
    catch_up_seconds: float
    world: dict[str, int]
    world_seconds: float
    changes_applied: dict[str, int]
    transactions: dict[str, int]
    rows_written: dict[str, dict[str, int]]
    latency_ms: dict[str, float | None]
    conflicts: dict[str, int]
    parked: dict[str, int]
    reconciled: Reconciled
    statements: list[dict[str, Any]]
    rows_compared: int
    difference_count: int
    differences: list[str]
    work: dict[str, int]
    failures: list[str]
    server_versions: dict[str, str]
    story: dict[str, list[dict[str, Any]]]

    def as_document(self) -> dict[str, Any]:
        return asdict(self)
