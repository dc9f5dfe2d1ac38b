"""Existing records on their way through a flow, chunk by chunk, beside the stream.

A chunk is read on the source in one snapshot, and the position noted. It is written when the
stream has come to that position, less what has changed since: so it takes its place among the
users' edits as if it stood in the WAL there, and never lies over a newer one.

    read    what is there, in the order of the keys (or: what is listed), while the chunk before is being written
    meet    what the stream, or an answer, changes meanwhile leaves the chunk, field by field
    due     the stream has come to where it was read: it is written, with the place to go on from, in the
            transaction of the stream's batch

A commit may be in the stream before anybody can see it (it waits for a standby): a snapshot that
does not show a transaction which was handed out before it was taken is of no use. What the flow of
the other direction writes on the source meanwhile is not in this stream; the edits behind it are
remembered until the chunk is through (`floor`), and beat it. Killed anywhere, the next chunk begins
where the last one ended that committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from replicator.apply.ahead import Ahead, Page
from replicator.apply.chunk import Chunk
from replicator.apply.outcome import Outcome
from replicator.apply.parking import Parking
from replicator.apply.write import Changes
from replicator.capture.batch import DELETE, INSERT, Key
from replicator.errors import WriteFailed
from replicator.model import stamp
from replicator.model.position import number as position_number
from replicator.ports.state import FlowState, Job, Progress
from replicator.ports.stream import Stream
from replicator.ports.writer import Writer
from replicator.program.program import Program

FIRST_RECORDS = 500  # of the first chunk; then as many as take about so long:
CHUNK_SECONDS = 0.25
AGAIN_SECONDS = 0.05  # after a snapshot that does not show all that was handed out
PATIENCE = 0.02  # for a page that is being read, before the stream has its turn again


@dataclass(slots=True)
class _Reading:
    """A page that is being read, and then a chunk in hand.

    after     the key that it begins after; then, in `last`, the one it ends with
    listed    of a listed job: the records that were asked for
    handed    numbers of transactions that were handed out before it was begun
    floor     the source's position before it was begun
    changed   what has changed since, with the mask of fields; -1: the record as such
    """

    job: Job
    program: Program
    wanted: int
    listed: Sequence[tuple[list[str], str | None]]
    handed: frozenset[int]
    floor: int
    since: float
    changed: dict[Key, int] = field(default_factory=dict)
    chunk: Chunk | None = None
    records: int = 0
    last: list[str] = field(default_factory=list)
    more: bool = False
    written: bool = False  # in the transaction that is open

    def take(self, page: Page, undated: int) -> None:
        self.chunk = Chunk(self.program, page.lines, position_number(page.at), undated)
        self.records, self.last = len(page.lines), self.chunk.last_key
        self.more = len(self.listed or page.lines) == self.wanted or not page.whole

    def meet(self, changes: Changes) -> None:
        for row in changes.get(self.job.link, ()):
            fields = -1 if row.op in (INSERT, DELETE) or row.first_key != row.key else row.fields
            for key in {row.first_key, row.key}:
                before = self.changed.get(key, 0)
                self.changed[key] = -1 if -1 in (before, fields) else before | fields


class Backfill:
    """`open_reader`: a session on the source for reading ahead. node: the source's number. limit: records of a chunk at most."""

    def __init__(
        self,
        programs: Mapping[str, Program],
        open_reader: Callable[[], Writer],
        state: FlowState,
        stream: Stream,
        node: int,
        limit: int,
    ) -> None:
        self._programs = programs
        self._ahead = Ahead(open_reader, state)
        self._state = state
        self._stream = stream
        self._undated = stamp.undated(node)
        self._limit = limit
        self._records = min(FIRST_RECORDS, limit)
        self._jobs: list[Job] = []
        self._next: _Reading | None = None  # being read
        self._hand: _Reading | None = None  # to be written
        self._taken = 0.0  # when the chunk came to hand
        self._not_before = 0.0

    def __bool__(self) -> bool:
        """Whether there is something left to do."""
        return bool(self._jobs)

    @property
    def floor(self) -> int | None:
        """What was written on the source behind this position may be missing in a chunk that is not through yet."""
        return min((one.floor for one in (self._hand, self._next) if one is not None), default=None)

    def load(self, paused: Collection[str] = ()) -> None:
        """Looks what is to be done. Jobs of links that are paused wait with them: a chunk that is read is read again."""
        known = {job.id: job for job in self._jobs}
        jobs = [job for job in self._state.jobs() if job.link not in paused]
        for job in jobs:
            if job.id in known:
                known[job.id].rate = job.rate
        self._jobs = [known.get(job.id, job) for job in jobs]
        wanted = {job.id for job in self._jobs}
        if self._hand is not None and self._hand.job.id not in wanted:
            self._hand = None  # cancelled

    def read(self) -> bool:
        """Sees to it that a page is being read, and takes it in hand when it has been. Whether a chunk has come to hand."""
        if self._next is None and not self._ahead.busy:
            self._begin()
        if self._hand is not None or not self._ahead.busy:
            return False
        reading, page = self._next, None
        try:
            page = self._ahead.take(PATIENCE)
        except WriteFailed as error:
            self._next = None
            if error.kind in ("transient", "locked", "environment"):
                raise
            if reading is not None:
                self._give_up(reading.job, error.message)
            return False
        if page is None:
            return False
        self._next = None
        if reading is None or all(job.id != reading.job.id for job in self._jobs):
            return False  # cancelled meanwhile
        if self._stream.hidden(page.snapshot, reading.handed):
            self._not_before = time.monotonic() + AGAIN_SECONDS
            return False
        reading.take(page, self._undated)
        self._hand, self._taken = reading, time.monotonic()
        self._begin()
        return True

    def _begin(self) -> None:
        """Lets the next page be read, if it is known where it begins and time for it."""
        before = self._hand
        job = next(iter(self._jobs), None)
        if job is None or time.monotonic() < self._not_before:
            return
        if before is not None and (before.job is not job or not before.more or job.listed or job.rate):
            return
        program = self._programs.get(job.link)
        if program is None:
            self._give_up(job, f"the links have no {job.link} in this direction any more")
            return
        wanted = self._records
        listed = self._state.listed(job.id, wanted) if job.listed else []
        after = before.last if before is not None else job.after
        pages, undated = program.pages, self._undated
        handed, floor = self._stream.handed(), self._stream.position
        self._next = _Reading(job, program, wanted, listed, handed, floor, time.monotonic())
        if job.listed:
            self._ahead.start(lambda at: pages.listed(listed, undated, at))
        else:
            self._ahead.start(lambda at: pages.page(after, wanted, job.condition, undated, at))

    def meet(self, changes: Changes) -> None:
        """What is about to be written is newer than what was read."""
        for reading in (self._hand, self._next):
            if reading is not None:
                reading.meet(changes)

    def due(self, reached: int, parking: Parking) -> Chunk | None:
        """The chunk in hand, if the stream has come to where it was read."""
        reading = self._hand
        if reading is None or reading.chunk is None or reached < reading.chunk.at:
            return None
        if reading.changed or parking:
            reading.chunk.meet(reading.changed, parking.holds)
        return reading.chunk

    def written(self, outcome: Outcome) -> None:
        """The chunk is written with this outcome; in the transaction that is open: where the next one begins."""
        reading = self._hand
        assert reading is not None
        reading.written = True
        counts = outcome.written.get(reading.job.link, {})
        self._state.progress(
            Progress(
                reading.job.id,
                None if reading.job.listed else reading.last or None,
                [key for key, _ in reading.listed],
                reading.records,
                counts.get("insert", 0),
                counts.get("update", 0),
                len(outcome.parked),
                not reading.more,
            )
        )

    def too_many(self, problem: str) -> None:
        """More of its records are refused than may be parked: in the transaction that is open, the job is given up."""
        reading, self._hand = self._hand, None
        if reading is not None:
            self._give_up(reading.job, problem)

    def undone(self) -> None:
        """That transaction was not to be: the chunk is still to be written."""
        if self._hand is not None:
            self._hand.written = False

    def settled(self) -> None:
        """That transaction has committed."""
        reading = self._hand
        if reading is None or not reading.written:
            return
        self._hand = None
        now = time.monotonic()
        if not reading.more:
            self._jobs = [job for job in self._jobs if job.id != reading.job.id]
            return
        reading.job.after = reading.last
        if reading.records >= reading.wanted == self._records:
            grown = self._records * min(2.0, max(0.5, CHUNK_SECONDS / max(now - self._taken, 0.001)))
            self._records = max(1, min(self._limit, int(grown)))
        if reading.job.rate:
            self._not_before = reading.since + reading.records / reading.job.rate

    def _give_up(self, job: Job, problem: str) -> None:
        self._jobs = [one for one in self._jobs if one.id != job.id]
        self._state.gave_up(job.id, problem)
