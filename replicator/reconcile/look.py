"""One look at both sides of a link, each side with one snapshot: what does not agree.

A whole look ships every record of the forward side once, or where sums tell (program/sums.py) those in buckets that are
not alike. The rest follows from counting, for both snapshots stand still:

    every record that is plainly equal has its pair, and a record on the other side, of its own (keys are unique);
    so if the other node has no more pairs than these records have, no pair's record is gone from the forward side, and if
    it has no more records than were met, none is there without a pair. Only where a count differs the records are sought.

That the two nodes know the same pairs is compared by sums over buckets, and pair by pair where a sum differs.
A look at some records only (`again`, `of_changed`) ships those, and seeks what is gone by local anti-joins.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import TypeVar

from replicator.errors import ConfigurationError, WriteFailed
from replicator.model.stamp import make
from replicator.ports.proofs import Proof
from replicator.ports.session import Session
from replicator.program.changed import changed
from replicator.program.sums import Sums
from replicator.reconcile.compare import Comparison, Key, Verdict
from replicator.reconcile.difference import Difference
from replicator.reconcile.link_plan import LinkPlan, Way
from replicator.reconcile.node import Node

T = TypeVar("T")

FETCHED = 5_000
REMEMBERED = 200_000  # keys that are not told twice; beyond, a record may be named under two kinds
FINE = frozenset("PXS")  # acts: may not be made there, takes no part, is a stub of a record that is still to come
PAIRED = frozenset("UD")


class Look:
    """`seen` hears of records read. After `begin`, exactly one of `whole`, `again`, `of_changed`; then `end`."""

    def __init__(self, plan: LinkPlan, nodes: Mapping[str, Node], seen: Callable[[int], None]) -> None:
        self.plan = plan
        self._nodes = {name: nodes[name] for name in plan.nodes}
        self._seen = seen
        self._told: dict[str, set[Key]] = {name: set() for name in plan.nodes}
        self._pairs = 0  # in the other node's crosswalk
        self._unlike_buckets: list[int] = []
        self.shipped = 0
        self.rows = 0  # of the forward side that take part, if all were looked at
        self.met = 0  # records of the forward side that have their record on the other side
        self.unlinked = 0  # paired records that refer to one that has no pair: it is told there, if it should have one
        self.positions: dict[str, str] = {}

    def begin(self) -> None:
        for node in self._nodes.values():
            node.session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        moments = {name: node.proofs.moment() for name, node in self._nodes.items()}
        self.positions = {name: moment.position for name, moment in moments.items()}

        def comparison(way: Way) -> Comparison:
            moment = moments[way.source]
            stamp = make(moment.clock, self._nodes[way.source].number)
            source, target = self._nodes[way.source].session, self._nodes[way.target].session
            found = Comparison(way.asked, way.program, source, target, stamp, moment.position)
            found.prepare()
            return found

        plan = self.plan
        self._forward = comparison(plan.forward)
        self._back = comparison(plan.back) if plan.back is not None else None
        there = self._nodes[plan.forward.target].session
        for ddl in plan.checks[plan.forward.target].setup if plan.paired else ():
            there.execute(ddl)
        if plan.extras is not None:
            there.execute(plan.extras.setup)

    def end(self) -> None:
        for node in self._nodes.values():
            node.session.rollback()

    # -- the three looks -------------------------------------------------------------------------------------------

    def whole(self) -> Iterator[Difference]:
        plan, forward = self.plan, self._forward
        if plan.sums is not None:
            self.met = yield from self._unlike(plan.sums)
        elif plan.paired:
            yield from self._lone()
        some = plan.sums is not None
        paired = self.met
        self.shipped = forward.read(inside=True, wanted=some, seen=self._seen)
        self.rows = self.rows or self.shipped
        equal = self.shipped - forward.suspects - forward.unreadable
        paired += equal
        self.met += equal
        for verdict in forward.verdicts():
            paired += verdict.act in PAIRED
            self.met += verdict.act in PAIRED and verdict.inside
            yield from self._difference(plan.forward, verdict)
        if plan.paired and paired != self._pairs:
            yield from self._dead()
        there = self._there
        missed = there.session.query(plan.checks[there.name].records)[0][0] != self.met
        if plan.back is not None:
            if missed and (some or not plan.back_fields):
                self._want_unpaired(plan.back)
            if missed or plan.back_fields:
                yield from self._backward(wanted=some or not plan.back_fields)
        elif missed and not plan.paired:
            yield from self._extras()

    def _unlike(self, sums: Mapping[str, Sums]) -> Generator[Difference, None, int]:
        """By sums in place: what has to be compared is wanted. Gives how many need not be: equal, and met on both sides."""

        def asked(node: Node) -> tuple[dict[int, tuple[int, int]], int, int]:
            found = {bucket: (count, total) for bucket, count, total in node.session.query(sums[node.name].sums)}
            known = sums[node.name].pairs
            records = node.session.query(self.plan.checks[node.name].records)[0][0]
            return found, node.session.query(known)[0][0] if known is not None else 0, records

        (here, pairs_here, records_here), (there, pairs_there, _) = self._both(asked)
        unlike = self._unlike_buckets = sorted(
            bucket for bucket in here.keys() | there.keys() if here.get(bucket) != there.get(bucket)
        )
        live_here, live_there = (sum(count for count, _ in found.values()) for found in (here, there))
        self._pairs, self.rows = pairs_there, records_here
        if self.plan.paired and (unlike or pairs_here != live_here or pairs_there != live_there):
            yield from self._lone()
        listed = ", ".join(map(str, unlike))
        for way in (self.plan.forward, self.plan.back):
            if way is not None and unlike:
                keys = sums[way.source].listed.replace("{buckets}", listed)
                self._nodes[way.source].session.execute(f"INSERT INTO {way.asked.wanted_table} {keys}")
        if self.plan.paired and records_here != live_here:
            self._want_unpaired(self.plan.forward)
        return live_here - sum(here[bucket][0] for bucket in unlike if bucket in here)

    def again(self, differences: Callable[[], Iterable[Difference]]) -> Iterator[Difference]:
        """The records of these once more."""
        plan = self.plan
        kinds = {one.kind for one in differences()}
        gone = plan.paired and any(_of_pairs(one) for one in differences())
        if gone:
            yield from self._lone()
            yield from self._dead()
        for way, comparison in ((plan.forward, self._forward), (plan.back, self._back)):
            if way is not None and comparison is not None:
                comparison.want(_keys(differences(), way.source))
        self.shipped = self._forward.read(inside=True, wanted=True, seen=self._seen)
        for verdict in self._forward.verdicts():
            yield from self._difference(plan.forward, verdict)
        yield from self._backward(wanted=True)
        if plan.extras is not None and "extra" in kinds:
            yield from self._extras()
        if "assertion" in kinds:
            yield from self.assertions()

    def of_changed(self, before: Mapping[str, Proof], names_changed: bool) -> Iterator[Difference]:
        """What a change since the proofs can concern; see reconcile/proof.py. `names_changed`: also of pairs referred to."""
        plan = self.plan
        if names_changed:
            self._want_naming(before)
        extra = False
        if plan.paired:
            yield from self._lone()
            yield from self._dead()
        else:
            assert plan.key_sums is not None
            yield from self._unlike(plan.key_sums)
            extra = bool(self._unlike_buckets)
        for way, comparison in ((plan.forward, self._forward), (plan.back, self._back)):
            if way is not None and comparison is not None:
                self._want_changed(way, comparison, before)
        self.shipped = self._forward.read(inside=True, wanted=True, seen=self._seen)
        for verdict in self._forward.verdicts():
            yield from self._difference(plan.forward, verdict)
        yield from self._backward(wanted=True)
        if extra:
            yield from self._extras()

    def _want_naming(self, before: Mapping[str, Proof]) -> None:
        here, there = self._here, self._there
        young = partial(there.proofs.young, snapshot=before[there.name].snapshot)
        for one in self.plan.named or ():
            here.session.execute(one.setup)
            here.session.load_blocks(one.load, there.session.stream(f"COPY ({one.young(young)}) TO STDOUT"))
            here.session.execute(f"INSERT INTO {self.plan.forward.asked.wanted_table} {one.wanted}")

    def _want_changed(self, way: Way, comparison: Comparison, before: Mapping[str, Proof]) -> None:
        plan, node, other = self.plan, self._nodes[way.source], self._nodes[way.target]
        if way is plan.forward or plan.back_fields:
            for one, across in ((node, False), (other, True)):
                young = partial(one.proofs.young, snapshot=before[one.name].snapshot)
                found = changed(plan.link, one.name, plan.paired, young)
                if across:
                    comparison.want_from(one.session.stream(f"COPY ({found.across}) TO STDOUT"))
                else:
                    node.session.execute(f"INSERT INTO {way.asked.wanted_table} {found.here}")
        if plan.paired:
            self._want_unpaired(way)
        if plan.paired and way is plan.forward:
            comparison.want_from(other.session.stream(f"COPY ({plan.checks[other.name].bereft}) TO STDOUT"))
        comparison.want(before[node.name].doubtful)

    def assertions(self) -> Iterator[Difference]:
        """What the link file states of both sides, and does not hold. After any of the looks, or alone."""
        here, there = self._here, self._there
        for one in self.plan.assertions:
            there.session.execute(one.setup)
            there.session.load_blocks(one.load, here.session.stream(one.shipped))
            many = dict(zip((here.name, there.name), there.session.query(one.many)[0], strict=True))
            if not one.per_record and max(many.values()) > 1:
                node, rows = max(many.items(), key=lambda item: item[1])
                raise ConfigurationError(f"assertion {one.name}: the query on {node} gives {rows} rows, not one")
            rows_of = groupby(_fetched(there.session, "unlike", one.unlike), key=lambda row: (row[0], row[1]))
            for (key_here, key_there), rows_unlike in rows_of:
                keys = {} if key_here is None else {here.name: tuple(key_here), there.name: tuple(key_there)}
                fields = {name: (ours, theirs) for _, _, name, ours, theirs in rows_unlike}
                yield Difference(self.plan.link.name, "assertion", keys, here.name, fields=fields, said=one.name)

    # -- the parts of them -----------------------------------------------------------------------------------------

    @property
    def _here(self) -> Node:
        return self._nodes[self.plan.forward.source]

    @property
    def _there(self) -> Node:
        return self._nodes[self.plan.forward.target]

    def _both(self, question: Callable[[Node], T]) -> list[T]:
        """Asked of both nodes at the same time: of this one, then of the other."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(question, (self._here, self._there)))

    def _lone(self) -> Iterator[Difference]:
        """Pairs that one node alone knows."""
        checks = self.plan.checks
        here, there = self._both(lambda node: node.session.query(checks[node.name].buckets))
        self._pairs = sum(count for _, count, _ in there)
        unlike = sorted({bucket for bucket, *_ in set(here) ^ set(there)})
        if not unlike:
            return
        listed = ", ".join(map(str, unlike))
        session = self._there.session
        stream = self._here.session.stream(checks[self._here.name].pairs_in.replace("{buckets}", listed))
        session.load_blocks(checks[self._there.name].load_theirs, stream)
        first, second = (side.node for side in self.plan.link.sides)
        lone = checks[self._there.name].lone.replace("{buckets}", listed)
        for one, other, known_there, twice in _fetched(session, "lone", lone):
            keys = {first: tuple(one), second: tuple(other)}
            knows, lacks = self._there.name, self._here.name
            if not known_there:
                knows, lacks = lacks, knows
            for name, key in keys.items():
                self._tell(name, key)
            yield Difference(self.plan.link.name, "twice" if twice else "crosswalk", keys, knows, lacks)

    def _dead(self) -> Iterator[Difference]:
        """Pairs whose record is gone from the forward side, or from both."""
        plan, session = self.plan, self._there.session
        stream = self._here.session.stream(plan.checks[self._here.name].gone)
        session.load_blocks(plan.checks[self._there.name].load_gone, stream)
        first, second = (side.node for side in plan.link.sides)
        for one, other, gone_there, gone_here in _fetched(session, "dead", plan.checks[self._there.name].dead):
            keys = {first: tuple(one), second: tuple(other)}
            if not gone_here or any(keys[name] in self._told[name] for name in keys):
                continue  # what is gone from the other side only is seen from this side's record
            if gone_there:
                yield Difference(plan.link.name, "dead pair", keys, self._here.name)
            else:
                kind = "missing" if plan.back is not None else "extra"
                yield Difference(plan.link.name, kind, keys, self._there.name, self._here.name)

    def _want_unpaired(self, way: Way) -> None:
        sql = f"INSERT INTO {way.asked.wanted_table} {self.plan.checks[way.source].unpaired}"
        self._nodes[way.source].session.execute(sql)

    def _backward(self, wanted: bool) -> Iterator[Difference]:
        """What becomes of the other side's records: of those that are wanted, or of all."""
        plan, back = self.plan, self._back
        if plan.back is None or back is None:
            return
        self.shipped += back.read(inside=True, wanted=wanted, seen=lambda rows: self._seen(self.shipped + rows))
        for verdict in back.verdicts():
            if verdict.act == "U" and not verdict.inside:
                continue  # the pair is dead, and that is told already
            yield from self._difference(plan.back, verdict)

    def _extras(self) -> Iterator[Difference]:
        extras = self.plan.extras
        assert extras is not None
        session = self._there.session
        keys = f"COPY ({self.plan.checks[self._here.name].keys}) TO STDOUT"
        session.load_blocks(extras.load, self._here.session.stream(keys))
        session.execute("SAVEPOINT extras")
        try:
            session.execute(extras.found)
        except WriteFailed as error:
            if not error.of_rows:
                raise
            session.execute("ROLLBACK TO SAVEPOINT extras")
            session.execute(extras.found_as_text)
        for (key,) in _fetched(session, "extras", extras.listed):
            yield Difference(self.plan.link.name, "extra", {self._there.name: tuple(key)}, self._there.name, self._here.name)

    def _tell(self, node: str, key: Key) -> None:
        if len(self._told[node]) < REMEMBERED:
            self._told[node].add(key)

    def _difference(self, way: Way, verdict: Verdict) -> Iterator[Difference]:
        """At most one."""
        name, act = self.plan.link.name, verdict.act
        keys = {way.source: verdict.source_key}
        if verdict.target_key is not None and (self.plan.paired or verdict.there):
            keys[way.target] = verdict.target_key
        if act == "refused":
            yield Difference(name, "refused", keys, way.source, said=verdict.said)
            return
        if act in FINE or (act not in PAIRED and verdict.source_key in self._told[way.source]):
            return
        if act in "AM" and verdict.target_key in self._told[way.target] and way is self.plan.back:
            return  # seen from the other side
        cause = "deleted" if verdict.dead and act not in PAIRED else None
        if act == "U" and not verdict.inside:
            yield Difference(name, "missing", keys, way.source, way.target, seen=verdict.digest)
        elif act == "U" and verdict.wait is not None and verdict.wait.link is not None and not verdict.fields:
            self.unlinked += 1
        elif verdict.wait is not None and not verdict.fields:
            yield Difference(name, "waits", keys, way.source, cause=cause, said=verdict.wait.message, seen=verdict.digest)
        elif act == "U":
            if verdict.fields:
                yield Difference(name, "differs", keys, way.source, fields=verdict.fields, seen=verdict.digest)
        elif act == "D":
            yield Difference(name, "extra", keys, way.target, way.source, seen=verdict.digest)
        elif act in "AM":
            for node, key in keys.items():
                self._tell(node, key)
            kind = "unpaired" if act == "A" else "duplicate"
            yield Difference(name, kind, keys, way.source, fields=verdict.fields, cause=cause, seen=verdict.digest)
        elif act not in "TR" or not self._may_outlive(way.source):
            yield Difference(name, "missing", keys, way.source, way.target, cause=cause, seen=verdict.digest)

    def _may_outlive(self, node: str) -> bool:
        """Whether records stay on the node when the other side's is deleted."""
        rule = self.plan.link.delete.get(node)
        return rule is not None and rule.kind != "delete"


def _of_pairs(one: Difference) -> bool:
    return one.kind in ("crosswalk", "twice", "dead pair") or (one.kind in ("missing", "extra") and len(one.keys) == 2)


def _keys(differences: Iterable[Difference], node: str) -> Iterator[Key]:
    return (one.keys[node] for one in differences if one.source == node and node in one.keys and one.kind != "assertion")


def _fetched(session: Session, cursor: str, sql: str) -> Iterator[tuple]:  # type: ignore[type-arg]
    session.execute(f"DECLARE {cursor} NO SCROLL CURSOR FOR {sql}")
    while rows := session.query(f"FETCH {FETCHED} FROM {cursor}"):
        yield from rows
    session.execute(f"CLOSE {cursor}")
