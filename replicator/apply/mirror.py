"""The mirror step: pairs made or buried on the target become known on the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replicator.apply.outcome import MirrorRow
from replicator.apply.write import FEW_ROWS
from replicator.ports.state import FlowState
from replicator.ports.writer import Writer
from replicator.program.program import Program


def mirror(programs: Mapping[str, Program], source: Writer, state: FlowState, pairs: Mapping[str, Sequence[MirrorRow]]) -> None:
    """In a transaction of its own on the source. `state`: that of the flow back, which remembers how far this has come."""
    source.begin()
    for name, found in pairs.items():
        statements = programs[name].mirror
        assert statements is not None
        source.load(statements.load, [[*keys, seq, a, b, made] for keys, seq, a, b, made in found])
        for statement in statements.merge:
            source.execute(statement, prepared=len(found) < FEW_ROWS)
    state.mirrored(max(seq for found in pairs.values() for _, seq, *_ in found))
    source.commit(durable=False)
