"""The reading end of a flow."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from replicator.capture.batch import Batch


class Stream(Protocol):
    """Whole transactions of one source, from the checkpoint on."""

    @property
    def position(self) -> int:
        """Everything up to here has been handed out, or concerned no link. Rises only."""

    def read(self, limit: int) -> Batch | None:
        """What is there now: up to about `limit` rows, ending between transactions; None if nothing is.

        Never blocks longer than it takes to fill a batch that the source is known to be sending.
        A transaction larger than the limits comes in several batches, all but its last with `complete` false.
        Raises NodeUnavailable when the connection breaks.
        """

    def confirm(self, upto: int) -> None:
        """Changes up to `upto` are durable on the target: the source may forget them. May be repeated."""

    def alive(self) -> None:
        """Tells the source now and then that we are there, while nothing is read: else it would hang up after a minute."""

    def ask(self) -> None:
        """Asks the source how far it has come, so that `position` moves even if nothing of ours happens there."""

    def handed(self) -> frozenset[int]:
        """Numbers of the last transactions that were read."""

    def hidden(self, snapshot: str, handed: Collection[int]) -> bool:
        """Whether one of these transactions is not visible in this snapshot of the source: it has committed, but nobody is
        to see it yet."""

    def fileno(self) -> int:
        """Readable when there may be something to read."""

    def interrupt(self) -> None:
        """May be called by another thread: `read` comes back soon, with nothing, and is not to be called again."""

    def close(self) -> None: ...
