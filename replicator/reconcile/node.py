"""One end of a comparison."""

from __future__ import annotations

from dataclasses import dataclass

from replicator.ports.proofs import Proofs
from replicator.ports.session import Session


@dataclass(frozen=True, slots=True)
class Node:
    """`number` as in the configuration. `proofs` asks in the session's transaction."""

    name: str
    number: int
    session: Session
    proofs: Proofs
