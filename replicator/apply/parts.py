"""A batch of which the target refuses a row: written in ever smaller parts, each under a savepoint.

Promises: what is refused alone is parked, with the reason and which record it clashes with; the rest is written.
What waited for records that were made here is written behind them in the same way (`wake`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from replicator.apply.chunk import EXISTS
from replicator.apply.gather import one_by_one, rejoin, restored
from replicator.apply.outcome import MirrorRow, Outcome
from replicator.apply.parking import Parking
from replicator.apply.waiting import parked_ids, set_aside
from replicator.apply.write import BatchWrite, Changes, Rows
from replicator.capture.batch import INSERT, RowChange
from replicator.errors import WriteFailed
from replicator.ports.state import FlowState, Parked
from replicator.ports.writer import Writer
from replicator.program.program import Program

UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION = "23505", "23503"
WORTH_ANOTHER_TRY = (UNIQUE_VIOLATION, FOREIGN_KEY_VIOLATION)  # once the rest of the batch is written


class InParts:
    """`source`: the session on the flow's source, where a change that waited is read again."""

    def __init__(
        self,
        programs: Mapping[str, Program],
        write: BatchWrite,
        writer: Writer,
        source: Writer,
        state: FlowState,
        parking: Parking,
    ) -> None:
        self._programs = programs
        self._write = write
        self._writer = writer
        self._source = source
        self._state = state
        self._parking = parking

    def write(self, changes: Rows) -> Outcome:
        refusal = self._under_savepoint(changes)
        if isinstance(refusal, WriteFailed) and refusal.sqlstate == UNIQUE_VIOLATION:
            refusal = self._under_savepoint(changes, aside=True)  # rows that swap unique values
        if isinstance(refusal, Outcome):
            return refusal
        rows = [(row.order, place, name, row) for place, name in enumerate(changes) for row in changes[name]]
        rows.sort(key=lambda entry: entry[:2])
        if len(rows) == 1:
            _, _, name, row = rows[0]
            return Outcome(parked=[self._refused(name, row, refusal)], unparked=parked_ids([row]))
        outcome = Outcome()
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            part: dict[str, list[RowChange]] = {}
            for _, _, name, row in half:
                part.setdefault(name, []).append(row)
            outcome.add(self.write(part))
        return outcome

    def wake(self, outcome: Outcome) -> None:
        """Lets what waited for records that were made here go, until nothing wakes. It is written apart: a woken change
        that is refused must not take those with it that it waited for."""
        # A parent may have come behind its child; and rows that swap unique values may have been parted by the halving.
        again = [parked for parked in outcome.parked if parked.sqlstate in WORTH_ANOTHER_TRY]
        if again:
            outcome.parked = [parked for parked in outcome.parked if parked.sqlstate not in WORTH_ANOTHER_TRY]
            outcome.add(self.write(restored(self._programs, again)))
        made = outcome.pairs
        while changes := self._woken(outcome, made):
            more = self.write(changes)
            made = more.pairs
            outcome.add(more)

    def _under_savepoint(self, changes: Rows, aside: bool = False) -> Outcome | WriteFailed:
        """What was done, or why a row was refused; then nothing was done."""
        staged = self._write.staged()
        self._writer.execute("SAVEPOINT part")
        try:
            outcome = self._write.at_once(changes, aside)
            self._writer.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except WriteFailed as error:
            if error.kind != "row":
                raise
            self._writer.execute("ROLLBACK TO SAVEPOINT part")
            self._write.restore(staged)
            return error
        self._writer.execute("RELEASE SAVEPOINT part")
        self._writer.execute("SET CONSTRAINTS ALL DEFERRED")
        return outcome

    def _refused(self, link: str, row: RowChange, refusal: WriteFailed) -> Parked:
        program = self._programs[link]
        fields = program.filling(refusal.message)
        message = f"{refusal.message}: field {fields}" if fields else refusal.message
        parked = set_aside(program, row, "refused", message, refusal.sqlstate)
        return self._named(program, parked, row) if refusal.sqlstate == UNIQUE_VIOLATION else parked

    def _named(self, program: Program, parked: Parked, row: RowChange) -> Parked:
        """Which conflict it is that a unique value is taken, and which record has it."""
        kind, message = "insert_exists" if row.op in (INSERT, EXISTS) else "update_exists", parked.message
        if program.steps.clashes:
            staged = self._write.staged()
            self._writer.execute("SAVEPOINT part")
            taken = self._write.clashes(program, row)
            self._writer.execute("ROLLBACK TO SAVEPOINT part")
            self._write.restore(staged)
            if len({columns for columns, _ in taken}) > 1:
                kind = "multiple_unique_conflicts"
            others = ", ".join(f"record {key} has the same {columns}" for columns, key in taken)
            message = f"{message} ({others})" if others else message
        return replace(parked, message=message, conflict=kind)

    def _woken(self, outcome: Outcome, pairs: Mapping[str, Sequence[MirrorRow]]) -> Changes:
        """Changes that waited for the records of these pairs."""
        if not (self._parking.waits or any(parked.waits for parked in outcome.parked)):
            return {}
        made = {(name, keys[0]) for name, rows in pairs.items() for keys, _, *dead in rows if dead[2] is None}
        ids = self._parking.waiting_for(made) - set(outcome.unparked)
        changes: Changes = {}
        for parked in self._state.parked(sorted(ids)) if ids else ():
            rejoin(self._programs, self._source, changes, parked)
        waited = [parked for parked in outcome.parked if parked.waits in made]
        for parked in waited:
            outcome.parked.remove(parked)
        for link, rows in restored(self._programs, waited).items():
            one_by_one(changes, link).extend(rows)
        return changes
