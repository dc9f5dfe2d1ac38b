"""Two nodes and the flows between them, one step of each in turn, in one thread.

Promises: each flow sees all that the other has done before it goes on; one that waits for
somebody's lock does not keep the other from working.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence

from replicator.apply.outcome import Step
from replicator.errors import WriteFailed
from replicator.pipeline import Flow


class Exchange:
    """Two nodes and the flows between them, in turns: each sees all that the other has done before it goes on."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        self.flows = tuple(flows)
        self.turned = time.monotonic()  # when a step last began
        self._blocked: dict[str, tuple[float, float]] = {}  # flow -> (not before, pause)
        backs: tuple[Flow | None, ...] = tuple(reversed(self.flows)) if len(self.flows) == 2 else (None,)
        for flow, back in zip(self.flows, backs, strict=True):
            flow.prepare(back)
        for flow in self.flows:
            flow.recover()

    def turn(self) -> list[Step]:
        """One step of each flow that is not waiting for somebody's lock. A large transaction is finished first."""
        steps = []
        for flow in self.flows:
            not_before, pause = self._blocked.get(flow.name, (0.0, 0.0))
            if time.monotonic() < not_before:
                continue
            self.turned = time.monotonic()
            try:
                step = flow.step()
                while step is not None and flow.open:
                    self.turned = time.monotonic()
                    steps.append(step)
                    step = flow.step()
            except WriteFailed as error:
                if error.kind != "busy":
                    raise
                pause = min(max(pause * 2, 0.05), 5.0)
                self._blocked[flow.name] = (time.monotonic() + pause, pause)
                flow.totals.waiting = error.message
                continue
            self._blocked.pop(flow.name, None)
            flow.totals.waiting = ""
            if step is not None:
                steps.append(step)
        return steps

    def wait(self, seconds: float) -> None:
        """Until something may be there to read, at most so long."""
        if self._blocked:
            seconds = min(seconds, 0.05)
        if any(flow.backfill for flow in self.flows):
            seconds = min(seconds, 0.01)
        select.select([flow.stream.fileno() for flow in self.flows], [], [], seconds)
