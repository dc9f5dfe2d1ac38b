"""SELECT statements in link files: a side that is a query, and derived columns.

A derived column is a scalar query over its own record, whose columns it writes `node.column`, and
over any tables. Promises: one SELECT that changes nothing, tables and own columns it reads are known,
and only references to the own record are replaced when it is rendered, so no translation can change a
meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from replicator.mapping.expressions import LENGTH_LIMIT
from replicator.mapping.findings import Findings, show
from replicator.mapping.sql_words import NOT_PURE
from replicator.mapping.yaml_nodes import ScalarNode
from replicator.model.finding import Mark
from replicator.model.link import Query
from replicator.model.table import TableName

CHANGING = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.Command, exp.Create, exp.Drop)

UNREPEATABLE = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.CurrentDatetime, exp.CurrentUser, exp.Rand)


def parse_query(scalar: ScalarNode, node: str, others: tuple[str, ...], found: Findings) -> Query | None:
    """The query a text holds, read on `node`; `others` are the link's other nodes, whose columns it cannot see."""
    text = scalar.text.strip().rstrip(";").strip()
    at = _places(scalar)
    if len(text) > LENGTH_LIMIT:
        found.add("L314", scalar.mark, f"the query has more than {LENGTH_LIMIT} characters", "make it a view")
        return None
    try:
        tree = parsed(text)
    except SqlglotError as error:
        places = error.errors if isinstance(error, ParseError) else []
        place = places[0] if places else {}
        mark = at(_offset(text, place.get("line"), place.get("col")))
        found.add("L320", mark, "the query cannot be read", "it is one SELECT in PostgreSQL's words; try it in psql")
        return None
    if not isinstance(tree, exp.Query) or isinstance(tree, exp.Subquery):
        found.add("L320", scalar.mark, "a query begins with SELECT or WITH", "for example `select max(d) from crm.visit`")
        return None
    errors = found.errors
    for part in tree.find_all(*CHANGING):
        found.add("L321", scalar.mark, f"the query has {type(part).__name__.upper()}", "a side is only read by its query")
        return None
    for function in tree.find_all(exp.Func):
        name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
        if name in NOT_PURE or isinstance(function, UNREPEATABLE):
            message = f"{name}() gives another value each time, so no change would tell when to read the query again"
            found.add("L322", scalar.mark, message, "leave it out; compare with a column")
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    tables, reads = [], set()
    for named in tree.find_all(exp.Table):
        if isinstance(named.this, exp.Func) or (not named.db and named.name in ctes):
            continue
        if not named.db:
            hint = f"write {show('schema.' + named.name)}"
            found.add("L323", at(_start(named)), f"the table {show(named.name)} has no schema", hint)
        tables.append(TableName(named.db or "public", named.name))
    for column in tree.find_all(exp.Column):
        if column.table == node and not column.db:
            reads.add(column.name)
        elif column.table in others:
            found.add("L324", at(_start(column)), f"{show(column.sql())}: a query sees its own node only", f"write {node}.column")
    if not tables:
        found.add("L325", scalar.mark, "the query reads no table", "an expression goes into `convert` or `from`")
    if found.errors > errors:
        return None
    return Query(text, scalar.mark, node, frozenset(reads), tuple(dict.fromkeys(tables)))


@lru_cache(maxsize=1024)
def parsed(text: str) -> exp.Expr:
    return sqlglot.parse_one(text, dialect="postgres")


def places_of(sql: str, columns: Sequence[str]) -> list[int] | None:
    """Where these columns stand in the query's list; None if one is not named there."""
    tree = parsed(sql)
    first = tree
    while isinstance(first, exp.SetOperation):
        first = first.left
    names = [projection.alias_or_name for projection in first.expressions]
    return [names.index(column) for column in columns] if all(column in names for column in columns) else None


def rendered(query: Query, own: Callable[[str], str]) -> str:
    """The query as SQL, each reference to the own record replaced by `own(column)`."""
    pieces, last = [], 0
    for column in _own_columns(query):
        pieces += [query.text[last : _start(column)], own(column.name)]
        last = column.this.meta["end"] + 1
    return "".join([*pieces, query.text[last:]])


def renamed(query: Query, new: str) -> Query:
    """The same on a node of another name: references to the own record change with it, schemas and tables do not."""
    pieces, last = [], 0
    for column in _own_columns(query):
        pieces += [query.text[last : _start(column)], new]
        last = column.args["table"].meta["end"] + 1
    return replace(query, text="".join([*pieces, query.text[last:]]), node=new)


def _own_columns(query: Query) -> list[exp.Column]:
    """References to the own record, in the order of the text."""
    columns = sorted(parsed(query.text).find_all(exp.Column), key=_start)
    return [c for c in columns if c.table == query.node and not c.db and c.name in query.reads]


def _start(node: exp.Expr) -> int:
    """Where its first word stands in the text."""
    words = [
        part for part in (node.args.get("catalog"), node.args.get("db"), node.args.get("table"), node.this) if part is not None
    ]
    return min((word.meta["start"] for word in words if "start" in word.meta), default=0)


def _offset(text: str, line: int | None, column: int | None) -> int:
    if not line or not column:
        return 0
    lines = text.splitlines(keepends=True)
    return min(sum(map(len, lines[: line - 1])) + column - 1, max(len(text) - 1, 0))


def _places(scalar: ScalarNode) -> Callable[[int], Mark]:
    indent = re.match(r"\s*", scalar.text)
    before = indent.end() if indent else 0
    return lambda offset: scalar.at(before + offset)
