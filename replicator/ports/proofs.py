"""What a node knows of moments, and of what was proven there before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Moment:
    """`position` in the node's log, as text; `clock` in microseconds since 2000."""

    position: str
    clock: int


class Proofs(Protocol):
    """Asked in the session's transaction."""

    def moment(self) -> Moment: ...
