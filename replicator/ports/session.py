"""A session that also moves whole tables: lines of one node's COPY go into another's as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from replicator.ports.writer import Writer


class Session(Writer, Protocol):
    def stream(self, sql: str) -> Iterator[bytes]:
        """The lines of a `COPY ... TO STDOUT`, many at once and always whole. Closed before its end, the statement is
        cancelled, and the transaction has to be rolled back, to a savepoint at least."""

    def load_blocks(self, sql: str, blocks: Iterable[bytes]) -> None:
        """Blocks of whole lines into a `COPY ... FROM STDIN`."""
