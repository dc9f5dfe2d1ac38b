"""How many records links would make, change and remove if every row that is there went through them now.

The links' own program finds it out: rows of the source are loaded into the session's stage as updates of all their fields,
projected, and adopted where records are paired; then it is asked what would be done (program/preview.py), and all is rolled
back. Promises: no row of anybody's is written or locked, no sequence moves; state tables that a plan is still to make are
there within that transaction only.

Not followed: what one link's new records mean for another's references (they count as waiting), and rules of conflicts
(where the sides differ, each direction by itself would write its own value).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import psycopg

from replicator.apply.lines import LookedUp, stage_lines
from replicator.capture.batch import UPDATE, RowChange
from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.sql import statement
from replicator.engines.postgres.writer import PostgresWriter
from replicator.errors import ReplicatorError, WriteFailed
from replicator.model.config import Config
from replicator.model.link import Link
from replicator.model.position import number as position_number
from replicator.model.stamp import make
from replicator.program.compile import compile_flow
from replicator.program.layout import Layout
from replicator.program.preview import Questions, other_name, questions, under_another_name
from replicator.program.program import Program
from replicator.program.projection import Tables
from replicator.program.state import link_tables
from replicator.runtime.plan import Plan
from replicator.runtime.wiring import dsn_of, flows_of, links_between, node_pairs

SHOWN = 3  # samples of a kind
LIMITS = "SET LOCAL lock_timeout = '2s'"
KINDS = {"I": "created", "R": "created", "V": "created", "Z": "created", "D": "removed", "M": "ambiguous"}

Values = tuple[str | None, str | None]  # what would be written, what stands
Held = tuple[int, int, str, str | None]  # seq, field, raw value, link whose record would help


@dataclass(frozen=True, slots=True)
class Sample:
    """`fields`: name -> values, of a record that would change."""

    kind: str
    source_key: str
    target_key: str
    fields: dict[str, Values] = field(default_factory=dict)


@dataclass(slots=True)
class Effect:
    """Of one link in one direction. `more`: there are more rows than were looked at.

    counts   created, changed, removed; adopted: found by `match` (changed or not); equal; ambiguous: several match;
             `not made`: `create` forbids it, or the record takes no part; refused: a value cannot be converted
    waiting  what stands in the way -> records
    fields   name -> records in which its value differs
    problem  why nothing could be found out
    """

    link: str
    source: str
    target: str
    rows: int = 0
    more: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    problem: str | None = None


def preview(config: Config, environ: Mapping[str, str], plan: Plan, limit: int) -> list[Effect]:
    """Of every link that is new or has changed, in each direction that it moves something in. At most `limit` rows each."""
    concerned = {change.name for change in plan.links if change.sign != "-"}
    effects = []
    for pair in node_pairs(config):
        links, named = _unpaired(links_between(config, pair), plan)
        for source, target in flows_of(links, pair) if concerned & set(named.values()) else ():
            programs = compile_flow(links, plan.tables[pair], source, target)
            wanted = [program for program in programs if named[program.link.name] in concerned]
            if wanted:
                effects += _Preview(config, environ, plan.tables[pair], links, source, target, limit).of(wanted, named)
    return effects


def _unpaired(links: list[Link], plan: Plan) -> tuple[list[Link], dict[str, str]]:
    """Links whose pairs are made anew have another name here: what is there under their own is not theirs any more."""
    named = {link.name: link.name for link in links}
    for link in list(links):
        if link.name in plan.remade:
            links = under_another_name(links, link.name)
            named = {**{old: known for old, known in named.items() if old != link.name}, other_name(link.name): link.name}
    return links, named


class _Preview:
    """One direction between two nodes, with sessions of its own."""

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        tables: Tables,
        links: Sequence[Link],
        source: str,
        target: str,
        limit: int,
    ) -> None:
        self.config, self.environ, self.tables, self.source, self.target, self.limit = (
            config, environ, tables, source, target, limit,
        )  # fmt: skip
        self.links = {link.name: link for link in links}
        self.clock = 0
        self.position = 0

    def of(self, programs: Sequence[Program], named: Mapping[str, str]) -> list[Effect]:
        settings = self.config.settings
        dsn = {node: dsn_of(self.config, node, self.environ) for node in (self.source, self.target)}
        writer = PostgresWriter(self.target, dsn[self.target], None, settings.lock_timeout_ms, "plan counts")
        looker = PostgresWriter(self.source, dsn[self.source], None, settings.lock_timeout_ms, "plan looks up")
        reader = connect(self.source, dsn[self.source], "plan reads")
        try:
            with translated(self.source):
                at, self.clock = reader.execute(statement("moment", "plan.sql")).fetchone() or ("0/0", 0)
                self.position = position_number(at)
            for session in (writer, looker):
                session.begin()
            with translated(self.source):
                reader.execute("BEGIN")
            writer.execute(LIMITS)
            found = [self._link(program, named[program.link.name], writer, looker, reader) for program in programs]
            for session in (writer, looker):
                session.rollback()
            return found
        finally:
            for one in (writer, looker, reader):
                one.close()

    def _link(
        self, program: Program, name: str, writer: PostgresWriter, looker: PostgresWriter, reader: psycopg.Connection
    ) -> Effect:
        effect = Effect(name, self.source, self.target)
        layout = Layout(program.link, self.links, self.tables, self.source, self.target)
        asked = questions(layout, program, self.limit + 1)
        for session in (writer, looker):
            session.execute("SAVEPOINT link")
        reader.execute("SAVEPOINT link")
        try:
            for link in self.links.values():
                for ddl in link_tables(link, self.links, self.tables, self.target):
                    writer.execute(ddl)
            for ddl in program.setup:
                writer.execute(ddl)
            with translated(self.source):
                for ddl in program.derive.setup if program.derive else ():
                    reader.execute(ddl.encode())
            records = self._records(program, asked, reader)
            rows = islice(records, self.limit)
            while chunk := list(islice(rows, self.config.settings.batch_rows)):
                self._chunk(program, asked, writer, looker, chunk, effect)
            effect.more = len(list(records)) > 0
        except ReplicatorError as error:
            effect.problem = error.message
        for session in (writer, looker):
            session.execute("ROLLBACK TO SAVEPOINT link")
        reader.execute("ROLLBACK TO SAVEPOINT link")
        return effect

    def _records(self, program: Program, asked: Questions, reader: psycopg.Connection) -> Iterator[RowChange]:
        """Each row of the source as an update of all its fields."""
        feed, stamp = program.feed, make(self.clock, self.config.node(self.source).number)
        with translated(self.source), reader.cursor() as cursor, cursor.copy(asked.rows.encode()) as copy:
            for texts in copy.rows():
                values = [None if text is None else text.encode() for text in texts]
                key = tuple(values[: feed.keys])
                yield RowChange(UPDATE, key, list(values), {}, feed.every_field, [], stamp, self.position)

    def _chunk(
        self,
        program: Program,
        asked: Questions,
        writer: PostgresWriter,
        looker: PostgresWriter,
        rows: Sequence[RowChange],
        effect: Effect,
    ) -> None:
        """As the write step does it, up to where something would be written. A row that cannot be is found by halves."""
        writer.execute("SAVEPOINT chunk")
        try:
            found = self._asked(program, asked, writer, looker, rows)
        except WriteFailed as error:
            writer.execute("ROLLBACK TO SAVEPOINT chunk")
            if error.kind != "row":
                raise
            if len(rows) == 1:
                effect.rows += 1
                effect.counts["refused"] += 1
                return
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                self._chunk(program, asked, writer, looker, half, effect)
            return
        writer.execute("ROLLBACK TO SAVEPOINT chunk")
        effect.rows += len(rows)
        _count(effect, program, rows, *found)

    def _asked(
        self, program: Program, asked: Questions, writer: PostgresWriter, looker: PostgresWriter, rows: Sequence[RowChange]
    ) -> tuple[list[Held], list[tuple[int, str, str, bool]], list[tuple[int, str, str | None, str | None]]]:
        """What must wait; then what the questions give."""
        steps = program.steps
        looked_up = [_look_up(looker, e.sql, e.position, rows) for e in program.enrichments]
        writer.load(program.load, stage_lines(program, rows, looked_up))
        if program.paired:
            writer.execute(steps.project)
            if steps.adopt:
                writer.execute(steps.adopt)
        acts = {seq: act for seq, act, *_ in writer.query(asked.acts)} if program.paired else {}
        held = writer.query(steps.hold) if steps.hold else []
        answers = writer.query(asked.acts)
        # What waits for a record of its own link would find it, in the batch's next pass.
        own = [(seq, acts[seq], "", False) for seq, _, _, link in held if link == program.link.name]
        others = [row for row in held if row[3] != program.link.name]
        return others, [*answers, *own], writer.query(asked.fields) if asked.fields else []


def _look_up(looker: PostgresWriter, sql: str, position: int, rows: Sequence[RowChange]) -> LookedUp:
    keys = sorted({value.decode() for row in rows if isinstance(value := row.values[position], bytes)})
    found = looker.query(sql, (keys,)) if keys else []
    return {key.encode(): None if text is None else text.encode() for key, text in found}


def _count(
    effect: Effect,
    program: Program,
    rows: Sequence[RowChange],
    held: Sequence[Held],
    acts: Sequence[tuple[int, str, str, bool]],
    differing: Sequence[tuple[int, str, str | None, str | None]],
) -> None:
    waits = {wait.field: wait for wait in program.waits}
    for _, number, _, link in held:
        effect.waiting[f"a record of link {link}" if link else re.sub(r"^\S+: ", "", waits[number].unknown)] += 1
    changed: dict[int, dict[str, Values]] = {}
    for seq, name, comes, stands in differing:
        changed.setdefault(seq, {})[name] = (comes, stands)
        effect.fields[name] += 1
    rule = program.link.delete.get(program.target)
    for seq, act, key, there in acts:
        kind = KINDS.get(act, "not made")
        if act in "AU":
            if act == "A":
                effect.counts["adopted"] += 1
            kind = "changed" if seq in changed else "equal" if there else "gone"
        elif kind == "removed" and rule is not None and rule.kind != "delete":
            kind = "equal" if rule.kind == "ignore" else "changed"
        elif kind == "removed" and not there:
            kind = "gone"
        effect.counts[kind] += 1
        if kind in ("created", "changed", "removed") and sum(s.kind == kind for s in effect.samples) < SHOWN:
            source_key = ",".join(part.decode() if isinstance(part, bytes) else "" for part in rows[seq].key)
            effect.samples.append(Sample(kind, source_key, key, changed.get(seq, {})))
