"""`replicator.yaml` after checking: the nodes, where their DSNs come from, and the links between them."""

from __future__ import annotations

from dataclasses import dataclass

from replicator.model.finding import Mark
from replicator.model.link import Link


@dataclass(frozen=True, slots=True)
class Node:
    """A database taking part. `number` (from 1, by place in the file) breaks ties between equal times.

    node_class   the class of like nodes that it belongs to: link files name that in place of the node
    code         what data calls the node; a loader takes its name where the file says nothing
    The DSN itself is never kept in a model: `dsn_env` names the environment variable.
    """

    name: str
    engine: str
    dsn_env: str
    number: int
    mark: Mark
    node_class: str | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits with their defaults; every one may be set under `settings:`.

    batch_rows            changes staged at once
    lock_timeout_ms       how long an apply waits for a row a user holds, before it steps aside
    parked_limit          changes of a flow that may wait for a person before it stands still
    parked_percent        and of the changes of a batch of at least 100
    clock_limit_ms        distance of the servers' clocks that becomes a finding
    retention_days        how long settled conflicts and tombstones are kept
    history_days          how long it is remembered where each value came from
    """

    batch_rows: int = 20_000
    lock_timeout_ms: int = 2_000
    parked_limit: int = 10_000
    parked_percent: int = 50
    clock_limit_ms: int = 1_000
    retention_days: int = 30
    history_days: int = 7


@dataclass(frozen=True, slots=True)
class Config:
    """`links` are between nodes: of a link file that names a class there is one for each of its nodes."""

    path: str
    nodes: tuple[Node, ...]
    mappings: str
    settings: Settings
    links: tuple[Link, ...]

    def node(self, name: str) -> Node:
        return next(n for n in self.nodes if n.name == name)
