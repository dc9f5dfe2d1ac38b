"""Whether a query can give more than one row, as far as its text and the tables' unique keys tell.

It gives one at most if it is aggregated as a whole, ends in LIMIT 1, reads no table, or if each of its sources is pinned:
all columns of one of its unique keys are equal to constants, to columns from outside, or to those of a pinned source. What
cannot be told counts as several. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlglot import exp

from replicator.mapping.queries import parsed
from replicator.model.table import Table, TableName

Lookup = Callable[[TableName], Table | None]

# Aggregates that the parser takes for functions it does not know.
AGGREGATES = frozenset(("range_agg", "range_intersect_agg", "xmlagg", "bit_xor", "any_value", "json_agg", "jsonb_agg", "every"))


def gives_one_row(text: str, tables: Lookup) -> bool:
    return _one(parsed(text), tables, {})


def _one(tree: exp.Expr, tables: Lookup, ctes: dict[str, exp.Expr]) -> bool:
    if isinstance(tree, exp.Subquery):
        return _limited(tree) or _one(tree.this, tables, ctes)
    known = {**ctes, **{cte.alias: cte.this for cte in getattr(tree, "ctes", ())}}
    if _limited(tree):
        return True
    if not isinstance(tree, exp.Select):
        return False
    if tree.args.get("from_") is None:
        return True
    if tree.args.get("group") is None:
        return tree.args.get("having") is not None or any(map(_aggregated, tree.expressions)) or _pinned(tree, tables, known)
    return False


def _limited(tree: exp.Expr) -> bool:
    limit = tree.args.get("limit")
    count = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression if limit else None
    return limit is not None and (count is None or (isinstance(count, exp.Literal) and count.this in ("0", "1")))


def _aggregated(value: exp.Expr) -> bool:
    for function in value.find_all(exp.Func):
        known = isinstance(function, exp.AggFunc) or (isinstance(function, exp.Anonymous) and function.name.lower() in AGGREGATES)
        own = function.find_ancestor(exp.Select, exp.SetOperation) is value.find_ancestor(exp.Select, exp.SetOperation)
        if known and own and not isinstance(_above(function), exp.Window):
            return True
    return False


def _above(function: exp.Expr) -> exp.Expr | None:
    above = function.parent
    while isinstance(above, exp.Filter | exp.WithinGroup | exp.IgnoreNulls | exp.RespectNulls):
        above = above.parent
    return above


def _pinned(select: exp.Select, tables: Lookup, ctes: dict[str, exp.Expr]) -> bool:
    joins: Sequence[exp.Join] = select.args.get("joins") or ()
    sources = {source.alias_or_name: source for source in (select.args["from_"].this, *(join.this for join in joins))}
    found = {alias: _table(source, tables, ctes) for alias, source in sources.items()}
    fixed = list(_fixed(select, joins, sources, found))
    pinned: set[str] = set()
    while True:
        more = {
            alias
            for alias, source in sources.items()
            if alias not in pinned and (_one_source(source, tables, ctes) or _by_key(alias, found[alias], fixed, pinned))
        }
        if not more:
            return len(pinned) == len(sources)
        pinned |= more


def _table(source: exp.Expr, tables: Lookup, ctes: dict[str, exp.Expr]) -> Table | None:
    if not isinstance(source, exp.Table) or (not source.db and source.name in ctes):
        return None
    return tables(TableName(source.db or "public", source.name))


def _one_source(source: exp.Expr, tables: Lookup, ctes: dict[str, exp.Expr]) -> bool:
    if isinstance(source, exp.Table):
        query = None if source.db else ctes.get(source.name)
        return query is not None and _one(query, tables, {name: cte for name, cte in ctes.items() if name != source.name})
    inner = source.this if isinstance(source, exp.Lateral) else source
    return isinstance(inner, exp.Subquery) and _one(inner, tables, ctes)


def _by_key(alias: str, table: Table | None, fixed: Sequence[tuple[str, str, set[str]]], pinned: set[str]) -> bool:
    if table is None:
        return False
    return table.is_unique(tuple(column for of, column, needs in fixed if of == alias and needs <= pinned))


def _fixed(
    select: exp.Select, joins: Sequence[exp.Join], sources: dict[str, exp.Expr], found: dict[str, Table | None]
) -> Iterator[tuple[str, str, set[str]]]:
    """(source, its column, sources whose row tells its value)"""

    def owner(column: exp.Column) -> str | None:
        """The source a column is of; '' for one from outside, None if that cannot be told."""
        if column.table:
            return column.table if column.table in sources else ""
        if len(sources) == 1:
            return next(iter(sources))
        having = [alias for alias, table in found.items() if table is None or column.name in table.by_name]
        return having[0] if len(having) == 1 else None

    def told(column: exp.Expr, value: exp.Expr | None) -> Iterator[tuple[str, str, set[str]]]:
        of = owner(column) if isinstance(column, exp.Column) else None
        needs = {owner(part) for part in value.find_all(exp.Column)} if value is not None else set()
        if of and None not in needs and not (value is not None and value.find(exp.Select)):
            yield of, column.name, {alias for alias in needs if alias}

    where = select.args.get("where")
    conditions = [where.this] if where is not None else []
    conditions += [join.args["on"] for join in joins if join.args.get("on") is not None]
    for condition in (part for whole in conditions for part in conjuncts(whole)):
        if isinstance(condition, exp.EQ):
            yield from told(condition.left, condition.right)
            yield from told(condition.right, condition.left)
        elif isinstance(condition, exp.Column):  # a boolean column
            yield from told(condition, None)
    for number, join in enumerate(joins):
        for name in join.args.get("using") or ():
            earlier = list(sources)[: number + 1]
            yield join.this.alias_or_name, name.name, {earlier[0]} if len(earlier) == 1 else set(earlier)


def conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(condition, exp.Paren):
        yield from conjuncts(condition.this)
    elif isinstance(condition, exp.And):
        yield from conjuncts(condition.left)
        yield from conjuncts(condition.right)
    else:
        yield condition
