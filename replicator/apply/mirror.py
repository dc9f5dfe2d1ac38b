"""The mirror step: pairs made or buried on the target become known on the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replicator.apply.lines import pair_lines
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
        few = len(found) < FEW_ROWS
        source.load_lines(statements.load, pair_lines(found))
        alive = all(gone is None for _, _, gone, *_ in found)
        if not alive or source.execute(statements.fresh, prepared=few) != len(found):  # nearly always keys that nobody knew
            for statement in statements.merge:
                source.later(statement, prepared=few)
        source.later(statements.clear, prepared=few)
    state.mirrored(max(seq for found in pairs.values() for _, seq, *_ in found))
    source.commit(durable=False)
