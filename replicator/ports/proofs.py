"""What a node knows of moments, of which versions of rows it has, and of what was proven there before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Keys = tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """`position` in the node's log, as text; `clock` in microseconds since 2000."""

    position: str
    clock: int


@dataclass(frozen=True, slots=True)
class Versions:
    """Of a table's rows, as one snapshot sees them: equal ones mean equal rows. `shape` is what else decides what its rows
    hold; None if the table is none whose rows can be told apart by their versions."""

    shape: str | None
    rows: int
    total: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What one node remembers of a comparison: see `replicator.proof` in sql/state.sql."""

    run: str
    program: str
    identity: str
    snapshot: str
    tables: Mapping[str, Versions]
    doubtful: Keys
    unlinked: int
    at: str = ""


class Proofs(Protocol):
    """Asked in the session's transaction."""

    def moment(self) -> Moment: ...

    def snapshot(self) -> str:
        """What the transaction sees, to be handed to `young` later."""

    def identity(self) -> str:
        """The server and database that this is."""

    def versions(self, tables: Sequence[str]) -> dict[str, Versions]:
        """Of tables, named as SQL names them."""

    def young(self, alias: str, snapshot: str) -> str:
        """SQL: whether the row may not have been there, or not as it is, in an earlier snapshot. Never false of one that
        was not."""

    def too_old(self, snapshot: str) -> bool:
        """Whether `young` can no longer tell of that snapshot."""

    def keeps(self) -> bool:
        """Whether there is a place for proofs; the state of an earlier version has none."""

    def load(self, link: str) -> Proof | None: ...

    def save(self, link: str, proof: Proof) -> None: ...

    def forget(self, link: str) -> None: ...
