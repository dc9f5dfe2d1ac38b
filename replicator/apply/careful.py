"""The careful way to write: the changes at fault are found and set aside, all others are written.

    in_parts   in ever smaller parts, each under a savepoint; what is refused alone is parked
    wake       changes that waited for records made meanwhile go the same way

Promises: a change that the target refuses, or that somebody's lock holds up, takes no other with it; a link that is
broken as a whole costs two attempts, not one a change. More refusals than the limits allow raise TooManyParked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from replicator.apply.chunk import EXISTS
from replicator.apply.gather import one_by_one, rejoin, restored
from replicator.apply.limit import Limit
from replicator.apply.outcome import MirrorRow, Outcome
from replicator.apply.parking import Parking
from replicator.apply.pauses import Pauses
from replicator.apply.waiting import parked_ids, set_aside
from replicator.apply.write import BatchWrite, Changes, Rows
from replicator.capture.batch import INSERT, RowChange
from replicator.errors import StructureChanged, WriteFailed
from replicator.model.failure import POLICIES
from replicator.ports.state import FlowState, Parked
from replicator.ports.writer import Writer
from replicator.program.program import Program

DATATYPE_MISMATCH = "42804"
UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION = "23505", "23503"
WORTH_ANOTHER_TRY = (UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION)  # once the rest of the batch is written
# Also after a rollback: else hundreds of refusals would be nested as deep.
RELEASE = "RELEASE SAVEPOINT part; SET CONSTRAINTS ALL DEFERRED"
MANY, MANY_PIECES = 200, 8  # so many changes are not halved but cut finer: with many at fault, each time all are staged again
SAMPLED_FROM, SAMPLE = 1_000, 20  # changes
LOCK_TIMEOUT_MS = 20  # while looking for the changes that somebody's lock holds up
WOKEN = 5_000  # changes that are woken at once; the others follow
LOCKED_PARTS = 100  # more than that are not some users' rows: the table, or all of it, is locked


class CarefulWrite:
    """`source`: the session on the flow's source, where changes that waited are read anew. `moved`: whether a table is not what
    it was at the start."""

    def __init__(
        self,
        programs: Mapping[str, Program],
        write: BatchWrite,
        writer: Writer,
        source: Writer,
        state: FlowState,
        parking: Parking,
        limit: Limit,
        pauses: Pauses,
        moved: Callable[[], bool],
    ) -> None:
        self._programs = programs
        self._write = write
        self._writer = writer
        self._source = source
        self._state = state
        self._parking = parking
        self._limit = limit
        self._pauses = pauses
        self._moved = moved
        self._locked = 0  # parts that a lock held up, in this transaction
        self._sampled = False

    def begun(self) -> None:
        """A transaction has begun."""
        self._limit.begun()
        self._locked, self._sampled = 0, False

    def hurry(self) -> None:
        """For the rest of the transaction nobody's lock is waited for long."""
        self._writer.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")

    def in_parts(self, changes: Rows, refusal: WriteFailed | None = None) -> Outcome:
        """`refusal`: what all of them together are known to meet with."""
        tried = self._under_savepoint(changes) if refusal is None else refusal
        if isinstance(tried, WriteFailed) and tried.sqlstate == UNIQUE_VIOLATION:
            tried = self._under_savepoint(changes, aside=True)  # rows that swap unique values
        if isinstance(tried, Outcome):
            return tried
        if (tried.kind == "broken" or tried.sqlstate == DATATYPE_MISMATCH) and self._moved():
            raise StructureChanged(tried.message, "the flows start anew with the tables as they are")
        if tried.kind == "locked":
            self._locked += 1
            if self._locked > LOCKED_PARTS:
                raise tried
            self.hurry()
        rows = [(row.order, place, name, row) for place, name in enumerate(changes) for row in changes[name]]
        rows.sort(key=lambda entry: entry[:2])
        if len(rows) == 1:
            return self._alone(rows[0][2], rows[0][3], tried)
        if tried.kind == "broken":
            if len(changes) > 1:
                outcome = Outcome()
                for name, some in changes.items():
                    outcome.add(self.in_parts({name: some}))
                return outcome
            if self._is_broken(changes, tried):
                outcome = Outcome()
                for _, _, name, row in rows:
                    outcome.add(self._alone(name, row, tried))
                return outcome
        if tried.kind == "refused" and len(rows) >= SAMPLED_FROM and not self._sampled:
            self._sample(rows)
        pieces = MANY_PIECES if len(rows) >= MANY else 2
        size = -(-len(rows) // pieces)
        outcome = Outcome()
        for start in range(0, len(rows), size):
            piece = rows[start : start + size]
            # Where all others are written, the fault is in the last: it need not be tried as a whole.
            last = start + size >= len(rows) and len(piece) > 1 and not outcome.parked and tried.sqlstate != UNIQUE_VIOLATION
            outcome.add(self.in_parts(_by_link(piece), tried if last else None))
        return outcome

    def _sample(self, rows: Sequence[tuple[int, int, str, RowChange]]) -> None:
        """All of a large batch may be refused: a few changes, spread over it, tell before each is tried alone. One that needs
        another of the batch is not refused for what it is, and does not count."""
        self._sampled = True
        refused = []
        for place in range(SAMPLE):
            _, _, name, row = rows[place * (len(rows) - 1) // (SAMPLE - 1)]
            tried = self._under_savepoint({name: [row]}, only_try=True)
            if isinstance(tried, Outcome) or tried.kind != "refused" or row.parked is not None:
                return
            refused.append((name, tried.sqlstate))
        self._limit.check_sample(refused)

    def _alone(self, name: str, row: RowChange, refusal: WriteFailed) -> Outcome:
        """A change that is refused by itself."""
        program = self._programs[name]
        fields = program.filling(refusal.message)
        message = f"{refusal.message}: field {fields}" if fields else refusal.message
        parked = set_aside(program, row, POLICIES[refusal.kind], message, refusal.sqlstate)
        self._limit.check([parked])
        if refusal.sqlstate == UNIQUE_VIOLATION:
            parked = self._named(program, parked, row)
        return Outcome(parked=[parked], unparked=parked_ids([row]))

    def _is_broken(self, changes: Rows, refusal: WriteFailed) -> bool:
        """Whether the first change of a link and the last one are refused in the same way."""
        ((name, rows),) = ((name, list(rows)) for name, rows in changes.items())
        alone = (self._under_savepoint({name: [row]}, only_try=True) for row in (rows[0], rows[-1]))
        return all(isinstance(tried, WriteFailed) and tried.sqlstate == refusal.sqlstate for tried in alone)

    def _under_savepoint(self, changes: Rows, aside: bool = False, only_try: bool = False) -> Outcome | WriteFailed:
        """What was done, or why a change was refused; then, or if it was only to be tried, nothing was done."""
        staged = self._write.staged()
        self._writer.execute("SAVEPOINT part")
        tried: Outcome | WriteFailed
        try:
            tried = self._write.at_once(changes, aside)
            if not only_try:
                self._writer.execute(RELEASE)
        except WriteFailed as error:
            if not at_fault(error):
                raise
            tried = error
        if isinstance(tried, WriteFailed) or only_try:
            self._writer.execute(f"ROLLBACK TO SAVEPOINT part; {RELEASE}")
            self._write.restore(staged)
            self._write.undone(changes)
        return tried

    def _named(self, program: Program, parked: Parked, row: RowChange) -> Parked:
        """Which conflict it is that a unique value is taken, and which record has it."""
        kind, message = "insert_exists" if row.op in (INSERT, EXISTS) else "update_exists", parked.message
        if program.steps.clashes:
            staged = self._write.staged()
            self._writer.execute("SAVEPOINT part")
            taken = self._write.clashes(program, row)
            self._writer.execute("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")
            self._write.restore(staged)
            if len({columns for columns, _ in taken}) > 1:
                kind = "multiple_unique_conflicts"
            others = ", ".join(f"record {key} has the same {columns}" for columns, key in taken)
            message = f"{message} ({others})" if others else message
        return replace(parked, message=message, conflict=kind)

    # -- what had to wait ----------------------------------------------------------------------------------------

    def wake(self, outcome: Outcome) -> None:
        """Lets what waited for records that were made here go, until nothing wakes. It is written apart: a woken change
        that is refused must not take those with it that it waited for."""
        # A parent may have come behind its child; and rows that swap unique values may have been parted by the halving.
        again = [parked for parked in outcome.parked if parked.sqlstate in WORTH_ANOTHER_TRY]
        if again:
            outcome.parked = [parked for parked in outcome.parked if parked.sqlstate not in WORTH_ANOTHER_TRY]
            self._limit.taken_back(again)
            outcome.add(self.in_parts(restored(self._programs, again)))
        made = outcome.pairs
        while changes := self._woken(outcome, made):
            more = self.in_parts(changes)
            made = more.pairs
            outcome.add(more)

    def _woken(self, outcome: Outcome, pairs: Mapping[str, Sequence[MirrorRow]]) -> Changes:
        """Changes that waited for the records of these pairs."""
        if not (self._parking.waits or any(parked.waits for parked in outcome.parked)):
            return {}
        made = {(name, keys[0]) for name, rows in pairs.items() for keys, _, *dead in rows if dead[2] is None}
        waiting = sorted(self._parking.waiting_for(made) - set(outcome.unparked) - self._parking.of_links(self._pauses.links))
        self._parking.retry.update(waiting[WOKEN:])
        changes: Changes = {}
        rejoin(self._programs, self._source, changes, self._state.parked(waiting[:WOKEN]) if waiting else ())
        waited = [parked for parked in outcome.parked if parked.waits in made]
        if waited:
            outcome.parked = [parked for parked in outcome.parked if parked.waits not in made]
        for link, rows in restored(self._programs, waited).items():
            one_by_one(changes, link).extend(rows)
        return changes


def at_fault(error: WriteFailed) -> bool:
    """Whether it may be some of the changes alone that it is about."""
    return POLICIES[error.kind].action in ("park", "again")


def _by_link(rows: Sequence[tuple[int, int, str, RowChange]]) -> dict[str, list[RowChange]]:
    part: dict[str, list[RowChange]] = {}
    for _, _, name, row in rows:
        part.setdefault(name, []).append(row)
    return part
