"""What is on its way between two nodes, and what is set aside: asked of the nodes, wherever the replicator runs.

Promises: writes nothing but a message into each node's log, which no link reads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import psycopg

from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.setup import flow_name, slot_name
from replicator.engines.postgres.sql import statement
from replicator.model.position import number
from replicator.reconcile.compare import Key
from replicator.reconcile.difference import Difference
from replicator.reconcile.link_run import Flows

POLL_SECONDS = 0.1

Connections = Mapping[str, psycopg.Connection]


def _ask(connections: Connections, node: str, name: str, *params: object) -> list[tuple]:  # type: ignore[type-arg]
    with translated(node):
        return connections[node].execute(statement(name, "reconcile.sql"), params or None).fetchall()


class FlowsBetween:
    """`flows`: (source, target) of those that there are between the two nodes."""

    def __init__(self, connections: Connections, flows: Sequence[tuple[str, str]], seconds: float) -> None:
        self._connections, self._flows, self._seconds = connections, flows, seconds

    def running(self) -> bool:
        """Whether every flow is being read."""
        return all(self._reading(source, target) for source, target in self._flows)

    def settle(self) -> Flows:
        end = time.monotonic() + self._seconds
        state = self._caught_up(end)
        if state is Flows.PASSED:
            # What came may have been answered: the answers are in the outbox by now, and go back.
            ends = {flow: _ask(self._connections, flow[0], "outbox_end", flow_name(*flow))[0][0] for flow in self._flows}
            state = self._until(lambda source, target: self._checkpoint(source, target)[1] >= ends[source, target], end)
        # And it may have had effects there, in other tables, that go back as changes of their own.
        return self._caught_up(end) if state is Flows.PASSED and len(self._flows) > 1 else state

    def _caught_up(self, end: float) -> Flows:
        """Waits until every flow has come to where its source is now."""
        marks = {}
        for source in {source for source, _ in self._flows}:
            _ask(self._connections, source, "mark")
            marks[source] = number(_ask(self._connections, source, "flushed")[0][0])
        return self._until(lambda source, target: number(self._checkpoint(source, target)[0]) >= marks[source], end)

    def _until(self, passed, end: float) -> Flows:  # type: ignore[no-untyped-def]
        while not all(passed(*flow) for flow in self._flows):
            if not self.running():
                return Flows.STOPPED
            if time.monotonic() > end:
                return Flows.BEHIND
            time.sleep(POLL_SECONDS)
        return Flows.PASSED

    def _checkpoint(self, source: str, target: str) -> tuple[str, int]:
        rows = _ask(self._connections, target, "checkpoint", flow_name(source, target))
        return rows[0] if rows else ("0/0", 0)

    def _reading(self, source: str, target: str) -> bool:
        rows = _ask(self._connections, source, "reading", slot_name(flow_name(source, target)))
        return bool(rows and rows[0][0])


class CausesOf:
    """What is parked and what waits for a person, of one link: read when it is first asked for."""

    def __init__(self, connections: Connections, link: str, flows: Sequence[tuple[str, str]]) -> None:
        self._connections, self._link, self._flows = connections, link, flows
        self._parked: dict[tuple[str, Key], str] | None = None
        self._waiting: dict[tuple[str, str], dict[str, str]] = {}

    def of(self, one: Difference) -> tuple[str, str] | None:
        if self._parked is None:
            self._parked = self._read()
        for node, key in one.keys.items():
            waiting = self._waiting.get((node, ",".join(part or "" for part in key)), {})
            fields = [field for field in waiting if field in one.fields]
            if fields:
                return "waits for a person", f"conflict {waiting[fields[0]]}"
            if (node, key) in self._parked:
                return "parked", self._parked[node, key]
        return None

    def _read(self) -> dict[tuple[str, Key], str]:
        parked: dict[tuple[str, Key], str] = {}
        for source, target in self._flows:
            flow = flow_name(source, target)
            for key, reason, message in _ask(self._connections, target, "parked", self._link, flow):
                parked[source, tuple(key)] = f"{reason}: {message}"
            for source_key, target_key, field, identity in _ask(self._connections, target, "waiting", self._link, flow):
                for node, key in ((source, source_key), (target, target_key)):
                    self._waiting.setdefault((node, key), {})[field] = f"{target}:{identity}"
        return parked
