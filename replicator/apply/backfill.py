"""Existing records on their way through a flow, chunk by chunk, beside the stream.

A chunk is read on the source in one snapshot, and the position noted. It is written when the
stream has come to that position, less what has changed since: so it takes its place among the
users' edits as if it stood in the WAL there, and never lies over a newer one.

    read    what is there now, in the order of the keys (or: what is listed)
    meet    what the stream, or an answer, changes meanwhile leaves the chunk, field by field
    due     the stream has come to where it was read: it is written, with the place to go on from, in the
            transaction of the stream's batch

A commit may be in the stream before anybody can see it (it waits for a standby): a snapshot that
does not show a transaction which was handed out already is not taken. What the flow of the other
direction writes on the source meanwhile is not in this stream, but the edits behind it are remembered until
the stream has come past it, which is after the chunk; they beat it. Killed anywhere, the next chunk
begins where the last one ended that committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replicator.apply.chunk import Chunk
from replicator.apply.outcome import Outcome
from replicator.apply.parking import Parking
from replicator.apply.write import Changes
from replicator.capture.batch import DELETE, INSERT, Key
from replicator.errors import WriteFailed
from replicator.model import stamp
from replicator.model.position import number as position_number
from replicator.ports.state import FlowState, Job, Progress
from replicator.ports.writer import Writer
from replicator.program.program import Program

FIRST_RECORDS = 500  # of the first chunk; then as many as take about so long:
CHUNK_SECONDS = 0.25
CHUNK_BYTES = 16_000_000
AGAIN_SECONDS = 0.05  # after a snapshot that does not show all that was handed out


@dataclass(slots=True)
class _Reading:
    """A chunk in hand. `more`: there are records after it. `changed`: what has changed since it was read."""

    job: Job
    chunk: Chunk
    records: int
    after: list[str]
    more: bool
    keys: list[list[str]]  # of a listed job: those that were asked for
    changed: dict[Key, int]
    since: float
    written: bool = False  # in the transaction that is open


class Backfill:
    """`hidden`: whether a transaction that was handed out is not visible in a snapshot of the source."""

    def __init__(
        self,
        programs: Mapping[str, Program],
        source: Writer,
        state: FlowState,
        node: int,
        limit: int,
        hidden: Callable[[str], bool],
    ) -> None:
        """node: the source's number. limit: records of a chunk at most."""
        self._programs = programs
        self._source = source
        self._state = state
        self._stamp = stamp.undated(node)
        self._limit = limit
        self._records = min(FIRST_RECORDS, limit)
        self._hidden = hidden
        self._jobs: list[Job] = []
        self._reading: _Reading | None = None
        self._not_before = 0.0

    def __bool__(self) -> bool:
        """Whether there is something left to do."""
        return bool(self._jobs)

    def load(self) -> None:
        """Looks what is to be done."""
        jobs = self._state.jobs()
        if self._reading is not None and all(job.id != self._reading.job.id for job in jobs):
            self._reading = None  # cancelled
        held = self._reading.job if self._reading else None
        self._jobs = [held if held is not None and held.id == job.id else job for job in jobs]

    def waits(self) -> float:
        """Seconds until something may be done (0: now, or when the stream has come so far)."""
        return max(0.0, self._not_before - time.monotonic()) if self._jobs and self._reading is None else 0.0

    def read(self) -> bool:
        """Takes the next chunk in hand, if it is time. Whether one was taken."""
        if self._reading is not None or not self._jobs or time.monotonic() < self._not_before:
            return False
        job = self._jobs[0]
        program = self._programs.get(job.link)
        if program is None:
            self._give_up(job, f"the links have no {job.link} in this direction any more")
            return False
        try:
            self._reading = self._read(job, program)
        except WriteFailed as error:
            if error.kind == "busy":
                raise
            self._give_up(job, error.message)
        return self._reading is not None

    def _read(self, job: Job, program: Program) -> _Reading | None:
        source, started = self._source, time.monotonic()
        listed = self._state.listed(job.id, self._records) if job.listed else []
        source.begin()
        try:
            source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            snapshot, at = self._state.reading(source)
            hidden = self._hidden(snapshot)
            lines: list[bytes | None] = []
            size = 0
            if not hidden and (listed or not job.listed):
                pages = program.pages
                sql = (
                    pages.listed(listed, self._stamp, at)
                    if job.listed
                    else pages.page(job.after, self._records, job.condition, self._stamp, at)
                )
                for line in source.unload(sql):
                    if size < CHUNK_BYTES or job.listed:
                        lines.append(line)
                    size += len(line)
            source.commit()
        except WriteFailed:
            source.rollback()
            raise
        if hidden:
            self._not_before = time.monotonic() + AGAIN_SECONDS
            return None
        chunk = Chunk(program, lines, position_number(at), self._stamp)
        more = len(listed) == self._records if job.listed else len(lines) == self._records or size >= CHUNK_BYTES
        keys = [list(key) for key, _ in listed]
        return _Reading(job, chunk, len(lines), chunk.last_key, more, keys, {}, started)

    def meet(self, changes: Changes) -> None:
        """What is about to be written is newer than the chunk in hand."""
        if self._reading is None:
            return
        changed = self._reading.changed
        for row in changes.get(self._reading.job.link, ()):
            fields = -1 if row.op in (INSERT, DELETE) else row.fields
            for key in {row.first_key, row.key}:
                before = changed.get(key, 0)
                changed[key] = -1 if -1 in (before, fields) or row.first_key != row.key else before | fields

    def due(self, reached: int, parking: Parking) -> Chunk | None:
        """The chunk in hand, if the stream has come to where it was read."""
        reading = self._reading
        if reading is None or reached < reading.chunk.at:
            return None
        if reading.changed or parking:
            reading.chunk.meet(reading.changed, parking.holds)
        return reading.chunk

    def written(self, outcome: Outcome) -> None:
        """The chunk is written with this outcome; in the transaction that is open: where the next one begins."""
        reading = self._reading
        assert reading is not None
        reading.written = True
        counts = outcome.written.get(reading.job.link, {})
        self._state.progress(
            Progress(
                reading.job.id,
                None if reading.job.listed else reading.after or None,
                reading.keys,
                reading.records,
                counts.get("insert", 0),
                counts.get("update", 0),
                len(outcome.parked),
                not reading.more,
            )
        )

    def undone(self) -> None:
        """That transaction was not to be: the chunk is still to be written."""
        if self._reading is not None:
            self._reading.written = False

    def settled(self) -> None:
        """That transaction has committed."""
        reading = self._reading
        if reading is None or not reading.written:
            return
        self._reading = None
        now = time.monotonic()
        took = now - reading.since
        if reading.more:
            reading.job.after = reading.after
            if reading.records >= self._records:
                grown = self._records * min(2.0, max(0.5, CHUNK_SECONDS / max(took, 0.001)))
                self._records = max(1, min(self._limit, int(grown)))
            if reading.job.rate:
                self._not_before = reading.since + reading.records / reading.job.rate
        else:
            self._jobs = [job for job in self._jobs if job.id != reading.job.id]

    def _give_up(self, job: Job, problem: str) -> None:
        self._jobs.remove(job)
        self._state.gave_up(job.id, problem)
