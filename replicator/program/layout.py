"""The facts about one link in one direction that every statement builder needs, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from replicator.capture.feed import Feed, FeedPart
from replicator.mapping.expressions import to_sql
from replicator.mapping.records import columns_by_table, record
from replicator.mapping.types import keeps_apart
from replicator.model.link import Expression, Field, Link, Missing, Side
from replicator.model.table import Column, Table
from replicator.model.topology import Place
from replicator.program import names
from replicator.program.effects import heard, is_shared
from replicator.program.joined import relation
from replicator.program.own import OWN, value_of
from replicator.program.projection import BEFORE, Enrichment, Projected, Tables, enrichments, project, staged
from replicator.program.sql import bits, declared, differs, mask_of, quote


def is_plain(field: Field) -> bool:
    return not (field.convert or field.values or field.lookup or field.reference) and len(field.columns) == 2


def is_written(field: Field, source: str, target: str) -> bool:
    """Whether a change on `source` is written on `target` (an owner's field is not, on the owner's side)."""
    return target in field.writes and target != field.carried and not is_owned(field, source, target)


def is_owned(field: Field, source: str, target: str) -> bool:
    """Whether `target` owns the field, so that an edit on `source` is put back."""
    return field.rule.owner == target and {source, target} <= field.writes


@dataclass(frozen=True)
class Layout:
    link: Link
    links: Mapping[str, Link]
    tables: Tables
    source: str
    target: str
    passed: frozenset[Place] = frozenset()  # what is written there is passed on to further nodes

    @property
    def source_side(self) -> Side:
        return self.link.side(self.source)

    @property
    def target_side(self) -> Side:
        return self.link.side(self.target)

    @cached_property
    def source_table(self) -> Table:
        return self._record(self.source_side)

    @cached_property
    def target_table(self) -> Table:
        return self._record(self.target_side)

    def _record(self, side: Side) -> Table:
        found = record(side, self.tables)
        assert found is not None
        return found

    @property
    def source_relation(self) -> str:
        """What a statement names to read or write the source's records."""
        return relation(self.source_side, self.link.name)

    @property
    def target_relation(self) -> str:
        return relation(self.target_side, self.link.name)

    @property
    def width(self) -> int:
        return len(self.link.fields)

    def mask(self, numbers: set[int]) -> str:
        return bits(mask_of(numbers), self.width)

    @property
    def none(self) -> str:
        return bits(0, self.width)

    @cached_property
    def written(self) -> tuple[int, ...]:
        return tuple(i for i, f in enumerate(self.link.fields) if is_written(f, self.source, self.target))

    @cached_property
    def carried(self) -> dict[int, int]:
        """Fields whose column another one writes here, as part of one text: number -> that one's."""
        places = {
            i: f.reference.places for i, f in enumerate(self.link.fields) if f.reference is not None and f.reference.part == "key"
        }
        return {
            i: next(n for n, place in places.items() if field.reference is not None and place == field.reference.places)
            for i, field in enumerate(self.link.fields)
            if field.carried == self.target
        }

    @cached_property
    def constant(self) -> tuple[int, ...]:
        """Fields that read nothing: they are written with whatever else is."""
        made = ((i, self.link.fields[i].convert.get(self.target)) for i in self.written)
        return tuple(i for i, value in made if value is not None and not value.reads)

    @cached_property
    def owned(self) -> tuple[int, ...]:
        """Fields the target owns: the source's edits of them are put back."""
        return tuple(i for i, f in enumerate(self.link.fields) if is_owned(f, self.source, self.target))

    @cached_property
    def tracked(self) -> tuple[int, ...]:
        """Fields that both sides may write, the newer edit winning."""
        return tuple(i for i in self._both_ways("latest") if i not in self.carried)

    @cached_property
    def healed(self) -> tuple[int, ...]:
        """Of these, from the source's point of view: fields that may have to be written back there."""
        return tuple(i for i in self._both_ways("latest") if self.link.fields[i].carried != self.source)

    def _both_ways(self, *kinds: str) -> tuple[int, ...]:
        if not self.link.two_way:
            return ()
        both = {self.source, self.target}
        return tuple(i for i, f in enumerate(self.link.fields) if both <= f.writes and f.rule.kind in kinds)

    @cached_property
    def counted(self) -> tuple[int, ...]:
        """Counters: what one side adds is added on the other."""
        return self._both_ways("delta")

    @cached_property
    def weighed(self) -> tuple[int, ...]:
        """Fields that are written only over the value that their writer knew; see program/weigh.py."""
        return self._both_ways("merge", "queue")

    @property
    def decides(self) -> bool:
        """Whether edits that meet under `merge` and `queue` are decided on the target."""
        return self.link.arbiter == self.target

    @cached_property
    def returning_on_create(self) -> tuple[int, ...]:
        """Fields whose value the target makes when a record is created there, and which the source wants."""
        if not self.link.two_way:
            return ()
        return tuple(
            i
            for i, f in enumerate(self.link.fields)
            if self.source in f.writes
            and (i not in self.written or self.target in f.initial)
            and not self._fixed(f)
            and i not in self.carried
        )

    def _fixed(self, field: Field) -> bool:
        """Whether it says whose slice the record is: that is the row's own key."""
        return self.target_side.slice and field.columns.get(self.target) in self.target_side.key

    @cached_property
    def returning_after_triggers(self) -> tuple[int, ...]:
        """Fields whose value the target may make another when the row is written, and which the source wants."""
        if not self.link.two_way:
            return ()
        derived = self.target_side.derived
        wanted = (
            i
            for i, f in enumerate(self.link.fields)
            if self.source in f.writes and self.target in f.columns and f.columns[self.target] not in derived
        )
        triggers = self.target_table.has_triggers
        return tuple(
            i for i in wanted if i not in (*self.counted, *self.carried) and (triggers or self.target_column(i).generated)
        )

    def refers_to_self(self, number: int) -> bool:
        """Whether the field holds the key of a record of this link, which may be made in the same batch."""
        field = self.link.fields[number]
        found = self.projected.get(number)
        own = field.reference is not None and field.reference.links == (self.link.name,)
        return found is not None and own and self.source in field.columns

    def target_column(self, number: int) -> Column:
        return self.target_table.column(self.link.fields[number].columns[self.target])

    @cached_property
    def direct(self) -> bool:
        """Whether the target's key is a plain copy of the source's, one way: no crosswalk is needed."""
        if any(f.reference and f.reference.missing is Missing.LATER for f in self.link.fields):
            return False
        if self.target_side.slice or any(side.extends for side in self.link.sides):
            return False
        referred = any(f.reference and self.link.name in f.reference.links for link in self.links.values() for f in link.fields)
        if self.link.two_way or referred:
            return False
        copies = {
            f.columns[self.source]: f.columns[self.target] for f in self.link.fields if is_plain(f) and self.target in f.writes
        }
        if tuple(copies.get(k) for k in self.source_side.key) != self.target_side.key:
            return False
        # Where '1' and '01' become one number, only a crosswalk tells whose row it is.
        pairs = zip(self.key_columns(self.source), self.key_columns(self.target), strict=True)
        return all(keeps_apart(source, target) for source, target in pairs)

    @cached_property
    def feed(self) -> Feed:
        columns: dict[str, int] = {}

        def place(name: str) -> int:
            return columns.setdefault(name, len(columns))

        for key in self.source_side.key:
            place(key)
        side = self.source_side

        def places(name: str) -> set[int]:
            """A derived column changes with the columns that its query reads."""
            own = sorted(side.derived[name].reads) if name in side.derived else []
            return {place(name), *(place(c) for c in own)}

        reads = [frozenset(p for c in sorted(self._reads(f)) for p in places(c)) for f in self.link.fields]
        where, create = self.source_side.where, self.link.create.get(self.target)
        deciding = {p for column in sorted(where.reads if where else ()) for p in places(column)}
        entry = deciding | {p for column in sorted(create.reads if create else ()) for p in places(column)}
        for field in self.link.fields:
            initial = field.initial.get(self.target)
            for column in sorted(initial.reads) if initial else ():
                places(column)
        for column in self.link.match.get(self.source, ()):
            places(column)
        written = {f.columns[self.source] for f in self.link.fields if self.source in f.writes}
        marks = (self.link.delete.get(self.source), self.link.restore.get(self.source))
        written |= {column for mark in marks if mark is not None for column, _ in mark.assignments}
        own = {columns[column] for column in written if column in columns}
        shared = is_shared(self.link, self.links.values(), self.source_table, self.source, self.target)
        counted = tuple((i, columns[self.link.fields[i].columns[self.source]]) for i in self.counted)
        return Feed(
            self.link.name,
            side.table,
            tuple(columns),
            len(side.key),
            tuple(reads),
            self.link.two_way,
            groups=tuple(mask_of(group.fields) for group in self.link.groups),
            counted=counted,
            weighed=self.weighed,
            derived=frozenset(p for name, p in columns.items() if name in side.derived),
            parts=self._parts(tuple(columns)),
            heard=heard(self.link, self.links.values(), self.source, self.target, [self._reads(f) for f in self.link.fields]),
            deciding=sum(1 << p for p in deciding),
            entry=sum(1 << p for p in entry - own) if self.link.two_way and shared else 0,
        )

    def _parts(self, columns: tuple[str, ...]) -> tuple[FeedPart, ...]:
        """The tables a record is made of, each with the feed's columns that it has. Empty if it is one."""
        side = self.source_side
        if not side.extends:
            return ()
        owners = columns_by_table(side, self.tables)
        keys = {side.table: side.key, **{part.table: part.key for part in side.extends}}
        return tuple(
            FeedPart(name, tuple(keys[name][side.key.index(c)] if c in side.key else c if c in owned else None for c in columns))
            for name, owned in owners.items()
        )

    def _reads(self, field: Field) -> frozenset[str]:
        if self.target in field.convert:
            return field.convert[self.target].reads
        if self.target in field.writes and field.lookup and field.lookup.match:
            return frozenset(c for e in field.lookup.match.values() for c in e.reads)
        wanted = (self.target in field.writes and field.carried != self.target) or self._fixed(field)
        if wanted and field.reference is not None and field.reference.several:
            return frozenset(field.reference.places[self.source])
        return frozenset({field.columns[self.source]}) if wanted and self.source in field.columns else frozenset()

    @cached_property
    def projected(self) -> dict[int, Projected]:
        """Field number -> its value, for the fields that are written, or compared to be put back."""
        nodes = (self.source, self.target)
        found = {}
        for i in (*self.written, *self.owned):
            field = self.link.fields[i]
            found[i] = project(self.links, self.tables, i, field, self.source_table, self.target_table, nodes)
        return found

    @cached_property
    def matched(self) -> dict[int, Projected]:
        """Fields that only serve to find a record both sides have: what they would be on the target."""
        wanted = set(self.link.match.get(self.target, ())) | (set(self.target_side.key) if self.target_side.slice else set())
        found = {}
        for i, field in enumerate(self.link.fields):
            if i not in self.projected and len(field.columns) == 2 and field.columns[self.target] in wanted and not field.convert:
                nodes = (self.source, self.target)
                found[i] = project(self.links, self.tables, i, field, self.source_table, self.target_table, nodes)
        return found

    @cached_property
    def projected_before(self) -> dict[int, Projected]:
        """Weighed field -> the value that should stand on the target, if nobody there has changed it."""
        found = {}
        for i in self.weighed:
            nodes = (self.source, self.target)
            field = self.link.fields[i]
            found[i] = project(self.links, self.tables, i, field, self.source_table, self.target_table, nodes, BEFORE)
        return found

    @cached_property
    def enrichments(self) -> tuple[Enrichment, ...]:
        positions = {name: place for place, name in enumerate(self.feed.columns)}
        used = {*self.written, *self.owned}
        return tuple(e for e in enrichments(self.link, self.source_table, self.source, positions) if e.field in used)

    def condition(self, expression: Expression | None) -> str | None:
        return None if expression is None else f"COALESCE(({to_sql(expression, staged)}), false)"

    @property
    def inside(self) -> str | None:
        """Over `s`: whether the source's row takes part."""
        return self.condition(self.source_side.where)

    @property
    def tells_stays(self) -> bool:
        """Whether the stage tells of each row that it has not moved (`RowChange.stays`)."""
        return bool(self.feed.deciding) and not self.direct

    @property
    def may_create(self) -> str | None:
        return self.condition(self.link.create.get(self.target))

    @property
    def target_inside(self) -> str | None:
        """Over `t`: whether a row of the target takes part. What it derives is asked of the row under a name of its own, for the
        user's queries may call a table `t`."""
        side = self.target_side
        if side.where is None:
            return None
        if not any(name in side.derived for name in side.where.reads):
            return f"COALESCE(({to_sql(side.where, lambda c: 't.' + quote(c))}), false)"
        return f"COALESCE((SELECT {to_sql(side.where, lambda c: value_of(side, c))} FROM (SELECT t.*) AS {OWN}), false)"

    @property
    def source_keys(self) -> tuple[str, ...]:
        return names.pair_columns(self.link, self.source)

    @property
    def target_keys(self) -> tuple[str, ...]:
        return names.pair_columns(self.link, self.target)

    def key_columns(self, node: str) -> list[Column]:
        side = self.link.side(node)
        found = self.source_table if node == self.source else self.target_table
        return [found.column(k) for k in side.key]

    def temporary(self, what: str) -> str:
        """A session table of this link and direction."""
        return quote(names.fitted(f"{what}_{self.link.name}_{self.source}_{self.target}"))

    def differing(self, left: str, number: int, right: str) -> str:
        column = self.target_column(number)
        return differs(column, f"{left}.{quote(column.name)}", right)

    @cached_property
    def created_columns(self) -> list[tuple[str, str]]:
        """(target column, SQL over `w`) of what a new record is made of, apart from a minted key."""
        columns = []
        for i, field in enumerate(self.link.fields):
            column = field.columns.get(self.target)
            if column is None:
                continue
            if self.target in field.initial:
                columns.append((column, f"w.i_{i}"))
            elif i in self.counted:
                columns.append((column, f"COALESCE(w.v_{i}, 0)"))
            elif i in self.written:
                columns.append((column, f"w.v_{i}"))
        return columns

    def initial_value(self, number: int) -> str:
        expression = self.link.fields[number].initial[self.target]
        return f"CAST(({to_sql(expression, staged)}) AS {declared(self.target_column(number))})"
