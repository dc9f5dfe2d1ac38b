"""What a node has to tell beside its users' edits: values it made itself, what it owns, decisions on clashes.

`Answers` holds those of one flow's source until the stream has come to the position at which
they were given. So they take their place among the users' edits as if they stood in the WAL,
and no older edit can come after one. The outbox table is the truth; this follows it after
every commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicator.capture.batch import UPDATE, Delta, RowChange, Touch, amount
from replicator.capture.messages import Value
from replicator.capture.payload import key_texts, to_json
from replicator.model import stamp
from replicator.model.failure import BY_REASON
from replicator.ports.state import FlowState, Parked
from replicator.program.program import Program

HOPS = 4  # a value that came back changed so often will not settle
FLIPS = (
    "{place}: {source} and {target} keep changing what the other writes in {fields} (a trigger, a rounding), so it is no longer"
    " sent to and fro; `replicator conflicts list` has both values"
)


@dataclass(slots=True)
class Answers:
    """`waiting`: (id in the outbox, link, row) in the order they were given; `upto`: the last id that is applied."""

    waiting: list[tuple[int, str, RowChange]] = field(default_factory=list)
    upto: int = 0
    _due: int = 0

    def any_due(self, reached: int) -> bool:
        return bool(self.waiting) and self.waiting[0][2].lsn <= reached

    def due(self, reached: int) -> list[tuple[str, RowChange]]:
        """Those that may go now that the stream has come so far: all of them, for later edits go with them; of a transaction
        that comes in parts, those that did not go with a part before. They stay until `settled`."""
        before = self._due
        for _, _, row in self.waiting[before:]:
            if row.lsn > reached:
                break
            self._due += 1
        return [(link, row) for _, link, row in self.waiting[before : self._due]]

    def undone(self) -> None:
        """What was due is not applied after all."""
        self._due = 0

    @property
    def last(self) -> int:
        """Id of the last one due."""
        return self.waiting[self._due - 1][0] if self._due else 0

    @property
    def greatest_stamp(self) -> int:
        return max((row.stamp for _, _, row in self.waiting[: self._due]), default=0)

    def told_already(self, links: Mapping[str, Iterable[RowChange]], weighed: Mapping[str, int]) -> None:
        """New records come with their values themselves: what an answer only repeats of fields that go by values (`weighed`:
        link -> mask) would be weighed a second time, against what has been decided since."""
        if not self.waiting:
            return
        new = {(link, row.key) for link, rows in links.items() for row in rows if row.created_here}
        for _, link, answer in self.waiting if new else ():
            if (link, answer.key) in new and not answer.expected and not answer.base:
                answer.fields &= ~weighed[link]
                for touch in answer.touches:
                    touch.fields &= ~weighed[link]

    def settled(self) -> None:
        """What was due is applied and committed."""
        if self._due:
            self.upto = self.last
            del self.waiting[: self._due]
            self._due = 0

    def counted_since(self) -> dict[tuple[str, Any], int]:
        """Records whose counters were settled by an answer that is still waiting: (link, key) -> from which position on
        what is added counts."""
        return {(link, row.key): row.lsn for _, link, row in self.waiting if row.deltas}


def send_back(
    state: FlowState, flow: str, programs: Mapping[str, Program], given: Sequence[tuple[str, RowChange]], position: int
) -> list[tuple[int, str, RowChange]]:
    """Puts answers that were given at this position into the outbox, for the flow that leads back; `programs` are its."""
    for _, row in given:
        row.lsn = position
        for touch in row.touches:
            touch.lsn = position
    ids = state.send_back(flow, ((name, to_json(row, programs[name].feed.columns)) for name, row in given)) if given else []
    return [(number, name, row) for number, (name, row) in zip(ids, given, strict=True)]


@dataclass(frozen=True, slots=True)
class Returned:
    """`row` for the way back, or, if `stopped`, what would have gone on for ever."""

    seq: int
    row: RowChange
    stopped: bool


def returned(
    program: Program, back: Program, rows: Sequence[RowChange], found: Sequence[tuple[Any, ...]], node: int, at: int
) -> list[Returned]:
    """The rows that program/returned.py found, as changes of the target's own (`node`), stamped just above what they answer.
    Their position is filled in when it is known. `at`: when that was, where further nodes hear of it too (else 0): what
    triggers made of other fields is for all of them the target's change of that moment (capture/passed.py)."""
    link, feed = program.link, back.feed
    answers = []
    for seq, mask, texts, answered, was, amounts, again in found:
        asked = rows[seq]
        values: list[Value] = [None if t is None else t.encode() for t in texts]
        fields = int(mask[::-1], 2)
        made = stamp.above(asked.stamp, node)
        beside = fields & ~asked.fields if at and asked.op == UPDATE and not link.update_wins else 0
        then = max(made, stamp.make(at, node)) if beside else made
        touches = [t for t in (Touch(fields & ~beside, made, 0, answer=True), Touch(beside, then, 0, answer=True)) if t.fields]
        change = RowChange(UPDATE, tuple(values[: feed.keys]), values, {}, fields, touches, then, 0)
        change.hops, change.again = asked.hops + 1, again
        known = int(answered[::-1], 2) if answered else 0
        for number, before in zip(feed.weighed, was, strict=True):
            if not fields >> number & 1:
                continue
            if known >> number & 1:
                # The other side has what it sent.
                sent = program.feed.columns.index(link.fields[number].columns[program.source])
                change.expected[number] = asked.values[sent]
            elif before is not None:
                change.base[feed.columns.index(link.fields[number].columns[program.target])] = [(0, before.encode())]
        change.deltas = [
            _delta(number, text) for (number, _), text in zip(feed.counted, amounts, strict=True) if text is not None
        ]
        answers.append(Returned(seq, change, change.hops > HOPS))
    return answers


def stopped(program: Program, back: Program, state: FlowState, row: RowChange, answer: RowChange) -> Parked:
    """Both sides keep changing what the other writes: the value is not sent again but logged, and a person has to look."""
    link, names = program.link, []
    for number, at in enumerate(link.fields):
        if answer.fields >> number & 1 and len(at.columns) == 2:
            names.append(at.name)
            came = program.feed.columns.index(at.columns[program.source])
            stands = back.feed.columns.index(at.columns[program.target])
            values = (_text(row.values[came]), _text(answer.values[stands]))
            keys = (",".join(key_texts(row.key)), ",".join(key_texts(answer.key)))
            state.stopped(link.name, at.name, keys, values, row.stamp, str(at.mark))
    message = FLIPS.format(place=link.mark, fields=", ".join(names), source=program.source, target=program.target)
    return Parked(link.name, key_texts(row.key), "flips", None, message, None, {}, policy=BY_REASON["flips"])


def _text(value: Value) -> str | None:
    return value.decode() if isinstance(value, bytes) else None


def _delta(number: int, text: str) -> Delta:
    return (0, number, amount(text.encode()))
