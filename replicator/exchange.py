"""Two nodes and the flows between them, one step of each in turn, in one thread.

Promises: each flow sees all that the other has done before it goes on; one that waits for
somebody's lock, for room on a disk, or for a person, does not keep the other from working.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Sequence

from replicator.apply.outcome import Step
from replicator.errors import ReplicatorError, StructureChanged, TooManyParked, WriteFailed
from replicator.model.failure import POLICIES
from replicator.pipeline import Flow

log = logging.getLogger("replicator")

BUSY_SECONDS = 0.05, 5.0  # pauses of a flow that waits for somebody's lock: the first, the longest
HALTED_SECONDS = 60.0, 600.0  # and of one that would park too much


class Exchange:
    """Two nodes and the flows between them, in turns: each sees all that the other has done before it goes on."""

    def __init__(self, flows: Sequence[Flow], moved: Callable[[], bool]) -> None:
        """`moved`: whether a table of the links is not what it was when the flows were made."""
        self.flows = tuple(flows)
        self._moved = moved
        self.turned = time.monotonic()  # when the loop last came round, or the next part of a large transaction was begun
        self._blocked: dict[str, tuple[float, float]] = {}  # flow -> (not before, pause)
        backs: tuple[Flow | None, ...] = tuple(reversed(self.flows)) if len(self.flows) == 2 else (None,)
        for flow, back in zip(self.flows, backs, strict=True):
            flow.prepare(back)
        for flow in self.flows:
            flow.recover()

    def turn(self) -> list[Step]:
        """One step of each flow that is not waiting for somebody's lock. A large transaction is finished first. Raises
        StructureChanged where the flows have to be made anew."""
        steps = []
        self.turned = time.monotonic()
        for flow in self.flows:
            not_before, pause = self._blocked.get(flow.name, (0.0, 0.0))
            if time.monotonic() < not_before:
                continue
            try:
                step = flow.step()
                while step is not None and flow.open:
                    self.turned = time.monotonic()
                    steps.append(step)
                    for other in self.flows:
                        if other is not flow:
                            other.stream.alive()
                    step = flow.step()
            except (WriteFailed, TooManyParked) as error:
                if isinstance(error, TooManyParked) or error.kind == "broken":
                    self.look_at_tables()
                self._wait_for(flow, error, pause)
                continue
            self._blocked.pop(flow.name, None)
            if flow.totals.waiting:
                log.info("%s goes on", flow.name, extra={"fields": {"flow": flow.name}})
            flow.totals.waiting, flow.totals.halted = "", None
            if step is not None:
                steps.append(step)
        return steps

    def look_at_tables(self) -> None:
        """Raises StructureChanged if one is not what it was. Now and then too: of a table that is gone no stream speaks."""
        if self._moved():
            names = " and ".join(flow.name for flow in self.flows)
            raise StructureChanged(f"{names}: a table has changed", "the flows start anew with the tables as they are")

    def _wait_for(self, flow: Flow, error: ReplicatorError, pause: float) -> None:
        """The flow stands still for a while, each time longer. Raises what does not pass by itself."""
        first, longest = HALTED_SECONDS
        if isinstance(error, WriteFailed):
            policy = POLICIES[error.kind]
            if not policy.patient:
                raise error
            first, longest = (policy.first or 0.0, policy.longest) if policy.action == "wait" else BUSY_SECONDS
        pause = min(max(pause * 2, first), longest)
        self._blocked[flow.name] = (time.monotonic() + pause, pause)
        if flow.totals.waiting != error.message:
            level = logging.WARNING if first == BUSY_SECONDS[0] else logging.ERROR
            fields = {"flow": flow.name, "hint": error.hint, **error.known}
            log.log(level, "%s waits: %s -> %s", flow.name, error.message, error.hint, extra={"fields": fields})
        flow.totals.waiting = error.message
        flow.totals.halted = error if isinstance(error, TooManyParked) else None

    def leave_off(self) -> None:
        """May be called by another thread: what is begun of a large transaction is not finished. There is no turn after that."""
        for flow in self.flows:
            flow.stream.interrupt()

    def wait(self, seconds: float) -> None:
        """Until something may be there to read, at most so long."""
        if self._blocked:
            seconds = min(seconds, 0.05)
        if any(flow.backfill for flow in self.flows):
            seconds = min(seconds, 0.01)
        select.select([flow.stream.fileno() for flow in self.flows], [], [], seconds)
