"""The confirm step: the source may forget what is durable on the target.

Promises: nothing is confirmed before the target's disk has it, for commits do not wait for the disk; of an idle source the
checkpoint moves too, so that it keeps no WAL for us.
"""

from __future__ import annotations

import time
from collections import deque

from replicator.ports.state import FlowState
from replicator.ports.stream import Stream

IDLE_CHECKPOINT_SECONDS = 5.0
CONFIRM_SECONDS = 0.2


class Confirm:
    def __init__(self, stream: Stream, state: FlowState) -> None:
        self._stream = stream
        self._state = state
        self._saved = 0  # the checkpoint
        self._saved_at = 0.0
        self._uncertain = 0  # end on the source of the last commit since we asked what is on the disk
        self._unflushed: deque[tuple[int, int]] = deque()  # (position behind that commit on the target, end on the source)
        self._told_at = 0.0

    def committed(self, end: int) -> None:
        """Everything of the source up to there has been committed on the target; maybe not on its disk yet."""
        self._uncertain = end

    def saved(self, checkpoint: int) -> None:
        self._saved, self._saved_at = checkpoint, time.monotonic()

    def idle(self, drained: int, stamp: int) -> None:
        """Nothing has concerned us up to `drained`: now and then that becomes the checkpoint."""
        if self._saved < drained and time.monotonic() - self._saved_at > IDLE_CHECKPOINT_SECONDS:
            self._state.advance(drained, stamp, 0)
            self.committed(drained)
            self.saved(drained)

    def tell(self) -> None:
        """Tells the source what the target's disk has; asked now and then, for the answer costs a round trip."""
        if not (self._uncertain or self._unflushed) or time.monotonic() - self._told_at < CONFIRM_SECONDS:
            return
        self._told_at = time.monotonic()
        written, flushed = self._state.flushed()
        while self._unflushed and self._unflushed[0][0] <= flushed:
            self._stream.confirm(self._unflushed.popleft()[1])
        if self._uncertain:
            self._unflushed.append((written, self._uncertain))
            self._uncertain = 0
