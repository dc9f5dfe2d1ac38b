"""The one comparison: what a link's program would do with records of the source as they are now.

`plan` asks it what changed links would do, `reconcile` asks whether both sides agree. Promises: lines travel from COPY to
COPY without being looked at; memory does not grow with the tables; no row of anybody's is written or locked; a record that
the target cannot take is found by halves and does not hide the others. Both sessions are in a transaction, which the
caller opens and rolls back: it decides what the records are seen with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from replicator.errors import WriteFailed
from replicator.ports.session import Session
from replicator.program.compare import Compare
from replicator.program.program import Program, Waiting
from replicator.reconcile.ahead import ahead

CHUNK_ROWS = 1_000_000  # that land on the target at once
CAREFUL_ROWS = 2_000  # where some of them cannot even land
FETCHED = 5_000
UNESCAPED = re.compile(rb"\\(.)", re.DOTALL)
HALVINGS = 4_000  # statements spent on finding which of many records are refused

Values = tuple[str | None, str | None]  # what comes, what stands
Key = tuple[str | None, ...]  # a unique column that is taken for the key may be NULL


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would become of a record that is not plainly equal. `act` as in Steps, or `refused`: a value cannot be converted.

    there, inside   whether the target's record is there, and takes part
    fields          name -> values, where they differ
    wait            what it would wait for; that field is not among `fields`
    digest          of everything that was compared
    dead            a pair of the source's record is among the tombstones
    """

    act: str
    source_key: Key
    target_key: Key | None = None
    there: bool = False
    inside: bool = False
    fields: dict[str, Values] = field(default_factory=dict)
    wait: Waiting | None = None
    digest: str = ""
    dead: bool = False
    said: str = ""


class Comparison:
    """`stamp`, `position`: of the source, now: its records are taken as edits of this moment."""

    def __init__(self, asked: Compare, program: Program, source: Session, target: Session, stamp: int, position: str) -> None:
        self._asked, self._program = asked, program
        self._source, self._target = source, target
        self._stamp, self._position = stamp, position
        self._unreadable: list[Verdict] = []
        self._halvings = HALVINGS
        self.rows = self.suspects = self.unreadable = 0

    def prepare(self) -> None:
        for ddl in self._program.setup:
            self._target.execute(ddl)
        for ddl in self._program.derive.setup if self._program.derive else ():
            self._source.execute(ddl)
        for ddl in self._asked.source_setup:
            self._source.execute(ddl)
        for ddl in self._asked.target_setup:
            self._target.execute(ddl)

    def want(self, keys: Iterable[Key]) -> None:
        """Records that `read(wanted=True)` will look at, besides those wanted already."""
        self._source.load(self._asked.wanted, keys)

    def want_from(self, blocks: Iterator[bytes]) -> None:
        """The same, as lines of keys."""
        self._source.load_blocks(self._asked.wanted, blocks)

    def read(
        self,
        inside: bool = False,
        wanted: bool = False,
        limit: int | None = None,
        seen: Callable[[int], None] = lambda rows: None,
    ) -> int:
        """Brings records beside the target's; those that are not plainly equal are kept for `verdicts`. Gives how many it
        read. `seen` hears of their number as they come."""
        sql = self._asked.records(self._stamp, self._position, inside, wanted, limit)
        before = self.rows, self.suspects
        for session in (self._source, self._target):
            session.execute("SAVEPOINT reading")
        try:
            self._read(sql, seen)
        except WriteFailed as error:
            for session in (self._source, self._target):
                session.execute("ROLLBACK TO SAVEPOINT reading")
            if not error.of_rows:
                raise
            self.rows, self.suspects = before
            self._read_carefully(sql, seen)
        return self.rows - before[0]

    def _read(self, sql: str, seen: Callable[[int], None]) -> None:
        blocks = ahead(self._source.stream(sql))
        try:
            more = True
            while more:
                more = self._land(blocks, seen)
                self._sift()
        finally:
            blocks.close()  # type: ignore[attr-defined]

    def _land(self, blocks: Iterator[bytes], seen: Callable[[int], None]) -> bool:
        """Up to a chunk. Whether there may be more."""
        ended = True

        def chunk() -> Iterator[bytes]:
            nonlocal ended
            landed = 0
            for block in blocks:
                yield block
                count = block.count(b"\n")
                self.rows += count
                landed += count
                seen(self.rows)
                if landed >= CHUNK_ROWS:
                    ended = False
                    return

        self._target.load_blocks(self._asked.load, chunk())
        return not ended

    def _sift(self) -> None:
        self._target.execute("SAVEPOINT sifting")
        try:
            more = self._target.execute(self._asked.sift, (self.suspects,))
        except WriteFailed as error:
            if not error.of_rows:
                raise
            self._target.execute("ROLLBACK TO SAVEPOINT sifting")
            more = self._target.execute(self._asked.every, (self.suspects,))
        self._target.execute("RELEASE SAVEPOINT sifting")
        self.suspects += more
        self._target.execute(self._asked.empty_sieve)

    def _read_carefully(self, sql: str, seen: Callable[[int], None]) -> None:
        """Few lines at a time; those that the stage does not take are refused, and the others land."""
        lines: list[bytes] = []
        for block in self._source.stream(sql):
            lines += block.splitlines(keepends=True)
            while len(lines) >= CAREFUL_ROWS:
                self._land_lines(lines[:CAREFUL_ROWS])
                del lines[:CAREFUL_ROWS]
                seen(self.rows)
        self._land_lines(lines)

    def _land_lines(self, lines: Sequence[bytes]) -> None:
        self._target.execute("SAVEPOINT landing")
        try:
            self._target.load_blocks(self._asked.load, lines)
        except WriteFailed as error:
            if not error.of_rows:
                raise
            self._target.execute("ROLLBACK TO SAVEPOINT landing")
            if len(lines) == 1:
                self.rows += 1
                self.unreadable += 1
                self._unreadable.append(Verdict("refused", self._key_in(lines[0]), said=error.message))
                return
            for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
                self._land_lines(half)
            return
        self._target.execute("RELEASE SAVEPOINT landing")
        self.rows += len(lines)
        self._sift()

    def _key_in(self, line: bytes) -> Key:
        first = self._asked.key_at
        cells = line.rstrip(b"\n").split(b"\t")[first : first + self._program.feed.keys]
        return tuple(None if cell == b"\\N" else UNESCAPED.sub(_unescaped, cell).decode(errors="replace") for cell in cells)

    def verdicts(self) -> Iterator[Verdict]:
        """Of every suspect; then there are none."""
        yield from self._unreadable
        self._unreadable = []
        if self.suspects:
            yield from self._judged(0, self.suspects)
            self.suspects = 0
            self._target.execute(self._asked.empty_suspects)

    def _judged(self, low: int, high: int) -> Iterator[Verdict]:
        """The suspects numbered above `low` and up to `high`: all together, for it matters which of them match one record."""
        target = self._target
        target.execute("SAVEPOINT judging")
        try:
            held = self._asked_of(low, high)
        except WriteFailed as error:
            target.execute("ROLLBACK TO SAVEPOINT judging")
            if not error.of_rows:
                raise
            self._halvings -= 1
            if high - low == 1 or self._halvings <= 0:
                for _, key in target.query(self._asked.keys, (low, high)):
                    yield Verdict("refused", tuple(key), said=error.message)
                return
            middle = (low + high) // 2
            yield from self._judged(low, middle)
            yield from self._judged(middle, high)
            return
        waits = {wait.field: wait for wait in self._program.waits}
        fields = _Ahead(self._fetched("fields") if self._asked.fields else iter(()))
        for seq, act, source, key, there, inside, digest, dead in self._fetched("acts"):
            missing = held.get(seq)
            number, link = missing or (None, None)
            wait = None if number is None else Waiting(link, waits[number].message(link))
            differing = {name: (comes, stands) for _, i, name, comes, stands in fields.of(seq) if i != number}
            to = None if key is None else tuple(key)
            yield Verdict(act, tuple(source), to, there, inside, differing, wait, digest, dead)
        target.execute("ROLLBACK TO SAVEPOINT judging")

    def _asked_of(self, low: int, high: int) -> dict[int, tuple[int, str | None]]:
        """Runs the program's steps up to where something would be written. Gives number -> field of what would wait, and for
        which link."""
        target, steps = self._target, self._program.steps
        target.execute(self._asked.take, (low, high))
        if self._program.paired:
            target.execute(steps.project)
            if steps.adopt:
                target.execute(steps.adopt)
        target.execute(f"DECLARE acts NO SCROLL CURSOR FOR {self._asked.acts}")
        if self._asked.fields:
            target.execute(f"DECLARE fields NO SCROLL CURSOR FOR {self._asked.fields}")
        return {seq: (number, link) for seq, number, _, link in target.query(steps.hold)} if steps.hold else {}

    def _fetched(self, cursor: str) -> Iterator[tuple]:  # type: ignore[type-arg]
        while rows := self._target.query(f"FETCH {FETCHED} FROM {cursor}"):
            yield from rows


def _unescaped(found: re.Match[bytes]) -> bytes:
    return {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}.get(found[1], found[1])


class _Ahead:
    """Rows in the order of their first column, handed out by it."""

    def __init__(self, rows: Iterator[tuple]) -> None:  # type: ignore[type-arg]
        self._rows = rows
        self._next = next(rows, None)

    def of(self, number: int) -> Iterator[tuple]:  # type: ignore[type-arg]
        while self._next is not None and self._next[0] == number:
            yield self._next
            self._next = next(self._rows, None)
