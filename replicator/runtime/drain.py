"""Tells when a running daemon has nothing left to do: a condition on positions, not a guess by time.

`run --once` and `--until-idle` stop by it, and the demo compares the two databases when it holds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from replicator.apply.outcome import Step
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.setup import flow_name
from replicator.engines.postgres.status import flushed_position, has_unreturned, returned_upto
from replicator.model.config import Config
from replicator.runtime.daemon import Daemon
from replicator.runtime.wiring import flows_of, links_between, node_pairs

QUIET = 3


@dataclass
class Idle:
    """For how long no flow has done anything. Its `watch` is one of the daemon's watchers."""

    daemon: Daemon
    expected: frozenset[str]  # flows that must be connected for the time to count
    last: float = field(default_factory=time.monotonic)

    def watch(self, step: Step) -> None:  # noqa: ARG002 - that there was one is all that matters
        self.last = time.monotonic()

    def seconds(self) -> float:
        """0 while a flow is not connected or waits for somebody's lock. Raises what a flow stands still for."""
        _raise_halted(self.daemon)
        waiting = any(totals.waiting for totals in list(self.daemon.totals.values()))
        if waiting or not self.expected <= self.daemon.flows.keys():
            self.last = time.monotonic()
        return time.monotonic() - self.last


def _raise_halted(daemon: Daemon) -> None:
    for totals in list(daemon.totals.values()):
        if totals.halted is not None:
            raise totals.halted


def all_flows(config: Config) -> dict[str, tuple[str, str]]:
    """Every flow of the configuration, with its source and target."""
    return {
        flow_name(source, target): (source, target)
        for pair in node_pairs(config)
        for source, target in flows_of(links_between(config, pair), pair)
    }


class Drain:
    """Whether everything that was committed anywhere before `mark` has arrived, with all it gave rise to.

    `connections`: one to each node, not used by anybody else meanwhile.
    """

    def __init__(self, config: Config, daemon: Daemon, connections: Mapping[str, psycopg.Connection]) -> None:
        self._flows = all_flows(config)
        self._daemon = daemon
        self._connections = connections
        self._marks: dict[str, int] = {}
        self._batches = -1
        self._quiet = 0

    def mark(self) -> None:
        """From now on `done` speaks of what has been committed up to here."""
        for node, connection in self._connections.items():
            with translated(node):
                self._marks[node] = flushed_position(connection)
        self._quiet = 0

    def done(self) -> bool:
        """Read to the mark and written, nothing waits to flow back, and that holds for QUIET calls in a row. Raises what a
        flow stands still for: that would never be done."""
        _raise_halted(self._daemon)
        batches = sum(totals.batches for totals in list(self._daemon.totals.values()))
        still = batches == self._batches
        self._batches = batches
        self._quiet = self._quiet + 1 if still and self._arrived() else 0
        return self._quiet >= QUIET

    def _arrived(self) -> bool:
        for name, (source, _) in self._flows.items():
            flow = self._daemon.flows.get(name)
            if flow is None or not flow.wishes.known or flow.totals.waiting or flow.drained < self._marks[source]:
                return False
        return not any(self._returning(name, source, target) for name, (source, target) in self._flows.items())

    def _returning(self, flow: str, source: str, target: str) -> bool:
        """Whether values made on the source are still to be written on the target."""
        with translated(target):
            upto = returned_upto(self._connections[target], flow)
        with translated(source):
            return has_unreturned(self._connections[source], flow, upto)
