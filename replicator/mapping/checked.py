"""A link with the tables it stands on: what the rules of structure.py and kinds.py ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from replicator.mapping.records import record
from replicator.model.finding import Mark
from replicator.model.link import Expression, Field, Link
from replicator.model.table import Column, Table, TableName

Tables = Mapping[tuple[str, TableName], Table | None]


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """A column that a link names, and where it does."""

    node: str
    table: TableName
    column: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Copy:
    """A field's value on its way to `target`: the text of `source` is read as the type of `column`."""

    field: Field
    target: str
    source: Column
    column: Column


@dataclass(frozen=True, slots=True)
class Checked:
    """A link with the tables it stands on."""

    link: Link
    links: Mapping[str, Link]
    tables: Tables

    def table(self, node: str) -> Table | None:
        """The side's record."""
        return record(self.link.side(node), self.tables)

    def column(self, node: str, name: str) -> Column | None:
        found = self.table(node)
        return found.by_name.get(name) if found else None

    def column_of(self, node: str, table_name: TableName, name: str) -> Column | None:
        if table_name == self.link.side(node).table:
            return self.column(node, name)
        table = self.tables.get((node, table_name))
        return table.by_name.get(name) if table else None

    def place(self, node: str, name: str) -> str:
        return f"{node}: {self.link.side(node).table}.{name}"

    def uses(self) -> Iterator[ColumnUse]:
        """Every column the link names."""
        link = self.link
        for side in link.sides:
            named = [(name, side.mark) for name in side.key]
            named += [(name, rule.mark) for rule in link.matching for name in rule.columns.get(side.node, ())]
            rule = link.delete.get(side.node)
            named += [(name, value.mark) for name, value in (rule.assignments if rule else ())]
            restore = link.restore.get(side.node)
            named += [(name, value.mark) for name, value in (restore.assignments if restore else ())]
            stub = link.stub.get(side.node)
            named += [(name, value.mark) for name, value in (stub.assignments if stub else ())]
            named += [(f.columns[side.node], f.mark) for f in link.fields if side.node in f.columns]
            named += [(name, e.mark) for e in self.expressions() if e.node == side.node for name in sorted(e.reads)]
            for name, mark in named:
                yield ColumnUse(side.node, side.table, name, mark)
        for field in link.fields:
            if look := field.lookup:
                for name in [look.by] if look.by else look.match:
                    yield ColumnUse(look.node, look.table, name, look.mark)
                yield ColumnUse(look.node, look.table, look.key, look.mark)
            for node, kept in field.reference.tables.items() if field.reference else ():
                for name in (*kept.by, kept.key):
                    yield ColumnUse(node, kept.table, name, kept.mark)

    def expressions(self) -> Iterator[Expression]:
        link = self.link
        yield from (side.where for side in link.sides if side.where)
        yield from link.create.values()
        for rule in link.delete.values():
            yield from (value for _, value in rule.assignments)
        for restore in link.restore.values():
            yield from (value for _, value in restore.assignments)
        for stub in link.stub.values():
            yield from (value for _, value in stub.assignments)
        for field in link.fields:
            yield from (*field.convert.values(), *field.initial.values())
            yield from field.lookup.match.values() if field.lookup else ()

    def creates_on(self, node: str) -> bool:
        """Whether the link may create records there."""
        condition = self.link.create.get(node)
        flows = any(target == node for _, target in self.link.flows)
        return flows and (condition is None or condition.text != "false")

    def source_of(self, field: Field, target: str) -> Column | None:
        """The column whose text is written at `target`, unless an expression or a value list makes the text."""
        if field.convert or field.values or len(field.columns) < 2:
            return None
        if field.lookup:
            name = field.lookup.key if field.lookup.node == target else field.lookup.by
            return self.column_of(field.lookup.node, field.lookup.table, name)
        if field.reference:
            referenced = self.links.get(field.reference.links[0])
            if field.reference.several or referenced is None or target not in {s.node for s in referenced.sides}:
                return None
            side = referenced.side(target)
            return self.column_of(target, side.table, side.key[0])
        source = self.link.other(target).node
        return self.column(source, field.columns[source])

    def copies(self) -> Iterator[Copy]:
        for field in self.link.fields:
            for target in sorted(field.writes):
                source, column = self.source_of(field, target), self.column(target, field.columns[target])
                if source and column:
                    yield Copy(field, target, source, column)
