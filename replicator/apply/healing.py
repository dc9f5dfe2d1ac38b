"""The heal step: users' edits of the source, before they are written on the target.

Promises: every edit that the target may have to know is noted; those that were read late, after
something had been written over them, are put right on their own node (program/heal.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from replicator.apply.lines import heal_lines
from replicator.apply.write import FEW_ROWS, Changes
from replicator.capture.batch import DELETE, RowChange
from replicator.capture.block import Block
from replicator.capture.edits import Edits, edits_of, edits_of_block
from replicator.capture.payload import from_json, key_texts
from replicator.model import stamp
from replicator.model.position import number as position_number
from replicator.model.position import text as position_text
from replicator.ports.state import Parked
from replicator.ports.writer import Writer
from replicator.program.program import Program


class Healing:
    """`edits`: link -> what is remembered of the source's users. `source`: the session on their node."""

    def __init__(self, programs: Mapping[str, Program], edits: Mapping[str, Edits], source: Writer) -> None:
        self._programs = programs
        self._edits = edits
        self._source = source

    def late(self, changes: Changes, last_write: int, drained: int, in_parts: bool) -> Changes:
        """Notes the edits, and gives those that may have been written over up to `last_write`. Of a change that was parked
        only what came since counts: what was read up to `drained` has been looked at.
        `in_parts`: these are more of the transaction before."""
        late: Changes = {}
        for name, rows in changes.items():
            edits = self._edits.get(name)
            if edits is None:
                continue
            program = self._programs[name]
            inserts = program.steps.adopt is not None or program.fills
            found = edits_of_block(rows, inserts) if isinstance(rows, Block) else edits_of(rows, inserts)
            edits.fly(found, in_parts)
            if isinstance(rows, Block) and rows.oldest >= last_write:
                continue
            mine = (r if r.parked is None else _since(r, drained) for r in rows if r.op != DELETE)
            some = [r for r in mine if any(t.lsn < last_write for t in r.touches)]
            if some and self._programs[name].heal is not None:
                late[name] = some
        return late

    def write(self, late: Changes) -> int:
        """How many rows were healed. In the transaction that is open on the source."""
        healed = 0
        for name, rows in late.items():
            heal, few = self._programs[name].heal, len(rows) < FEW_ROWS
            if heal is None:
                continue
            self._source.load(heal.load, heal_lines(rows, heal.columns, len(self._programs[name].link.fields)))
            oldest = position_text(min(touch.lsn for row in rows for touch in row.touches))
            if heal.announce:
                self._source.execute(heal.announce, (oldest,))
            healed += self._source.execute(heal.merge, (oldest,), prepared=few)
            self._source.execute(heal.clear)
            self._look_again(self._programs[name], rows)
        return healed

    def _look_again(self, program: Program, rows: Sequence[RowChange]) -> None:
        """A record that had left `where` when it was edited may take part again, by what the other side has written since: what
        the edit says of it is then a value like any other, and the newest stands. As it is now, the record has not left."""
        if program.reread is None or program.link.side(program.source).where is None or program.feed.weighed:
            return
        for row in rows:
            found = self._source.query(program.reread, key_texts(row.key))
            if found:
                row.values[:] = [None if text is None else text.encode() for text in found[0][0]]

    def recall(self, some: Iterable[Parked]) -> None:
        """Notes the edits of parked changes, which stand in no ledger: what the other side says is weighed against them."""
        for parked in some:
            program = self._programs.get(parked.link)
            if program is not None and parked.link in self._edits and parked.payload:
                row = from_json(parked.payload, program.feed.columns)
                inserts = program.steps.adopt is not None or program.fills
                self._edits[parked.link].kept[parked.id] = edits_of([row], inserts)

    def recover(self, target: Writer, drained: int, beyond: Mapping[str, frozenset[int]]) -> int:
        """After a start: takes from the target's ledger which edits were written there behind `drained`, and so may not be
        known to what the target's users did since. Gives the position of the newest entry. `beyond`: see Flow."""
        unread = (position_text(drained),)
        for link, program in self._programs.items():
            found = target.query(program.edits_recover, unread) if program.edits_recover is not None else []
            # Those of one transaction of the target, which stand together, became known at once, with the last of them.
            for _, some in groupby(sorted(found, key=lambda row: position_number(row[3])), key=itemgetter(4)):
                rows, edits = list(some), self._edits[link]
                edits.fly(
                    [
                        (tuple(k.encode() for k in keys), int(fields[::-1], 2), made, False)
                        for keys, fields, made, *_ in rows
                        if stamp.node_of(made) in beyond[link]
                    ]
                )
                edits.landed(position_number(rows[-1][3]))
        newest = [target.query(p.newest_entry, unread)[0][0] for p in self._programs.values() if p.newest_entry]
        return max((position_number(at) for at in newest if at), default=0)


def _since(row: RowChange, drained: int) -> RowChange:
    """Of a change that was parked and has others with it now: those."""
    return replace(row, touches=[touch for touch in row.touches if touch.lsn > drained])
