"""The way of a change from one database to the other. Read this page first.

A `Flow` leads from a source to a target. Its `step` does, in this order:

    read        whole transactions from the source's stream, one net change per row (capture/)
    gather      plus what the source answered itself by then, and parked changes that may go now
    derive      plus what the links read on the source beside the row; records that only that concerns
    complete    plus columns that the table did not have when a row was written
    heal        edits that were read late are put right on their own node
    keep        less what is of links that are paused: it is parked
    write       in ONE transaction on the target, link by link, parents first:
                    stage, project, adopt, hold, contest, weigh, insert, pair, put back, update;
                then deletes, children first; then the ledger, and what must return
    copy        a chunk of records that were there already, when the stream has come to where it was read
    advance     the checkpoint, in the same transaction; commit
    mirror      new and dead pairs become known on the source
    confirm     the source may forget what is durable on the target

Each step has its page in apply/; if the target refuses a row, careful.py there writes the batch in ever smaller parts.
Between two nodes both flows run in turns in one thread (exchange.py), so each sees all that
the other has done. Promises: rows, pairs, conflicts, parked changes and the checkpoint
commit together or not at all; killed anywhere, the flow goes on where the checkpoint says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from replicator.apply.answers import Answers, send_back
from replicator.apply.backfill import Backfill
from replicator.apply.careful import UNIQUE_VIOLATION, WOKEN, CarefulWrite, at_fault
from replicator.apply.confirm import Confirm
from replicator.apply.derive import await_visible, derive, is_looked_up
from replicator.apply.gather import complete, meet, newest_of, newest_waited, rejoin, take_up
from replicator.apply.healing import Healing
from replicator.apply.limit import Limit
from replicator.apply.mirror import mirror, unmirrored
from replicator.apply.outcome import MirrorRow, Outcome, Step, Totals
from replicator.apply.pace import Pace
from replicator.apply.park import Park
from replicator.apply.parking import Parking
from replicator.apply.pauses import Pauses
from replicator.apply.waiting import parked_ids, truncated
from replicator.apply.wishes import Wishes
from replicator.apply.write import BatchWrite, Changes, Staged
from replicator.capture.batch import Batch
from replicator.capture.clock import Clock
from replicator.capture.edits import Edits
from replicator.capture.payload import from_json
from replicator.errors import NodeUnavailable, StructureChanged, TooManyParked, WriteFailed
from replicator.model import stamp
from replicator.model.failure import POLICIES, TRIES
from replicator.model.pause import Pause
from replicator.model.position import text as position_text
from replicator.ports.state import FlowState
from replicator.ports.stream import Stream
from replicator.ports.writer import Writer
from replicator.program.program import Program


class Flow:
    """source -> target. `prepare` once after connecting, then `step` as often as there is something to do."""

    def __init__(
        self,
        name: str,
        nodes: tuple[int, int],
        programs: Sequence[Program],
        stream: Stream,
        writer: Writer,
        source: Writer,
        reader: Callable[[], Writer],
        state: FlowState,
        clock: Clock,
        batch_rows: int,
        limits: tuple[int, int],
        beyond: Mapping[str, frozenset[int]],
        broken: Mapping[str, Pause],
        moved: Callable[[], bool],
    ) -> None:
        """nodes: the numbers of source and target. `source`: the session that writes on the source for this pair of nodes.
        `reader`: one more session there, for reading ahead.
        `clock`: stamps the source's transactions. `limits`: see apply/limit.py.
        `beyond`: link -> numbers of the nodes whose edits come from the source. `broken`: why links that do not fit their tables
        are paused. `moved`: whether a table is not what it was when the programs were made."""
        self.name = name
        self.programs = {program.link.name: program for program in programs}
        self.stream = stream
        self.totals = Totals()
        self._pace = Pace()
        self.edits: dict[str, Edits] = {name: Edits() for name, p in self.programs.items() if p.edits_load is not None}
        self.drained = 0  # everything of the source up to here is written on the target
        self.last_write = 0  # position on the *target* of our last write there that the ledger remembers
        self._beyond = beyond
        self._target_number = nodes[1]
        self._writer = writer
        self._source = source
        self._state = state
        self.clock = clock
        self._batch_rows = batch_rows
        self._parking = Parking()
        self._limit = Limit(name, *limits, self._parking)
        self._park = Park(self.programs, state, self._parking, self._limit)
        self.pauses = Pauses(name, self.programs, state, self._parking, broken)
        self._moved = moved
        self.wishes = Wishes(name, self.programs, writer, source, state, self._parking)
        self._reads_source = any(p.reads_source or p.heal for p in programs)
        self._failures = 0  # of this batch so far, of a kind that is gone when the same is tried again
        self._answers = Answers()
        self._weighed = {link: sum(1 << n for n in p.feed.weighed) for link, p in self.programs.items()}
        self.backfill = Backfill(self.programs, reader, state, stream, nodes[0], batch_rows)
        self._waited = 0  # the greatest stamp of parked changes that are tried again in this step
        self._passes = any(p.steps.announce for p in programs)  # other flows pass on what is written here
        self._confirm = Confirm(stream, state)
        self._pending: Batch | None = None
        self._midway = False  # in a transaction of the source that comes in several batches
        self._carried = Outcome()  # of the parts before, while a transaction larger than a batch is being written
        self._carried_rows = 0
        self._carried_pairs = False  # these parts have made pairs; they are found again on the target
        self.open = False
        self._back: Flow | None = None

    # -- start ---------------------------------------------------------------------------------------------------

    def prepare(self, back: Flow | None) -> None:
        """Sets up the sessions and takes memory from the state tables. `back`: the flow of the other direction."""
        self._back = back
        edits = back.edits if back else {}
        programs = back.programs if back else {}
        self._write = BatchWrite(self.programs, self._writer, self._source, self._state, edits, self._target_number, programs)
        writer, source, parking = self._writer, self._source, self._parking
        self._careful = CarefulWrite(
            self.programs, self._write, writer, source, self._state, parking, self._limit, self.pauses, self._moved
        )
        self._healing = Healing(self.programs, self.edits, self._source)
        for session in (self._writer, self._source):
            session.begin()
        for link, program in self.programs.items():
            if link in self.pauses.broken:
                continue
            for ddl in program.setup:
                self._writer.execute(ddl)
            for helper in (program.mirror, program.heal):
                if helper is not None:
                    self._source.execute(helper.setup)
            for ddl in program.derive.setup if program.derive else ():
                self._source.execute(ddl)
        for session in (self._writer, self._source):
            session.commit(durable=False)
        saved = self._state.checkpoint()
        self.drained = saved.lsn
        self._confirm.saved(saved.lsn)
        self._answers.upto = saved.returned
        self.clock.last = saved.stamp
        self._parking.load(self._state.parked_keys())
        self._going_on = self.pauses.begin()
        self.backfill.load(self.pauses.links)

    def recover(self) -> None:
        """After both flows are prepared: what a crash left half way is finished first."""
        self._go_on(self._going_on)
        back = self._back
        if back is None:
            return
        self.last_write = self._healing.recover(self._writer, back.drained, self._beyond)
        # What is parked stands in no ledger; older edits of the other side are still to be weighed against it.
        after = self._state.parked_after(back.clock.last)
        self._healing.recall(self._state.parked(after) if after else [])
        self._mirror_rest()
        for job, link, why, records in self._state.left_behind(back.name):
            back._state.ask_again(link, why, records)
            self._state.taken(job)
            back.backfill.load(back.pauses.links)
        for number, link, payload in self._state.outbox(back.name, back._answers.upto):
            if link in back.programs:
                back._answers.waiting.append((number, link, from_json(payload, back.programs[link].feed.columns)))

    @property
    def owes(self) -> bool:
        """Whether there is something that the source has answered and the target does not have yet."""
        return bool(self._answers.waiting or self.wishes.decided or self.backfill)

    # -- the steps -----------------------------------------------------------------------------------------------

    def step(self) -> Step | None:
        """One turn. None when there was nothing to do. Raises WriteFailed of a kind that is waited for, or TooManyParked, when
        it should be tried again later: nothing is lost then, and the other direction may go on."""
        if self._pending is None and not self._midway and self.backfill.read():
            self.stream.ask()  # so that it says soon that it has come so far
        at = time.perf_counter()
        batch = self._pending or self.stream.read(self._batch_rows)
        at = self.totals.spent("read", at)
        if batch is not None and batch.restructured and self._pending is None and self._moved():
            raise StructureChanged(f"{self.name}: a table has changed", "the flows start anew with the tables as they are")
        if batch is None:
            batch = Batch()
            if self._midway:
                return None  # interrupted: what is written of the transaction so far is not to be committed
            if not self._something_else():
                self._idle()
                return None
        self._pending = batch
        started = time.monotonic()
        staged, copied = self._write.staged(), self._write.copied
        try:
            asks = self._parking or self._answers.waiting or self.wishes.decided or self._midway
            if self._reads_source and (asks or is_looked_up(self.programs, batch)):
                await_visible(self.stream, self._source, batch)
            due = self.pauses.due() if not self._midway else set()
            changes = self._gather(batch, due)
            derive(self.programs, self._source, batch, changes, self.pauses.broken)
            lacking = complete(self.programs, self._source, changes, self.pauses.broken)
            self._heal(batch, changes)
            self.backfill.meet(changes)
            kept = self.pauses.keep(changes)
            at = self.totals.spent("prepare", at)
            self._carried.add(self._write_batch(batch, changes))
            self._carried.add(lacking)
            self._carried.add(kept)
            if batch.unread:
                self.pauses.unread(batch)
            self._write_existing(batch)
            self._careful.wake(self._carried)
            self._carried.parked += truncated(self.programs, batch)
            copied = self._write.copied - copied
            self.totals.seconds["copy"] += copied
            at = self.totals.spent("write", at + copied)
            if not batch.complete:
                self._pending = None
                self._carried_rows += batch.rows
                self._park.part(self._carried)
                self._carried_pairs |= any(self._carried.pairs.values())
                self._carried.pairs.clear()
                # Without its rows: a turn keeps the steps of all parts until the last is written.
                part = Batch(rows=batch.rows, complete=False)
                return Step(self.name, part, Outcome(), time.monotonic() - started, 0)
            here, clock = self._finish(batch, self._carried)
        except (WriteFailed, TooManyParked) as error:
            self._undo(staged)
            if isinstance(error, TooManyParked):
                self._state.halted(f"{error.message} -> {error.hint}")
            if self._pending is not batch or not batch.complete or self._midway:
                hint = "the transaction is read again"
                raise NodeUnavailable(f"{self.name}: {error.message}", hint, **{**error.known, "flow": self.name}) from error
            self._failures += 1
            raise
        self._failures = 0
        outcome, self._carried, self._pending = self._carried, Outcome(), None
        at = self.totals.spent("commit", at)
        self._after_commit(batch, outcome, here)
        self.pauses.settled(due)
        self.totals.spent("mirror", at)
        if batch.commit_time:
            self.totals.behind_ms = (clock - batch.commit_time) / 1000
        return Step(self.name, batch, outcome, time.monotonic() - started, clock)

    def _something_else(self) -> bool:
        """Whether there is something to do although the stream has nothing."""
        if self.backfill.due(self.stream.position, self._parking) is not None:
            return True
        answered = self._answers.any_due(self.stream.position)
        if self._answers.waiting and not answered:
            self.stream.ask()  # so that it says soon that it has come so far
        return bool(answered or self._parking.retry or self.pauses.pending or self.wishes.decided)

    def _gather(self, batch: Batch, due: set[int]) -> Changes:
        """Captured changes, with what this node has answered by then, joined to what is parked for the same records. `due`: ids
        of what was kept and goes on."""
        changes: Changes = {link: list(captured.rows) for link, captured in batch.links.items()}
        for link, block in batch.blocks.items():
            # As one, unless something else concerns the same records.
            others = self._answers.waiting or self.wishes.decided or self._carried.parked
            alone = not (others or self._parking.concerns(link, block))
            changes[link] = block if alone else list(block)
        self._answers.told_already(changes, self._weighed)
        settled = self._answers.counted_since()
        for link, rows in changes.items() if settled else ():
            for row in rows:
                since = settled.get((link, row.key), 0)
                row.deltas = [delta for delta in row.deltas if delta[0] > since]
        # A part of a transaction takes all that was answered before the newest of it was committed.
        reached = (batch.end or self.stream.position) if batch.complete else newest_of(changes)
        meet(self.programs, changes, self._answers.due(reached) + (self.wishes.decided if batch.complete else []))
        if self._carried.parked:
            take_up(self.programs, changes, self._carried.parked)
        again = sorted(self._parking.retry)[:WOKEN]
        wanted = self._parking.behind(changes).union(again, due)
        found = self._state.parked(sorted(wanted)) if wanted else []
        rejoin(self.programs, self._source, changes, found, self.pauses.links)
        self._waited = newest_waited(changes) if found else 0
        # Somebody may have discarded it or its link meanwhile; and the notice of a TRUNCATE has nothing to try.
        there = {parked.id for parked in found if parked.payload and parked.link in self.programs}
        self._parking.retry.difference_update(number for number in again if number not in there)
        return changes

    def _heal(self, batch: Batch, changes: Changes) -> None:
        """Edits older than our last write on the source may have been written over: see program/heal.py."""
        last_write = self._back.last_write if self._back else 0
        late = self._healing.late(changes, last_write, self.drained, self._midway)
        late = {link: rows for link, rows in late.items() if link not in self.pauses.broken}
        if not late:
            return
        await_visible(self.stream, self._source, batch)
        self._source.begin()
        try:
            if self._healing.write(late) and self._back is not None:
                # What was healed may itself lie over an edit that is still unread: that one has to be looked at too.
                self._back.last_write, _ = self._back._state.advance(None, 0, 0)
            self._source.commit()
        except WriteFailed:
            self._source.rollback()
            raise

    def _write_batch(self, batch: Batch, changes: Changes) -> Outcome:
        """All of it at once; if a row is refused, in ever smaller parts, and what is refused alone is parked."""
        if not self.open:
            self._begin()
        self._limit.coming(sum(map(len, changes.values())))
        if self._midway or not batch.complete:
            self._midway = True
            return self._careful.in_parts(changes)
        if self._parking.locked.intersection(number for rows in changes.values() for number in parked_ids(rows)):
            self._careful.hurry()
        staged = self._write.staged()
        try:
            return self._write.at_once(changes, hopeful=True)
        except WriteFailed as error:
            if not at_fault(error) or (POLICIES[error.kind].action == "again" and self._failures < TRIES):
                raise
            # A record that was only hoped to be new is not refused if it is there: that is seen when it is tried again.
            refusal = None if error.sqlstate == UNIQUE_VIOLATION else error
        self._writer.rollback()
        self._write.restore(staged)
        self._begin()
        self._limit.coming(sum(map(len, changes.values())))
        return self._careful.in_parts(changes, refusal)

    def _begin(self) -> None:
        self._writer.begin(later=True)
        self.open = True
        self._careful.begun()

    def _write_existing(self, batch: Batch) -> None:
        """The chunk of existing records that has its turn, behind the changes that came before it was read."""
        chunk = self.backfill.due(batch.end or self.stream.position, self._parking) if batch.complete else None
        if chunk is None:
            return
        self._writer.execute("SET CONSTRAINTS ALL DEFERRED")
        self._limit.coming(len(chunk))
        staged = self._write.staged()
        self._writer.execute("SAVEPOINT chunk")
        try:
            outcome = self._careful.in_parts({chunk.link: chunk})
            self._limit.check(outcome.parked)
        except TooManyParked as error:  # who came to copy gives up; the users' changes go on
            self._writer.execute("ROLLBACK TO SAVEPOINT chunk")
            self._write.restore(staged)
            self.backfill.too_many(error.message)
            return
        self.backfill.written(outcome)
        self._carried.add(outcome)

    def _finish(self, batch: Batch, outcome: Outcome) -> tuple[int, int]:
        """Parked changes, values to return, the checkpoint; then the commit, unless more of the transaction follows."""
        self._park.all(outcome)
        position, clock = self._state.advance(batch.end or None, batch.clock, self._answers.last)
        greatest = max(batch.stamp, self._answers.greatest_stamp, self._waited)
        seen = outcome.remembered or bool(outcome.written)  # new records too: an edit of theirs must be above what made them
        if seen and (self._back is not None or self._passes) and greatest // stamp.NODES >= clock:
            self._state.step_clock(greatest)
        back = self._back
        sent = send_back(self._state, back.name, back.programs, outcome.returned, position) if back is not None else []
        # As PostgreSQL's own apply does: the source is told only when the disk has it. What is made known on the source at
        # once has to be durable at once.
        durable = bool(outcome.pairs or self._carried_pairs or outcome.returned)
        self._writer.commit(durable)
        if batch.end:
            self._confirm.committed(batch.end)
        self.open = self._midway = False
        if back is not None:
            back._answers.waiting += sent
        return position, clock

    def _after_commit(self, batch: Batch, outcome: Outcome, position: int) -> None:
        self._parking.settle(outcome.unparked, outcome.parked)
        self.totals.add(self._carried_rows + batch.rows, batch.transactions, outcome, len(self._parking))
        self._carried_rows = 0
        self._answers.settled()
        self.wishes.decided.clear()
        self.backfill.settled()
        for edits in self.edits.values():
            edits.landed(position)
            if edits.kept:
                edits.tried(outcome.unparked)
                edits.tried(parked.id for parked in outcome.parked)
        if self._back is not None and any(edits.known for edits in self.edits.values()):
            self._back.stream.ask()  # so that they can be forgotten soon
        if outcome.remembered:
            self.last_write = position
        if self._carried_pairs:
            self._mirror_rest()
            self._carried_pairs = False
        else:
            self._mirror([(name, found) for name, found in outcome.pairs.items() if found])
        if batch.end:
            self._drained_to(max(batch.end, self.drained))
            self._confirm.saved(self.drained)
            self._confirm.tell()

    def _mirror(self, pairs: Iterable[tuple[str, Sequence[MirrorRow]]]) -> None:
        """Pairs made or buried on the target, written on the source before anything of them can be read back."""
        back = self._back
        if back is None or pairs == []:
            return
        try:
            mirror(self.programs, self._source, back._state, back.woken_for(pairs))
        except WriteFailed as error:
            # What is committed on the target is found again by `recover`.
            message = f"{self.name}: pairs could not be mirrored: {error.message}"
            raise NodeUnavailable(message, error.hint, **{**error.known, "flow": self.name}) from error

    def _mirror_rest(self) -> None:
        """The same of all that the target knows and the source does not, however many they are."""
        if self._back is not None:
            self._mirror(unmirrored(self.programs, self._writer, self._back._state.checkpoint().mirrored))

    def _undo(self, staged: Staged) -> None:
        self._writer.rollback()
        self._write.restore(staged)
        self._answers.undone()
        self.backfill.undone()
        self._carried, self._carried_rows, self._carried_pairs = Outcome(), 0, False
        self.open = False

    def ask_for_retries(self) -> None:
        """Looks what people want (apply/wishes.py), and what is to be copied."""
        self._go_on(self.pauses.look())
        self.wishes.look(self._back is not None, self.pauses.links)
        self.totals.parked = len(self._parking)
        self.totals.paused = sorted(self.pauses.links)
        self.backfill.load(self.pauses.links)

    def _go_on(self, links: set[str]) -> None:
        """What was kept of these links goes on, on both ways: of two edits of one field the later is to stand, whichever way is
        the first to write."""
        for flow in (self, self._back):
            if flow is not None and links:
                flow.remember_kept(links)

    def remember_kept(self, links: set[str]) -> None:
        ids = sorted(self._parking.of_links(links))
        self._healing.recall(self._state.parked(ids) if ids else [])

    def woken_for(self, pairs: Iterable[tuple[str, Sequence[MirrorRow]]]) -> Iterator[tuple[str, Sequence[MirrorRow]]]:
        """The flow of the other direction makes these known: what waits here for their records may go, and what is parked of
        them, for what was at fault may have been written over."""
        for link, rows in pairs:
            if len(self._parking) and link in self.programs:
                program = self.programs[link]
                place = len(program.link.side(program.target).key)  # its source is our target
                self._parking.wake(link, (keys[place:] for keys, *_ in rows))
            for flow in (self, self._back):
                if flow is not None:
                    flow.stream.alive()
            yield link, rows

    def _idle(self) -> None:
        """Nothing concerns us up to the stream's position: say so, now and then, so that the source keeps no WAL for it."""
        reached = self.stream.position
        if reached > self.drained:
            self._drained_to(reached)
        self._confirm.idle(self.drained, self.clock.last)
        self._confirm.tell()

    def tidy(self, keep_days: int, history_days: int) -> None:
        """Retention of the state on the target: what no unread change can need any more, and old history."""
        seen = self._back.drained if self._back else self.drained
        for program in self.programs.values():
            if program.forget_ledger:
                self._writer.execute(program.forget_ledger, (position_text(seen), stamp.days_ago(history_days)))
        if self._back is not None:
            self._state.clear_outbox(self._back.name, self._back._answers.upto)
        self._state.tidy(keep_days)

    def note_pace(self) -> None:
        """How fast the flow is, for `status`; nothing while it is idle."""
        pace = self._pace.since(self.totals)
        if pace is not None:
            self._state.pace(pace)

    def _drained_to(self, position: int) -> None:
        self.drained = position
        if self._back is not None:
            # What the other direction has written on the source since a chunk was read is not in that chunk.
            floor = self.backfill.floor
            known = position if floor is None else min(position, floor)
            for edits in self._back.edits.values():
                edits.forget(known)
