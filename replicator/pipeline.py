"""The way of a change from one database to the other. Read this page first.

A `Flow` leads from a source to a target. Its `step` does, in this order:

    read        whole transactions from the source's stream, one net change per row (capture/)
    gather      plus values on their way back, and parked changes that may go now
    enrich      plus what the links read on the source beside the row
    heal        edits that were read late are put right on their own node
    write       in ONE transaction on the target, link by link, parents first:
                    stage, project, hold, adopt, contest, put back, insert, pair, update;
                then deletes, children first; then the ledger, and what must return
    advance     the checkpoint, in the same transaction; commit
    mirror      new and dead pairs become known on the source
    confirm     the source may forget what is durable on the target

Between two nodes both flows run in turns in one thread (`Exchange`), so each sees all that
the other has done. Promises: rows, pairs, conflicts, parked changes and the checkpoint
commit together or not at all; killed anywhere, the flow goes on where the checkpoint says.
"""

from __future__ import annotations

import json
import select
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from replicator.capture.batch import DELETE, UPDATE, Batch, RowChange, Touch
from replicator.capture.clock import Clock
from replicator.capture.edits import Edit, Edits, edits_of
from replicator.capture.messages import UNCHANGED, Value
from replicator.capture.payload import from_json, key_texts, to_json
from replicator.errors import NodeUnavailable, WriteFailed
from replicator.model import stamp
from replicator.model.position import number as position_number
from replicator.model.position import text as position_text
from replicator.parking import Parking
from replicator.ports.state import FlowState, Parked
from replicator.ports.stream import Stream
from replicator.ports.writer import Writer
from replicator.program.program import Program
from replicator.program.sql import bit_text

IDLE_CHECKPOINT_SECONDS = 5.0
FEW_ROWS = 200  # up to here deleting from a temporary table is cheaper than TRUNCATE's new files
SWEPT_ROWS = 2_000  # deleted rows that may lie about in one before TRUNCATE

Changes = dict[str, list[RowChange]]  # link -> its rows
MirrorRow = tuple[list[str], int, str | None, str | None, str | None]  # keys, seq, positions and stamp of a dead pair


@dataclass(slots=True)
class Outcome:
    """What one write did. Memory follows it only after the commit."""

    written: dict[str, dict[str, int]] = field(default_factory=dict)  # link -> {"insert": n, ...}
    pairs: dict[str, list[MirrorRow]] = field(default_factory=dict)
    returned: list[tuple[str, RowChange]] = field(default_factory=list)
    conflicts: int = 0
    remembered: bool = False
    parked: list[Parked] = field(default_factory=list)
    unparked: list[int] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        for link, counts in other.written.items():
            mine = self.written.setdefault(link, {})
            for what, count in counts.items():
                mine[what] = mine.get(what, 0) + count
        for link, rows in other.pairs.items():
            self.pairs.setdefault(link, []).extend(rows)
        self.returned += other.returned
        self.conflicts += other.conflicts
        self.remembered |= other.remembered
        self.parked += other.parked
        self.unparked += other.unparked

    def count(self, link: str, what: str, rows: int) -> None:
        if rows > 0:
            counts = self.written.setdefault(link, {})
            counts[what] = counts.get(what, 0) + rows


@dataclass(slots=True)
class Totals:
    """Since the flow started."""

    transactions: int = 0
    changes: int = 0
    written: dict[str, int] = field(default_factory=dict)
    conflicts: int = 0
    parked: int = 0
    batches: int = 0
    behind_ms: float = 0.0  # from the last transaction's commit on the source to its commit on the target
    waiting: str = ""  # why the flow stands still just now


@dataclass(frozen=True, slots=True)
class Step:
    """What one turn of a flow did; handed to whoever watches."""

    flow: str
    batch: Batch
    outcome: Outcome
    seconds: float
    applied_at: int  # the target's clock, microseconds since 2000


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
        state: FlowState,
        clock: Clock,
        batch_rows: int,
    ) -> None:
        """nodes: the numbers of source and target. `source`: the session that writes on the source for this pair of nodes.
        `clock`: stamps the source's transactions."""
        self.name = name
        self.programs = {program.link.name: program for program in programs}
        self.stream = stream
        self.totals = Totals()
        self.edits: dict[str, Edits] = {name: Edits() for name, p in self.programs.items() if p.heal is not None}
        self.drained = 0  # everything of the source up to here is written on the target
        self.last_write = 0  # position on the *target* of our last write there that the ledger remembers
        self._source_number, self._target_number = nodes
        self._writer = writer
        self._source = source
        self._state = state
        self.clock = clock
        self._batch_rows = batch_rows
        self._parking = Parking()
        self._injected: list[tuple[int, str, RowChange]] = []
        self._swept = 0
        self._saved = 0
        self._saved_at = 0.0
        self._pending: Batch | None = None
        self._parts = False
        self._carried = Outcome()  # of the parts before, while a transaction larger than a batch is being written
        self.open = False
        self._returned_upto = 0
        self._back: Flow | None = None

    # -- start ---------------------------------------------------------------------------------------------------

    def prepare(self, back: Flow | None) -> None:
        """Sets up the sessions and takes memory from the state tables. `back`: the flow of the other direction."""
        self._back = back
        for program in self.programs.values():
            for ddl in program.setup:
                self._writer.execute(ddl)
            if program.mirror is not None:
                self._source.execute(program.mirror.setup)
            if program.heal is not None:
                self._source.execute(program.heal.setup)
        saved = self._state.checkpoint()
        self.drained = saved.lsn
        self._saved = saved.lsn
        self._returned_upto = saved.returned
        self.clock.last = saved.stamp
        self._parking.load(self._state.parked_keys())

    def recover(self) -> None:
        """After both flows are prepared: what a crash left half way is finished first."""
        back = self._back
        if back is None:
            return
        self.last_write, _ = self._state.advance(None, 0, 0)
        for at, greatest in self._state.clock_steps(back.drained):
            back.clock.received(at, greatest)
        mirrored = back._state.checkpoint().mirrored
        for link, program in self.programs.items():
            if program.mirror is not None:
                rows = self._writer.query(program.mirror.recover, (mirrored, mirrored))
                self._mirror({link: [(keys, seq, *rest) for keys, seq, *rest in rows]})  # type: ignore[misc]
            if program.edits_recover is not None:
                found = self._writer.query(program.edits_recover, (position_text(back.drained),))
                for keys, fields, made, at in sorted(found, key=lambda r: position_number(r[3])):
                    if stamp.node_of(made) == self._source_number:
                        edits = self.edits[link]
                        edits.flying = [(tuple(k.encode() for k in keys), int(fields[::-1], 2), made)]
                        edits.landed(position_number(at))
        for number, link, payload in self._state.outbox(back.name, back._returned_upto):
            if link in back.programs:
                back._injected.append((number, link, from_json(payload, back.programs[link].feed.columns)))

    # -- the steps -----------------------------------------------------------------------------------------------

    def step(self) -> Step | None:
        """One turn. None when there was nothing to do. Raises WriteFailed of kind `busy` when it should be tried again
        later: nothing is lost then, and the other direction may go on."""
        batch = self._pending or self.stream.read(self._batch_rows)
        if batch is None:
            if not self._injected and not self._parking.retry:
                self._idle()
                return None
            batch = Batch()
        self._pending = batch
        started = time.monotonic()
        changes = self._gather(batch)
        self._heal(changes)
        staged = self._staged()
        try:
            self._carried.add(self._write_batch(batch, changes))
            if not batch.complete:
                self._pending = None
                return Step(self.name, batch, Outcome(), time.monotonic() - started, 0)
            here, clock = self._finish(batch, self._carried)
        except WriteFailed as error:
            self._undo(staged)
            if self._pending is not batch or not batch.complete or self._parts:
                raise NodeUnavailable(f"{self.name}: {error.message}", "the transaction is read again") from error
            raise
        outcome, self._carried, self._pending = self._carried, Outcome(), None
        self._after_commit(batch, outcome, here)
        if batch.commit_time:
            self.totals.behind_ms = (clock - batch.commit_time) / 1000
        return Step(self.name, batch, outcome, time.monotonic() - started, clock)

    def _gather(self, batch: Batch) -> Changes:
        """Captured changes, joined to what is parked for the same records, after values on their way back."""
        changes: Changes = {}
        for _, link, row in self._injected:
            changes.setdefault(link, []).append(row)
        for name, links in batch.links.items():
            rows = links.rows
            clashing = {row.first_key for row in changes.get(name, ())}
            if clashing & {row.first_key for row in rows}:
                # A row that returns and was changed again: what was captured is newer and comes in the next write.
                changes[name] = [_joined(changes[name], row, links.feed.tracked) for row in rows] + [
                    row for row in changes[name] if row.first_key not in {r.first_key for r in rows}
                ]
            else:
                changes.setdefault(name, []).extend(rows)
        wanted = self._parking.retry | self._parking.behind(changes)
        for parked in self._state.parked(sorted(wanted)) if wanted else ():
            self._rejoin(changes, parked)
        return changes

    def _rejoin(self, changes: Changes, parked: Parked) -> None:
        program = self.programs.get(parked.link)
        if program is None:
            return
        earlier = from_json(parked.payload, program.feed.columns)
        earlier.parked = parked.id
        rows = changes.setdefault(parked.link, [])
        for row in rows:
            if row.first_key == earlier.key:
                earlier.followed_by(row, program.feed.tracked)
                return
        if program.reread and earlier.op == UPDATE:
            # Both sides may have moved on while it waited: its fields take the values they have on the source now.
            found = self._source.query(program.reread, key_texts(earlier.key))
            if found:
                earlier.values = [None if text is None else text.encode() for text in found[0][0]]
        rows.append(earlier)

    def _heal(self, changes: Changes) -> None:
        """Edits older than our last write on the source may have been written over: see program/heal.py."""
        last_write = self._back.last_write if self._back else 0
        for name, rows in changes.items():
            program = self.programs[name]
            edits = self.edits.get(name)
            if edits is None or program.heal is None:
                continue
            edits.flying = edits_of(rows, inserts=program.steps.adopt is not None)
            late = [row for row in rows if row.op != DELETE and row.parked is None and any(t.lsn < last_write for t in row.touches)]
            if not late:
                continue
            width = len(program.link.fields)
            heal = program.heal
            self._source.begin()
            try:
                self._source.load(heal.load, _heal_lines(late, heal.columns, width))
                self._source.execute(heal.merge)
                self._source.execute(heal.clear)
                self._source.commit()
            except WriteFailed:
                self._source.rollback()
                raise

    def _write_batch(self, batch: Batch, changes: Changes) -> Outcome:
        """All of it at once; if a row is refused, in ever smaller parts, and what is refused alone is parked."""
        if self.open or not batch.complete:
            if not self.open:
                self._writer.begin()
            self.open = self._parts = True
            return self._write_carefully(changes)
        self._writer.begin()
        self.open = True
        staged = self._staged()
        try:
            return self._write(changes)
        except WriteFailed as error:
            if error.kind != "row":
                raise
        self._writer.rollback()
        self._restore(staged)
        self._writer.begin()
        return self._write_carefully(changes)

    def _write_carefully(self, changes: Changes) -> Outcome:
        staged = self._staged()
        self._writer.execute("SAVEPOINT part")
        try:
            outcome = self._write(changes)
            self._writer.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except WriteFailed as error:
            if error.kind != "row":
                raise
            refusal = error
        else:
            self._writer.execute("RELEASE SAVEPOINT part")
            self._writer.execute("SET CONSTRAINTS ALL DEFERRED")
            return outcome
        self._writer.execute("ROLLBACK TO SAVEPOINT part")
        self._restore(staged)
        rows = [(row.order, place, name, row) for place, name in enumerate(changes) for row in changes[name]]
        rows.sort(key=lambda entry: entry[:2])
        if len(rows) == 1:
            _, _, name, row = rows[0]
            return Outcome(parked=[self._set_aside(name, row, "refused", refusal.message, refusal.sqlstate)], unparked=_ids([row]))
        outcome = Outcome()
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            part: Changes = {}
            for _, _, name, row in half:
                part.setdefault(name, []).append(row)
            outcome.add(self._write_carefully(part))
        return outcome

    def _write(self, changes: Changes) -> Outcome:
        """Stages and writes, link by link; then wakes what waited for records made here, until nothing wakes."""
        outcome = Outcome()
        while changes:
            acts: dict[str, dict[str, int]] = {}
            for name, program in self.programs.items():
                if name in changes:
                    acts[name] = self._upsert(program, changes[name], outcome)
            for name in reversed(acts):
                self._delete(self.programs[name], acts[name], outcome)
            for name, counts in acts.items():
                self._conclude(self.programs[name], changes[name], counts, outcome)
            changes = self._woken(outcome)
        return outcome

    def _upsert(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> dict[str, int]:
        """Up to the updates of one link. Gives how many rows there are by act (paired) or operation (direct)."""
        writer, steps, name = self._writer, program.steps, program.link.name
        writer.load(program.load, self._lines(program, rows))
        outcome.unparked += _ids(rows)
        if not program.paired:
            self._hold(program, rows, outcome)
            counts = {"I": 0, "U": 0, "D": 0} | Counter(row.op.decode() for row in rows)
            updated = writer.execute(steps.update) if counts["U"] else 0
            if counts["U"] and steps.update_partial and any(UNCHANGED in row.values for row in rows):
                updated += writer.execute(steps.update_partial)
            outcome.count(name, "update", updated)
            if counts["I"] or updated < counts["U"]:
                outcome.count(name, "insert", writer.execute(steps.insert))
            return counts
        writer.execute(steps.project)
        if steps.adopt:
            writer.execute(steps.adopt)
        while steps.resolve_self and writer.execute(steps.resolve_self):
            # Records of one link that refer to each other: parents of this pass are the pairs of the next.
            self._insert(program, outcome)
        self._hold(program, rows, outcome)
        if steps.adopt and steps.ambiguous:
            for (seq,) in writer.query(steps.ambiguous):
                outcome.parked.append(self._set_aside(name, rows[seq], "ambiguous", AMBIGUOUS.format(place=program.link.mark)))
        self._contest(program, outcome)
        self._insert(program, outcome)
        counts: dict[str, int] = dict(writer.query(steps.count or ""))  # type: ignore[arg-type]
        if counts.get("U"):
            if steps.put_back:
                outcome.conflicts += writer.execute(steps.put_back)
            updated = writer.execute(steps.update) if steps.update else 0
            outcome.count(name, "update", updated)
            if steps.rekey and any(row.first_key != row.key for row in rows):
                self._paired(outcome, name, writer.query(steps.rekey))
            counts["gone"] = counts["U"] - updated
        return counts

    def _insert(self, program: Program, outcome: Outcome) -> None:
        if program.steps.mint:
            self._writer.execute(program.steps.mint)
        inserted = self._writer.execute(program.steps.insert)
        outcome.count(program.link.name, "insert", inserted)
        if (inserted or program.steps.adopt) and program.steps.pair:
            self._paired(outcome, program.link.name, self._writer.query(program.steps.pair))

    def _contest(self, program: Program, outcome: Outcome) -> None:
        """Lets the target's own users' edits, as far as the way back has read them, stand up to what comes in."""
        back, contest = self._back, program.steps.contest
        edits = back.edits.get(program.link.name) if back else None
        if back is None or edits is None or contest is None or not edits:
            return
        assert program.edits_load is not None
        assert program.edits_forget is not None
        width = len(program.link.fields)
        if edits.forgotten:
            self._writer.execute(program.edits_forget, (position_text(self.drained),))
            edits.forgotten = False
        for until, some in edits.unstaged():
            self._writer.load(program.edits_load, _edit_lines(some, width, position_text(until)))
            edits.staged += 1
        if edits.flying:
            self._writer.load(program.edits_load, _edit_lines(edits.flying, width, None))
        outcome.conflicts += self._writer.query(contest)[0][0]
        if edits.flying:
            self._writer.execute(program.edits_forget.replace("until <= CAST(%s AS pg_lsn)", "until IS NULL"))

    def _hold(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> None:
        """Takes out rows with a reference, lookup or value map that finds nothing; they are parked."""
        if program.steps.hold is None:
            return
        waits = {wait.field: wait for wait in program.waits}
        for seq, number, raw in self._writer.query(program.steps.hold):
            wait, row = waits[number], rows[seq]
            reason = "waits" if wait.link else "unknown value"
            waits_for = (wait.link, raw) if wait.link else None
            outcome.parked.append(self._set_aside(program.link.name, row, reason, wait.message, waits_for=waits_for))

    def _set_aside(
        self, link: str, row: RowChange, reason: str, message: str, sqlstate: str | None = None, waits_for: tuple[str, str] | None = None
    ) -> Parked:
        feed = self.programs[link].feed
        return Parked(link, key_texts(row.key), reason, sqlstate, message, waits_for, to_json(row, feed.columns))

    def _woken(self, outcome: Outcome) -> Changes:
        """Changes that waited for records which this write has paired."""
        made = {(name, keys[0]) for name, rows in outcome.pairs.items() for keys, _, *dead in rows if dead[2] is None}
        ids = self._parking.waiting_for(made) - set(outcome.unparked)
        changes: Changes = {}
        for parked in self._state.parked(sorted(ids)) if ids else ():
            self._rejoin(changes, parked)
        for parked in [p for p in outcome.parked if p.waits in made]:
            outcome.parked.remove(parked)
            changes.setdefault(parked.link, []).append(from_json(parked.payload, self.programs[parked.link].feed.columns))
        return changes

    def _delete(self, program: Program, counts: Mapping[str, int], outcome: Outcome) -> None:
        steps, name = program.steps, program.link.name
        if not program.paired:
            if (counts["D"] or program.link.side(program.source).where) and steps.delete:
                outcome.count(name, "delete", self._writer.execute(steps.delete))
        elif counts.get("D"):
            if steps.delete:
                outcome.count(name, "delete", self._writer.execute(steps.delete))
            if steps.bury:
                self._paired(outcome, name, self._writer.query(steps.bury))

    def _conclude(self, program: Program, rows: Sequence[RowChange], counts: Mapping[str, int], outcome: Outcome) -> None:
        steps = program.steps
        if program.paired:
            if (counts.get("T") or counts.get("gone")) and steps.too_late:
                outcome.conflicts += self._writer.execute(steps.too_late)
            if counts.get("U") and steps.remember and self._writer.execute(steps.remember):
                outcome.remembered = True
            if steps.returned and (counts.get("N") or counts.get("U")):
                self._take_returned(program, rows, outcome)
        self._swept = self._swept + len(rows) if len(rows) < FEW_ROWS else SWEPT_ROWS
        for statement in steps.clear if self._swept >= SWEPT_ROWS else steps.sweep:
            self._writer.execute(statement)
        self._swept %= SWEPT_ROWS

    def _take_returned(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> None:
        """What the target made or owns becomes a change of the target's, stamped just above what it answers."""
        back = self._back
        if back is None or program.link.name not in back.programs or program.steps.returned is None:
            return
        keys = back.programs[program.link.name].feed.keys
        for seq, mask, texts in self._writer.query(program.steps.returned):
            values: list[Value] = [None if t is None else t.encode() for t in texts]
            fields = int(mask[::-1], 2)
            made = stamp.above(rows[seq].stamp, self._target_number)
            change = RowChange(UPDATE, tuple(values[:keys]), values, None, fields, [Touch(fields, made, 0)], made, 0)
            outcome.returned.append((program.link.name, change))

    def _finish(self, batch: Batch, outcome: Outcome) -> tuple[int, int]:
        """Parked changes, values to return, the checkpoint; then the commit, unless more of the transaction follows."""
        if outcome.unparked:
            self._state.unpark(outcome.unparked)
        ids = self._state.park(outcome.parked) if outcome.parked else []
        outcome.parked = [replace(parked, id=number) for parked, number in zip(outcome.parked, ids, strict=True)]
        returned = max((number for number, _, _ in self._injected), default=0)
        position, clock = self._state.advance(batch.end or None, batch.stamp, returned)
        greatest = max(batch.stamp, max((row.stamp for _, _, row in self._injected), default=0))
        if self._back is not None and outcome.remembered and greatest // stamp.NODES >= clock:
            self._state.step_clock(position, greatest)
            self._back.clock.received(position, greatest)
        sent: list[tuple[int, str, RowChange]] = []
        if self._back is not None and outcome.returned:
            for _, row in outcome.returned:
                row.lsn = position
                for touch in row.touches:
                    touch.lsn = position
            payloads = [(name, to_json(row, self._back.programs[name].feed.columns)) for name, row in outcome.returned]
            ids = self._state.send_back(self._back.name, payloads)
            sent = [(i, name, row) for i, (name, row) in zip(ids, outcome.returned, strict=True)]
        self._writer.commit()
        self.open = self._parts = False
        if self._back is not None:
            self._back._injected += sent
        return position, clock

    def _after_commit(self, batch: Batch, outcome: Outcome, position: int) -> None:
        totals = self.totals
        totals.changes += batch.rows
        totals.transactions += batch.transactions
        totals.conflicts += outcome.conflicts
        totals.parked = len(self._parking)
        totals.batches += 1
        for counts in outcome.written.values():
            for what, rows in counts.items():
                totals.written[what] = totals.written.get(what, 0) + rows
        self._parking.settle(outcome.unparked, outcome.parked)
        if self._injected:
            self._returned_upto = max(number for number, _, _ in self._injected)
            self._injected = []
            if self._back is not None:
                self._back._state.clear_outbox(self.name, self._returned_upto)
        for edits in self.edits.values():
            edits.landed(position)
        if outcome.remembered:
            self.last_write = position
        self._mirror(outcome.pairs)
        if batch.end:
            self._drained_to(max(batch.end, self.drained))
            self._confirm()

    def _mirror(self, pairs: Mapping[str, Sequence[MirrorRow]]) -> None:
        """Pairs made or buried on the target, written on the source before anything of them can be read back."""
        rows = {name: found for name, found in pairs.items() if found}
        back = self._back
        if not rows or back is None:
            return
        self._source.begin()
        for name, found in rows.items():
            mirror = self.programs[name].mirror
            assert mirror is not None
            self._source.load(mirror.load, [[*keys, seq, a, b, made] for keys, seq, a, b, made in found])  # type: ignore[list-item]
            for statement in mirror.merge.split(";\n"):
                self._source.execute(statement)
        back._state.mirrored(max(seq for found in rows.values() for _, seq, *_ in found))
        self._source.commit()

    def _paired(self, outcome: Outcome, link: str, rows: Sequence[tuple[str, ...]]) -> None:
        """Rows a pairing statement returned: the keys of both sides, seq, and for a dead pair positions and stamp."""
        program = self.programs[link]
        keys = program.feed.keys + len(program.link.side(program.target).key)
        found = outcome.pairs.setdefault(link, [])
        for row in rows:
            dead = row[keys + 1 :] or (None, None, None)
            found.append((list(row[:keys]), int(row[keys]), *dead))  # type: ignore[arg-type]

    def _lines(self, program: Program, rows: Sequence[RowChange]) -> Iterator[list[Value | str | int]]:
        """The stage's lines; what the link looks up on the source is read there first, as of now."""
        looked_up = [self._look_up(e.sql, e.position, rows) for e in program.enrichments]
        width = len(program.link.fields)
        texts: dict[int, str] = {}
        for seq, row in enumerate(rows):
            mask = row.fields
            fields = texts.get(mask)
            if fields is None:
                fields = texts[mask] = bit_text(mask, width)
            line: list[Value | str | int] = [seq, row.op, fields]
            if program.paired:
                line += (row.stamp, position_text(row.lsn), _marks(row, width))
            line += row.first_key
            line += row.values
            for e, found in zip(program.enrichments, looked_up, strict=True):
                raw = row.values[e.position]
                line.append(found.get(raw) if isinstance(raw, bytes) else None)
            yield line

    def _look_up(self, sql: str, position: int, rows: Sequence[RowChange]) -> dict[bytes, bytes | None]:
        raw = {row.values[position] for row in rows}
        keys = [value.decode() for value in raw if isinstance(value, bytes)]
        if not keys:
            return {}
        return {key.encode(): None if text is None else text.encode() for key, text in self._source.query(sql, (keys,))}

    def _staged(self) -> dict[str, tuple[int, bool]]:
        """How far the target's edits are loaded into the writer's session, to go back to when a transaction is undone."""
        edits = self._back.edits if self._back else {}
        return {name: (e.staged, e.forgotten) for name, e in edits.items()}

    def _restore(self, staged: Mapping[str, tuple[int, bool]]) -> None:
        for name, (count, forgotten) in staged.items():
            assert self._back is not None
            self._back.edits[name].staged, self._back.edits[name].forgotten = count, forgotten

    def _undo(self, staged: Mapping[str, tuple[int, bool]]) -> None:
        self._writer.rollback()
        self._restore(staged)
        self._carried = Outcome()
        self.open = False

    def ask_for_retries(self) -> None:
        """Looks whether a person asked for parked changes to be tried again."""
        self._parking.retry |= set(self._state.retries())

    def _idle(self) -> None:
        """Nothing concerns us up to the stream's position: say so, now and then, so that the source keeps no WAL for it."""
        reached = self.stream.position
        if reached <= self.drained and self._saved >= self.drained:
            return
        self._drained_to(max(reached, self.drained))
        if time.monotonic() - self._saved_at > IDLE_CHECKPOINT_SECONDS:
            self._state.advance(self.drained, 0, 0)
            self._confirm()

    def _confirm(self) -> None:
        self._saved, self._saved_at = self.drained, time.monotonic()
        self.stream.confirm(self.drained)

    def tidy(self, keep_days: int) -> None:
        """Retention of the state on the target: what no unread change can need any more, and old history."""
        seen = self._back.drained if self._back else self.drained
        for program in self.programs.values():
            if program.forget_ledger and self._back is not None:
                self._writer.execute(program.forget_ledger, (position_text(seen),))
        self._state.tidy(keep_days, seen)

    def _drained_to(self, position: int) -> None:
        self.drained = position
        if self._back is not None:
            for edits in self._back.edits.values():
                edits.forget(position)


AMBIGUOUS = "{place}: several records match by the link's `match` columns; nothing is paired by guessing"


def _ids(rows: Sequence[RowChange]) -> list[int]:
    return [row.parked for row in rows if row.parked is not None]


def _joined(earlier: Sequence[RowChange], row: RowChange, tracked: bool) -> RowChange:
    for other in earlier:
        if other.key == row.first_key:
            return other.followed_by(row, tracked)
    return row


def _heal_lines(rows: Sequence[RowChange], columns: Sequence[int], width: int) -> Iterator[list[Value | str | int]]:
    for seq, row in enumerate(rows):
        fields = 0
        for touch in row.touches:
            fields |= touch.fields
        values = [row.values[c] for c in columns]
        yield [seq, row.op, bit_text(fields, width), row.stamp, position_text(row.lsn), _marks(row, width), *values]


def _marks(row: RowChange, width: int) -> bytes | None:
    """Which fields were last changed by which transaction, where there was more than one."""
    if len(row.touches) < 2:
        return None
    return json.dumps([[bit_text(t.fields, width), t.stamp, position_text(t.lsn)] for t in row.touches]).encode()


def _edit_lines(edits: Sequence[Edit], width: int, until: str | None) -> Iterator[list[Value | str | int]]:
    for key, fields, made in edits:
        yield [*key, bit_text(fields, width), made, until]  # type: ignore[list-item]


class Exchange:
    """Two nodes and the flows between them, in turns: each sees all that the other has done before it goes on."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        self.flows = tuple(flows)
        self._blocked: dict[str, tuple[float, float]] = {}  # flow -> (not before, pause)
        backs: tuple[Flow | None, ...] = tuple(reversed(self.flows)) if len(self.flows) == 2 else (None,)
        for flow, back in zip(self.flows, backs, strict=True):
            flow.prepare(back)
        for flow in self.flows:
            flow.recover()

    def turn(self) -> list[Step]:
        """One step of each flow that is not waiting for somebody's lock. A large transaction is finished first."""
        steps = []
        for flow in self.flows:
            not_before, pause = self._blocked.get(flow.name, (0.0, 0.0))
            if time.monotonic() < not_before:
                continue
            try:
                step = flow.step()
                while step is not None and flow.open:
                    steps.append(step)
                    step = flow.step()
            except WriteFailed as error:
                if error.kind != "busy":
                    raise
                pause = min(max(pause * 2, 0.05), 5.0)
                self._blocked[flow.name] = (time.monotonic() + pause, pause)
                flow.totals.waiting = error.message
                continue
            self._blocked.pop(flow.name, None)
            flow.totals.waiting = ""
            if step is not None:
                steps.append(step)
        return steps

    def wait(self, seconds: float) -> None:
        """Until something may be there to read, at most so long."""
        if self._blocked:
            seconds = min(seconds, 0.05)
        select.select([flow.stream.fileno() for flow in self.flows], [], [], seconds)
