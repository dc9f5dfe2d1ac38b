"""The writing end of a flow: one session on a node, used for everything that is written there for one other node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from replicator.capture.messages import Value


class Writer(Protocol):
    """Statements run inside the transaction opened by `begin`, outside of one each is its own.

    Errors: NodeUnavailable when the session is lost (the transaction with it), else the
    engine's WriteFailed with `kind`. After WriteFailed the transaction (or the savepoint)
    must be rolled back.
    """

    def begin(self, later: bool = False) -> None:
        """`later`: see below."""

    def commit(self, durable: bool = True) -> None:
        """Returns when the transaction is durable; without `durable`, a crash of the server may undo it as a whole."""

    def rollback(self) -> None: ...

    def later(self, sql: str, params: Sequence[Value | str | int] = (), prepared: bool = False) -> None:
        """As `execute`, but in one round trip with the next statement, before it; what goes wrong is said there. Parameters
        are texts of the types that are wanted."""

    def execute(self, sql: str, params: Sequence[Any] = (), prepared: bool = False) -> int:
        """The number of rows it touched. `prepared`: worth keeping the plan; it must suit a few rows."""

    def query(self, sql: str, params: Sequence[Any] = (), prepared: bool = False) -> list[tuple[Any, ...]]: ...

    def load(self, sql: str, rows: Iterable[Sequence[Value | str | int]]) -> None:
        """Bulk-loads rows of raw text values; str and int are written as they print. May not be repeated."""

    def unload(self, sql: str) -> Iterable[bytes]:
        """What COPY ... TO STDOUT gives, line by line, each with its end. To be read to the last before anything else runs."""

    def load_lines(self, sql: str, lines: Iterable[bytes]) -> None:
        """Bulk-loads lines as `unload` gave them."""

    def snapshot(self) -> str:
        """Which transactions this session sees now, for `Stream.hidden`."""

    def close(self) -> None: ...
