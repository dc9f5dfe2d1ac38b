"""What lint says of a side's queries: those a server refuses, and changes that lead to reading every record again.

Codes here: K067 a query that a server refuses, K068 a table that nothing joins to the record, K070 the query of an
assertion that a server refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import psycopg
from sqlglot import exp

from replicator.engines.postgres.catalog import describe
from replicator.engines.postgres.errors import translated
from replicator.errors import WriteFailed
from replicator.mapping.one_row import conjuncts
from replicator.mapping.queries import parsed, places_of, rendered
from replicator.model.finding import Finding
from replicator.model.link import Link, Query, Side
from replicator.model.table import Column, TableName
from replicator.program.affected import affected
from replicator.program.derive import derived_sql
from replicator.program.joined import Tables
from replicator.program.own import OWN, own
from replicator.program.sql import table

CHANGED = "replicator_changed"
QUERY_HINT = "try it in psql; columns of the own record are written {node}.column"


def described(side: Side, tables: Tables, connection: psycopg.Connection) -> tuple[tuple[Column, ...] | None, list[Finding]]:
    """The columns that a side's queries give, or what the server says against each that it refuses. `tables`: those it names."""
    try:
        return _describe(side, connection, side.query.text if side.query is not None else derived_sql(side, tables)), []
    except WriteFailed as error:
        if not (error.of_rows or error.kind in ("broken", "fault")):
            raise
        if side.query is not None:
            return None, [_refused(side, side.query, "the query", error)]
        each = [finding for name, query in side.derived.items() for finding in _alone(side, name, query, tables, connection)]
        return None, each or [Finding(side.mark, "K067", error.message, error.hint)]


def refused_assertions(links: Sequence[Link], connections: Mapping[str, psycopg.Connection]) -> Iterator[Finding]:
    """A warning: the flows do not need them, and go on."""
    for link in links:
        for assertion in link.asserts:
            for node, query in assertion.queries.items():
                if node in connections:
                    try:
                        _describe(link.side(node), connections[node], query.text)
                    except WriteFailed as error:
                        said = error.message.removeprefix(f"{node}: ")
                        message = f"{node} refuses the query of assertion {assertion.name}: {said}"
                        yield Finding(query.mark, "K070", message, error.hint or "try it in psql", "warning")


def _describe(side: Side, connection: psycopg.Connection, sql: str) -> tuple[Column, ...]:
    with translated(side.node):
        return describe(connection, sql)


def _alone(side: Side, name: str, query: Query, tables: Tables, connection: psycopg.Connection) -> Iterator[Finding]:
    try:
        _describe(side, connection, derived_sql(replace(side, derived={name: query}), tables))
    except WriteFailed as error:
        yield _refused(side, query, f"the query of {side.node}.{name}", error)


def _refused(side: Side, query: Query, what: str, error: WriteFailed) -> Finding:
    said = error.message.removeprefix(f"{side.node}: ").replace(f" {OWN}.", f" {side.node}.")
    hint = error.hint if error.sqlstate == "42501" else QUERY_HINT.format(node=side.node)
    return Finding(query.mark, "K067", f"{side.node} refuses {what}: {said}", hint)


def unread(links: Sequence[Link], refused: Collection[Finding]) -> set[str]:
    """The links whose queries are refused, and those that refer to them: no statement can be made of these."""
    files = {finding.where.path for finding in refused if not isinstance(finding.where, str)}
    found = {link.name for link in links if link.mark.path in files}
    while more := {link.name for link in links for f in link.fields if f.reference and found & {*f.reference.links}} - found:
        found |= more
    return found


def read_as_a_whole(link: Link) -> Iterator[Finding]:
    for side in link.sides:
        if any(source == side.node for source, _ in link.flows):
            for query, sql, places, own in _queries(side):
                for name in query.tables:
                    statements = affected(sql, places, name, CHANGED)[1 if name == own else 0 :]
                    if any(not _reached(statement) for statement in statements):
                        message = f"when a row of {name} changes, every record is read again: nothing joins it to the record"
                        hint = "join it with `=` to the record, or to a table that is; let it be if its rows rarely change"
                        yield Finding(query.mark, "K068", message, hint, "warning")


def _queries(side: Side) -> Iterator[tuple[Query, str, list[int], TableName | None]]:
    """Each query, as it is asked for keys: with their places in the list, and the record's own table."""
    if side.query is not None:
        yield side.query, side.query.text, places_of(side.query.text, side.key) or [], None
    keys = ", ".join(own(key) for key in side.key)
    for query in side.derived.values():
        yield (
            query,
            f"SELECT {keys}, ({rendered(query, own)}) FROM {table(side.table)} AS {OWN}",
            list(range(len(side.key))),
            side.table,
        )


def _reached(statement: str) -> bool:
    """Whether the changed rows are joined, directly or through other tables, to where the keys come from. A column without
    its table may be of any."""
    tree = parsed(statement)
    changed = next((node for node in tree.find_all(exp.Table) if node.name == CHANGED), None)
    if changed is None or not isinstance(tree, exp.Select):
        return True
    groups = _Groups()
    for select in tree.find_all(exp.Select):
        inside = _sources(select)
        for alias, source in inside.items():
            groups.join([alias, *_given(source)])
        for condition in _conditions(select):
            groups.join([name for column in condition.find_all(exp.Column) for name in _owners(column, inside)])
    for cte in tree.find_all(exp.CTE):
        groups.join([cte.alias, *_given(cte)])
    for node in tree.find_all(exp.Table):
        groups.join([node.name, node.alias_or_name])
    keys = {name for key in tree.expressions for column in key.find_all(exp.Column) for name in _owners(column, _sources(tree))}
    return not keys or all(groups.of(key) == groups.of(changed.alias_or_name) for key in keys)


def _sources(select: exp.Select) -> dict[str, exp.Expr]:
    joins = [join.this for join in select.args.get("joins") or ()]
    first = select.args.get("from_")
    return {source.alias_or_name: source for source in ([first.this] if first is not None else []) + joins}


def _given(source: exp.Expr) -> list[str]:
    """The tables whose columns a subquery gives."""
    select = source.find(exp.Select) if not isinstance(source, exp.Table) else None
    if select is None:
        return []
    return [name for value in select.expressions for c in value.find_all(exp.Column) for name in _owners(c, _sources(select))]


def _owners(column: exp.Column, inside: Collection[str]) -> list[str]:
    return [column.table] if column.table else list(inside)


def _conditions(select: exp.Select) -> Iterator[exp.Expr]:
    where = select.args.get("where")
    wholes = [where.this] if where is not None else []
    wholes += [join.args["on"] for join in select.args.get("joins") or () if join.args.get("on") is not None]
    for whole in wholes:
        yield from conjuncts(whole)
    for join in select.args.get("joins") or ():
        if join.args.get("using") or (join.args.get("method") or "").upper() == "NATURAL":
            yield exp.and_(*(exp.column("any", table=name) for name in _sources(select)))


class _Groups:
    """Names that belong together."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, name: str) -> str:
        while self._above.get(name, name) != name:
            name = self._above[name]
        return name

    def join(self, names: Sequence[str]) -> None:
        for name in names[1:]:
            self._above[self.of(name)] = self.of(names[0])
