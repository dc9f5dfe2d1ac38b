"""How many records links would make, change and remove if every row that is there went through them now.

The links' own program finds it out (reconcile/compare.py), and all is rolled back. Promises: no row of anybody's is
written or locked, no sequence moves; state tables that a plan is still to make are there within that transaction only.

Not followed: what one link's new records mean for another's references (they count as waiting), and rules of conflicts
(where the sides differ, each direction by itself would write its own value).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from replicator.engines.postgres.session import PostgresSession
from replicator.engines.postgres.sql import statement
from replicator.errors import ReplicatorError
from replicator.model.config import Config
from replicator.model.link import Link
from replicator.model.stamp import make
from replicator.program.compare import compare_of, records_of
from replicator.program.compile import compile_flow
from replicator.program.layout import Layout
from replicator.program.program import Program
from replicator.program.projection import Tables
from replicator.program.renamed import other_name, under_another_name
from replicator.program.state import link_tables
from replicator.reconcile.compare import Comparison, Values, Verdict
from replicator.runtime.plan import Plan
from replicator.runtime.wiring import dsn_of, flows_of, links_between, node_pairs

SHOWN = 3  # samples of a kind
LIMITS = "SET LOCAL lock_timeout = '2s'"
KINDS = {"I": "created", "R": "created", "V": "created", "Z": "created", "D": "removed", "M": "ambiguous"}


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

    def of(self, programs: Sequence[Program], named: Mapping[str, str]) -> list[Effect]:
        patience = self.config.settings.lock_timeout_ms
        dsn = {node: dsn_of(self.config, node, self.environ) for node in (self.source, self.target)}
        reader = PostgresSession(self.source, dsn[self.source], None, patience, "plan reads")
        writer = PostgresSession(self.target, dsn[self.target], None, patience, "plan counts")
        try:
            at, clock = reader.query(statement("moment", "plan.sql"))[0]
            moment = make(clock, self.config.node(self.source).number), at
            for session in (reader, writer):
                session.begin()
                session.execute(LIMITS)
            found = [self._link(program, named[program.link.name], reader, writer, *moment) for program in programs]
            for session in (reader, writer):
                session.rollback()
            return found
        finally:
            for session in (reader, writer):
                session.close()

    def _link(
        self, program: Program, name: str, reader: PostgresSession, writer: PostgresSession, stamp: int, position: str
    ) -> Effect:
        effect = Effect(name, self.source, self.target)
        layout = Layout(program.link, self.links, self.tables, self.source, self.target)
        # A counter that stands is never overwritten: nothing is added to it.
        asked = compare_of(layout, program, [i for i in layout.written if i not in layout.counted])
        comparison = Comparison(asked, program, reader, writer, stamp, position)
        for session in (reader, writer):
            session.execute("SAVEPOINT link")
        try:
            for link in self.links.values():
                for ddl in link_tables(link, self.links, self.tables, self.target):
                    writer.execute(ddl)
            comparison.prepare()
            effect.rows = comparison.read(limit=self.limit)
            there = f"SELECT count(*) FROM (SELECT FROM {records_of(layout)} LIMIT {self.limit + 1}) r"
            effect.more = reader.query(there)[0][0] > self.limit
            effect.counts["equal"] = effect.rows - comparison.suspects - comparison.unreadable
            for verdict in comparison.verdicts():
                _count(effect, program, verdict)
            effect.counts = +effect.counts
        except ReplicatorError as error:
            effect.problem = error.message
        for session in (reader, writer):
            session.execute("ROLLBACK TO SAVEPOINT link")
        return effect


def _count(effect: Effect, program: Program, verdict: Verdict) -> None:
    wait, act = verdict.wait, verdict.act
    # What waits for a record of its own link would find it, in the batch's next pass.
    if wait is not None and wait.link != program.link.name:
        effect.waiting[f"a record of link {wait.link}" if wait.link else re.sub(r"^\S+: ", "", wait.message)] += 1
        return
    if act == "refused":
        effect.counts["refused"] += 1
        return
    differing = {} if wait is not None else verdict.fields
    effect.fields.update(dict.fromkeys(differing, 1))
    rule = program.link.delete.get(program.target)
    kind = KINDS.get(act, "not made")
    if act in "AU":
        if act == "A":
            effect.counts["adopted"] += 1
        kind = "changed" if differing else "equal" if verdict.there or wait is not None else "gone"
    elif kind == "removed" and rule is not None and rule.kind != "delete":
        kind = "equal" if rule.kind == "ignore" else "changed"
    elif kind == "removed" and not verdict.there:
        kind = "gone"
    effect.counts[kind] += 1
    if kind in ("created", "changed", "removed") and sum(s.kind == kind for s in effect.samples) < SHOWN:
        source_key, target_key = (",".join(part or "" for part in key or ()) for key in (verdict.source_key, verdict.target_key))
        effect.samples.append(Sample(kind, source_key, target_key, differing))
