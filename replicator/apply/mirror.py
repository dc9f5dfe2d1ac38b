"""The mirror step: pairs made or buried on the target become known on the source.

Promises: all of them in one transaction, so that how far this has come is one number for all links; at most PAGE of a link
are in memory at a time, where they are read back from the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from replicator.apply.lines import pair_lines
from replicator.apply.outcome import MirrorRow
from replicator.apply.write import FEW_ROWS
from replicator.ports.state import FlowState
from replicator.ports.writer import Writer
from replicator.program.program import Program

PAGE = 20_000


def mirror(
    programs: Mapping[str, Program], source: Writer, state: FlowState, pairs: Iterable[tuple[str, Sequence[MirrorRow]]]
) -> None:
    """In a transaction of its own on the source. `state`: that of the flow back, which remembers how far this has come."""
    source.begin()
    upto = 0
    for name, found in pairs:
        statements = programs[name].mirror
        assert statements is not None
        few = len(found) < FEW_ROWS
        clear = statements.clear if few else statements.empty
        upto = max(upto, *(seq for _, seq, *_ in found))
        source.load_lines(statements.load, pair_lines(found))
        alive = all(gone is None for _, _, gone, *_ in found)
        if not alive or source.execute(statements.fresh, prepared=few) != len(found):  # nearly always keys that nobody knew
            for statement in statements.merge:
                source.later(statement, prepared=few)
        source.later(clear, prepared=few)
    if upto:
        state.mirrored(upto)
    source.commit(durable=False)


def unmirrored(programs: Mapping[str, Program], target: Writer, after: int) -> Iterator[tuple[str, list[MirrorRow]]]:
    """Page by page, what the target knows and the source does not: pairs that got their number behind `after`."""
    target.begin()
    for name, program in programs.items():
        if program.mirror is None:
            continue
        target.execute(f"DECLARE unmirrored NO SCROLL CURSOR FOR {program.mirror.recover}", (after, after))
        while rows := target.query(f"FETCH {PAGE} FROM unmirrored"):
            yield name, [(keys, seq, *rest) for keys, seq, *rest in rows]
        target.execute("CLOSE unmirrored")
    target.commit(durable=False)
