"""The write step: one batch into the target, link by link, in the transaction that is open.

    upsert      stage, project, adopt, hold, contest, revive, weigh, insert and pair, put back, update; parents first
    delete      children before parents; dead pairs become tombstones
    conclude    too late, remember, returned; the session tables are emptied

Promises: each decision is a statement of the link's program (program/paired.py says which). A row that the target
refuses fails all of it; careful.py finds that row.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from replicator.apply.answers import returned, stopped
from replicator.apply.bulk import bulk_lines, load_bulk
from replicator.apply.chunk import Chunk
from replicator.apply.lines import LookedUp, block_lines, edit_lines, first_value, stage_lines
from replicator.apply.outcome import Outcome
from replicator.apply.waiting import filled_in_later, held, parked_ids, set_aside
from replicator.capture.batch import DELETE, RowChange
from replicator.capture.block import Block
from replicator.capture.edits import Edits
from replicator.capture.messages import UNCHANGED
from replicator.capture.payload import key_texts
from replicator.errors import WriteFailed
from replicator.model.failure import BY_REASON, POLICIES
from replicator.model.position import text as position_text
from replicator.ports.state import FlowState
from replicator.ports.writer import Writer
from replicator.program.program import Program

Changes = dict[str, list[RowChange] | Block]  # link -> its rows
Rows = Mapping[str, Sequence[RowChange]]  # the same, or a chunk of existing records
Staged = dict[str, tuple[int, bool]]

FEW_ROWS = 200  # up to here deleting from a temporary table is cheaper than TRUNCATE's new files
SWEPT_ROWS = 2_000  # deleted rows that may lie about in one before TRUNCATE
UNPAIRED = frozenset("IPAZ")  # acts of rows that may still be paired
CAREFUL_BATCHES = 100  # after records were to be inserted that were there
SWALLOWED = "{place}: a trigger of {table} swallows the record, or gives it another key than its column's default"
AMBIGUOUS = "{place}: several records match by the link's `match` columns (a stub counts); nothing is paired by guessing"
CROWDED = "{place}: its row is still that of record {key}, which is gone: it has it when that is carried over"


class BatchWrite:
    """`source`: the session on the flow's source, to look up what links read there.
    `edits`: link -> lately read edits of the *target's* users, which stand up to what comes in.
    `back`: the programs of the other direction, whose feeds say what an answer looks like."""

    def __init__(
        self,
        programs: Mapping[str, Program],
        writer: Writer,
        source: Writer,
        state: FlowState,
        edits: Mapping[str, Edits],
        target_number: int,
        back: Mapping[str, Program],
    ) -> None:
        self._programs = programs
        self._back = back
        self._writer = writer
        self._source = source
        self._state = state
        self._edits = edits
        self._target_number = target_number
        self._swept = 0
        self._aside = False
        self._hopeful = False
        self._disappointed = 0  # batches until inserts are thought to be new again
        self._announced: dict[str, int] = {}  # link -> the moment that was last announced of its writing
        self.copied = 0.0  # seconds spent in COPY into the stage
        self._alone = False  # one record is being written
        self._few = False  # the rows being written are few: plans are kept for that

    def at_once(self, changes: Rows, aside: bool = False, hopeful: bool = False) -> Outcome:
        """Stages and writes, link by link; deferred constraints hold then.
        `aside`: unique values that change step aside first, so that rows may swap them.
        `hopeful`: what is inserted is not there yet, by all we know; if it is, the row is refused."""
        self._aside, self._hopeful = aside, hopeful and not self._disappointed
        self._disappointed -= self._disappointed > 0
        outcome = Outcome()
        acts: dict[str, dict[str, int]] = {}
        for name, program in self._programs.items():
            if name in changes:
                acts[name] = self._upsert(program, changes[name], outcome)
        for name, counts in acts.items():
            loosen = self._programs[name].steps.loosen
            if loosen and counts.get("D"):
                self._writer.execute(loosen, prepared=self._few)
        for name in reversed(acts):
            self._delete(self._programs[name], acts[name], outcome)
        if any(self._programs[name].steps.before for name in acts):
            # What deferred triggers change has to be seen.
            self._writer.later("SET CONSTRAINTS ALL IMMEDIATE")
            self._writer.execute("SET CONSTRAINTS ALL DEFERRED")
        for name, counts in acts.items():
            self._conclude(self._programs[name], changes[name], counts, outcome)
        if acts:
            for name in acts:
                self._empty(self._programs[name], len(changes[name]))
            self._writer.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what is deferred must not fail at the commit
        return outcome

    def _upsert(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> dict[str, int]:
        """Up to the updates of one link. Gives how many rows there are by act (paired) or operation (direct)."""
        writer, steps, name = self._writer, program.steps, program.link.name
        self._few, self._alone = len(rows) < FEW_ROWS, len(rows) == 1
        outcome.unparked += parked_ids(rows)
        if not program.paired:
            return self._upsert_copies(program, rows, outcome)
        acts, wait = self._find_pairs(program, rows, outcome)
        new = not UNPAIRED.isdisjoint(acts)
        if steps.resolve_self or steps.restore or self._aside:
            self._announce(program)  # rows are written before it is known which fields lose
        if steps.restore and "Z" in acts:
            writer.execute(steps.restore, prepared=self._few)
        if self._aside and steps.aside:
            writer.execute(steps.aside)
        while steps.resolve_self and writer.execute(steps.resolve_self, prepared=self._few):
            # Records of one link that refer to each other: parents of this pass are the pairs of the next.
            self._insert(program, outcome)
        self._make_stubs(program, outcome)
        if wait:
            self._hold(program, rows, outcome)
        if steps.ambiguous and (steps.adopt or program.fills) and new:
            for (seq,) in writer.query(steps.ambiguous, prepared=self._few):
                message = AMBIGUOUS.format(place=program.link.mark)
                outcome.parked.append(set_aside(program, rows[seq], BY_REASON["ambiguous"], message))
        self._contest(program, rows, outcome)
        risen = 0
        if steps.revive and steps.rise:
            risen, logged = writer.query(steps.revive, prepared=self._few)[0]
            outcome.conflicts += logged
        self._announce(program)
        if risen and steps.rise:
            outcome.count(name, "insert", writer.execute(steps.rise, prepared=self._few))
        if steps.weigh:
            outcome.conflicts += writer.query(steps.weigh, prepared=self._few)[0][0]
        if program.edits_landed and name in self._edits and self._edits[name].on_their_way:
            writer.execute(program.edits_landed)
        if new or risen:
            self._insert(program, outcome)
        counts = acts
        if new or wait or steps.move or program.stubs or program.link.update_wins:
            counts, _ = self._acts(program)
            counts["N"] = counts.get("N", 0) + counts.pop("I", 0)
        if counts.get("U"):
            if steps.before:
                writer.execute(steps.before, prepared=self._few)
            if steps.hold_still:
                writer.later(steps.hold_still, prepared=self._few)
            if steps.put_back:
                outcome.conflicts += writer.execute(steps.put_back, prepared=self._few)
            updated = writer.execute(steps.update, prepared=self._few) if steps.update else 0
            outcome.count(name, "update", updated)
            counts["gone"] = counts["U"] - updated
        if counts.get("P") and steps.crowded:
            self._wait_for_room(program, steps.crowded, rows, outcome)
        return counts

    def _wait_for_room(self, program: Program, crowded: str, rows: Sequence[RowChange], outcome: Outcome) -> None:
        """A slice whose row is another record's has none; unless that record is gone from the source, and its delete is held
        up by somebody's lock or not read yet: then the row will be free."""
        for seq, *key in self._writer.query(crowded, prepared=self._few):
            if program.reread and not self._source.query(program.reread, key):
                message = CROWDED.format(place=program.link.mark, key=",".join(key))
                outcome.parked.append(set_aside(program, rows[seq], POLICIES["locked"], message))

    def _find_pairs(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> tuple[dict[str, int], bool]:
        """Stage to `work`; then every record whose pair is known, or that is there unpaired, has it. Gives how many rows had
        which act before pairs were looked for, and whether any may have to wait."""
        writer, steps, name = self._writer, program.steps, program.link.name
        looked_up = self._stage(program, rows)
        writer.later(steps.enter or "", prepared=self._few)
        if steps.missed and (seqs := writer.query(steps.missed, prepared=self._few)):
            self._read_again(program, [rows[seq] for (seq,) in seqs])
            for statement in steps.sweep:
                writer.execute(statement)
            self._load(program, rows, looked_up)
            writer.later(steps.enter or "", prepared=self._few)
        acts, wait = self._acts(program)
        if steps.rekey and not isinstance(rows, (Chunk, Block)) and any(row.first_key != row.key for row in rows):
            self._paired(outcome, name, writer.query(steps.rekey, prepared=self._few))
        if steps.move and (moved := writer.execute(steps.move.mark, prepared=self._few)):
            acts["P"] = moved
            if steps.move.leave:
                outcome.count(name, "update", writer.execute(steps.move.leave, prepared=self._few))
            self._paired(outcome, name, writer.query(steps.move.bury, prepared=self._few))
            writer.execute(steps.move.enter, prepared=self._few)
        if steps.adopt and not UNPAIRED.isdisjoint(acts):
            if steps.alone:
                writer.execute(steps.alone)
            writer.execute(steps.adopt, prepared=self._few)
            if steps.meet_counters:
                writer.execute(steps.meet_counters, prepared=self._few)
        return acts, wait

    def _acts(self, program: Program) -> tuple[dict[str, int], bool]:
        found = self._writer.query(program.steps.acts or "", prepared=self._few)
        return {act: count for act, count, _ in found}, any(wait for *_, wait in found)

    def _upsert_copies(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> dict[str, int]:
        """The same for a link without pairs."""
        writer, steps, name = self._writer, program.steps, program.link.name
        self._stage(program, rows)
        self._make_stubs(program, outcome)
        self._hold(program, rows, outcome)
        counts = _operations(rows)
        if steps.announce:
            writer.execute(steps.announce)
        if self._aside and steps.aside:
            writer.execute(steps.aside)
        if self._aside and steps.apart:
            writer.execute(steps.apart)
        updated = writer.execute(steps.update, prepared=self._few) if counts["U"] else 0
        if counts["U"] and steps.update_partial and _any_unchanged(rows):
            updated += writer.execute(steps.update_partial, prepared=self._few)
        outcome.count(name, "update", updated)
        if self._hopeful and steps.insert_new and counts["I"] and not counts["U"]:
            outcome.count(name, "insert", self._insert_new(steps.insert_new))
        elif counts["I"] or updated < counts["U"]:
            outcome.count(name, "insert", writer.execute(steps.insert, prepared=self._few))
        return counts

    def _insert_new(self, statement: str) -> int:
        try:
            return self._writer.execute(statement, prepared=self._few)
        except WriteFailed:
            self._disappointed = CAREFUL_BATCHES
            raise

    def _make_stubs(self, program: Program, outcome: Outcome) -> None:
        if any(stubs.own for stubs in program.stubs):
            self._insert(program, outcome)  # those that wait for none may be what others wait for
            while program.steps.resolve_self and self._writer.execute(program.steps.resolve_self, prepared=self._few):
                self._insert(program, outcome)
        for stubs in program.stubs:
            made = self._writer.query(stubs.make, prepared=self._few)
            if made:
                self._paired(outcome, stubs.link, made)
                outcome.count(stubs.link, "insert", len(made))
            for statement in stubs.settle:
                self._writer.execute(statement, prepared=self._few)

    def _announce(self, program: Program) -> None:
        if program.steps.announce:
            if program.steps.mint:
                self._writer.execute(program.steps.mint, prepared=self._few)
            for _, at in self._writer.query(program.steps.announce, prepared=self._few):
                self._announced[program.link.name] = at

    def _stage(self, program: Program, rows: Sequence[RowChange]) -> list[LookedUp]:
        """Fills the stage; gives what was looked up on the source for it."""
        if isinstance(rows, Chunk):
            started = time.perf_counter()
            self._writer.load_lines(program.load, rows.left())
            self.copied += time.perf_counter() - started
            return []
        looked_up: list[LookedUp] = [self._look_up(e.sql, e.position, rows) for e in program.enrichments]
        self._load(program, rows, looked_up)
        return looked_up

    def _load(self, program: Program, rows: Sequence[RowChange], looked_up: list[LookedUp]) -> None:
        started = time.perf_counter()
        if self._alone:
            self._writer.later(program.load_one, next(stage_lines(program, rows, looked_up)), prepared=True)
        elif isinstance(rows, Block):
            bulk = bulk_lines(program, rows)
            if bulk is not None:
                self._writer.load_lines(load_bulk(program, rows), bulk)
            else:
                self._writer.load_lines(program.load, [block_lines(program, rows, looked_up)])
        else:
            self._writer.load(program.load, stage_lines(program, rows, looked_up))
        self.copied += time.perf_counter() - started

    def _read_again(self, program: Program, rows: Sequence[RowChange]) -> None:
        """Takes the records as they are on the source now, if they are still there."""
        for row in rows:
            found = self._source.query(program.reread or "", key_texts(row.key))
            if found:
                row.values = [None if text is None else text.encode() for text in found[0][0]]

    def _insert(self, program: Program, outcome: Outcome) -> None:
        if program.steps.mint:
            self._writer.execute(program.steps.mint, prepared=self._few)
        insert = program.steps.insert_alone if self._alone and program.steps.insert_alone else program.steps.insert
        inserted = self._writer.execute(insert, prepared=self._few)
        outcome.count(program.link.name, "insert", inserted)
        if program.steps.pair:
            self._paired(outcome, program.link.name, self._writer.query(program.steps.pair, prepared=self._few))
        if program.steps.swallowed and self._writer.query(program.steps.swallowed)[0][0]:
            raise WriteFailed(
                SWALLOWED.format(place=program.link.mark, table=program.link.side(program.target).table), "", "refused", ""
            )

    def _contest(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> None:
        """Lets the target's own users' edits, as far as the way back has read them, stand up to what comes in."""
        edits, steps = self._edits.get(program.link.name), program.steps
        if not edits or program.edits_load is None:
            return
        assert program.edits_forget is not None
        width = len(program.link.fields)
        if edits.forgotten:
            self._writer.later(program.edits_forget, (position_text(edits.drained),))
            edits.forgotten = False
        for until, some in edits.unstaged():
            self._writer.load(program.edits_load, edit_lines(some, width, position_text(until)))
            edits.staged += 1
        if edits.on_their_way:
            self._writer.load(program.edits_load, edit_lines(edits.on_their_way, width, None))
        if steps.contest:
            outcome.conflicts += self._writer.query(steps.contest, prepared=self._few)[0][0]
        if isinstance(rows, Chunk):
            return
        deletes = not isinstance(rows, Block) and any(row.op == DELETE for row in rows)
        if steps.stand_up and (program.link.side(program.source).where or deletes):
            outcome.conflicts += self._writer.query(steps.stand_up, prepared=self._few)[0][0]

    def _hold(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> None:
        if program.steps.hold is not None:
            outcome.parked += held(program, rows, self._writer.query(program.steps.hold, prepared=self._few))

    def _delete(self, program: Program, counts: Mapping[str, int], outcome: Outcome) -> None:
        steps, name = program.steps, program.link.name
        if not program.paired:
            if (counts["D"] or program.link.side(program.source).where) and steps.delete:
                outcome.count(name, "delete", self._writer.execute(steps.delete, prepared=self._few))
        elif counts.get("D") or counts.get("E"):
            if steps.nothing_to_delete:
                outcome.conflicts += self._writer.execute(steps.nothing_to_delete, prepared=self._few)
            if steps.delete:
                outcome.count(name, "delete", self._writer.execute(steps.delete, prepared=self._few))
            if steps.waits_no_more:
                self._writer.execute(steps.waits_no_more, prepared=self._few)
            if steps.bury:
                self._paired(outcome, name, self._writer.query(steps.bury, prepared=self._few))

    def _conclude(self, program: Program, rows: Sequence[RowChange], counts: Mapping[str, int], outcome: Outcome) -> None:
        steps = program.steps
        if program.paired:
            if (counts.get("T") or counts.get("S") or counts.get("gone")) and steps.too_late:
                outcome.conflicts += self._writer.execute(steps.too_late, prepared=self._few)
            if steps.later:
                found = self._writer.query(steps.later, prepared=self._few)
                outcome.parked += filled_in_later(program, rows, found)
            touched = counts.get("U") or (program.link.update_wins and counts.get("N"))
            if touched and steps.remember:
                self._writer.later(steps.remember, prepared=self._few)
                outcome.remembered = True
            if steps.returned and (counts.get("N") or counts.get("U")):
                self._take_returned(program, rows, outcome)

    def _empty(self, program: Program, count: int) -> None:
        """The session's tables, of so many rows."""
        self._swept = self._swept + count if count < FEW_ROWS else SWEPT_ROWS
        for statement in program.steps.clear if self._swept >= SWEPT_ROWS else program.steps.sweep:
            self._writer.later(statement, prepared=count < FEW_ROWS)
        self._swept %= SWEPT_ROWS

    def undone(self, changes: Rows) -> None:
        """A savepoint before these was gone back to: what was staged of them lies about, deleted."""
        count = sum(map(len, changes.values()))
        self._swept = self._swept + count if count < FEW_ROWS else SWEPT_ROWS
        if self._swept >= SWEPT_ROWS:
            for name in changes:
                for statement in self._programs[name].steps.clear:
                    self._writer.execute(statement)
            self._swept = 0

    def _take_returned(self, program: Program, rows: Sequence[RowChange], outcome: Outcome) -> None:
        """What the target made, owns or decided becomes a change of the target's."""
        found = self._writer.query(program.steps.returned or "", prepared=self._few)
        if not found:
            return
        name = program.link.name
        for answer in returned(program, self._back[name], rows, found, self._target_number, self._announced.get(name, 0)):
            if answer.stopped:
                outcome.parked.append(stopped(program, self._back[name], self._state, rows[answer.seq], answer.row))
                outcome.conflicts += 1
            else:
                outcome.returned.append((name, answer.row))

    def _paired(self, outcome: Outcome, link: str, rows: Sequence[tuple[str, ...]]) -> None:
        """Rows a pairing statement returned: the keys of both sides, seq, and for a dead pair positions and stamp."""
        if not rows:
            return
        program = self._programs[link]
        keys = program.feed.keys + len(program.link.side(program.target).key)
        found = outcome.pairs.setdefault(link, [])
        if len(rows[0]) == keys + 1:
            found += [(row[:keys], int(row[keys]), None, None, None) for row in rows]
        else:
            found += [(row[:keys], int(row[keys]), row[keys + 1], row[keys + 2], row[keys + 3]) for row in rows]

    def _look_up(self, sql: str, position: int, rows: Sequence[RowChange]) -> dict[bytes, bytes | None]:
        if isinstance(rows, Block):
            raw = set(rows.columns[position])
        else:
            raw = {row.values[position] for row in rows} | {first_value(row, position) for row in rows if position in row.base}
        keys = [value.decode() for value in raw if isinstance(value, bytes)]
        if not keys:
            return {}
        return {key.encode(): None if text is None else text.encode() for key, text in self._source.query(sql, (keys,))}

    def clashes(self, program: Program, row: RowChange) -> list[tuple[str, str]]:
        """(unique columns, key of the record that has the values) for a row that was refused. Leaves it staged."""
        self._stage(program, [row])
        self._writer.execute(program.steps.project)
        return [(columns, key) for columns, key in self._writer.query(program.steps.clashes or "")]

    def staged(self) -> Staged:
        """How far the target's edits are loaded into the writer's session, to go back to when a transaction is undone."""
        return {name: (e.staged, e.forgotten) for name, e in self._edits.items()}

    def restore(self, staged: Staged) -> None:
        for name, (count, forgotten) in staged.items():
            self._edits[name].staged, self._edits[name].forgotten = count, forgotten


def _any_unchanged(rows: Sequence[RowChange]) -> bool:
    """Whether a row comes without a value because that has not changed. (One of a block or of a chunk never does.)"""
    return not isinstance(rows, (Block, Chunk)) and any(UNCHANGED in row.values for row in rows)


def _operations(rows: Sequence[RowChange]) -> dict[str, int]:
    if isinstance(rows, Chunk):
        return {"I": len(rows), "U": 0, "D": 0}
    ops = Counter(rows.ops if isinstance(rows, Block) else (row.op for row in rows))
    return {op: ops[op.encode()] for op in "IUD"}
