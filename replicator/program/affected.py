"""Which records a changed row concerns, when a side reads more tables than its own.

The query is turned round: the changed table is replaced by its changed rows, old and new, what
only narrows by value is left out, and the keys are asked for. So the answer may name a record too
many, which is then read again and found unchanged, but none too few.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from replicator.mapping.queries import parsed
from replicator.model.table import TableName


def affected(sql: str, keys: Sequence[int], table: TableName, changed: str) -> list[str]:
    """One statement for each place where `sql` reads `table`: the distinct columns `keys` (their places in its list), from
    `changed`'s rows."""
    count = len(_places(parsed(sql), table))
    return [_turned(sql, keys, table, changed, place) for place in range(count)]


def columns_read(sql: str, table: TableName) -> set[str] | None:
    """The columns of `table` that the query reads; None if that cannot be told from its text, so that any may matter."""
    tree = parsed(sql)
    aliases = {node.alias or node.name for node in _places(tree, table)}
    found = set()
    for column in tree.find_all(exp.Column):
        if column.table in aliases:
            found.add(column.name)
        elif not column.table:
            return None
    return None if any(tree.find_all(exp.Star)) else found


def _places(tree: exp.Expr, table: TableName) -> list[exp.Table]:
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    found = []
    for node in tree.find_all(exp.Table):
        if not node.db and node.name in ctes:
            continue
        if (node.db or "public", node.name) == (table.schema, table.name):
            found.append(node)
    return found


def _turned(sql: str, keys: Sequence[int], table: TableName, changed: str, place: int) -> str:
    tree = parsed(sql).copy()
    node = _places(tree, table)[place]
    named = node.args["alias"].this if node.args.get("alias") else node.this
    rows = exp.to_table(changed, dialect="postgres")
    rows.set("alias", exp.TableAlias(this=exp.to_identifier(named.name, quoted=named.args.get("quoted"))))
    node.replace(rows)
    select = _enclosing(rows)
    assert select is not None
    _must_have(rows)
    while True:
        outer = _enclosing(select)
        if isinstance(select.parent, exp.SetOperation):
            # The other branches have not changed.
            whole = select.parent
            while isinstance(whole.parent, exp.SetOperation):
                whole = whole.parent
            if whole.parent is None:
                if whole.args.get("with_") and not select.args.get("with_"):
                    select.set("with_", whole.args["with_"].copy())
                tree = select
                select.parent = None
                break
            whole.replace(select)
        elif isinstance(select.parent, exp.CTE):
            _bare(select, grouped=True)
            name = select.parent.alias
            outer = _user_of(tree, name)
            if outer is None:
                break
            select = outer
        elif outer is None:
            break
        elif isinstance(select.parent, exp.Subquery) and isinstance(select.parent.parent, (exp.From, exp.Join, exp.Lateral)):
            _bare(select, grouped=True)
            inside = select.parent
            _must_have(inside.parent if isinstance(inside.parent, exp.Lateral) else inside)
            select = outer
        else:
            select = _lifted(select, outer)
    _bare(select, grouped=False)
    wanted = [select.expressions[key].copy() for key in keys]
    select.set("expressions", wanted)
    select.set("distinct", exp.Distinct())
    return tree.sql(dialect="postgres")


def _enclosing(node: exp.Expr) -> exp.Select | None:
    return (
        node.parent.find_ancestor(exp.Select)
        if node.parent and not isinstance(node.parent, exp.Select)
        else (node.parent if isinstance(node.parent, exp.Select) else None)
    )


def _user_of(tree: exp.Expr, cte: str) -> exp.Select | None:
    """The SELECT that reads a common table expression; its join must find a row."""
    for node in tree.find_all(exp.Table):
        if not node.db and node.name == cte:
            _must_have(node)
            return _enclosing(node)
    return None


def _must_have(source: exp.Expr) -> None:
    """Outer joins that would let records through in which what has changed does not take part become narrower."""
    join = source.parent
    select = _enclosing(source)
    joins = (select.args.get("joins") or []) if select else []
    narrower = {"RIGHT": None, "FULL": "LEFT"}
    if isinstance(join, exp.Join):
        if (join.args.get("kind") or "").upper() == "OUTER":
            join.set("kind", None)
        side = (join.args.get("side") or "").upper()
        join.set("side", {"RIGHT": "RIGHT", "FULL": "RIGHT"}.get(side))
        joins = joins[joins.index(join) + 1 :]
    for other in joins:
        side = (other.args.get("side") or "").upper()
        if side in narrower:
            other.set("side", narrower[side])
            other.set("kind", None)


def _bare(select: exp.Select, grouped: bool) -> None:
    """Without what only orders, counts or narrows by value. `grouped`: what is grouped stays so, for others read its columns."""
    for part in ("having", "order", "limit", "offset", "windows", "qualify", *(() if grouped else ("group",))):
        select.set(part, None)
    select.set("distinct", None)
    where = select.args.get("where")
    if where is not None:
        kept = [c for c in _conjuncts(where.this) if _joins(c)]
        select.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)


def _conjuncts(condition: exp.Expr) -> list[exp.Expr]:
    if isinstance(condition, exp.Paren):
        return _conjuncts(condition.this)
    if isinstance(condition, exp.And):
        return _conjuncts(condition.left) + _conjuncts(condition.right)
    return [condition]


def _joins(condition: exp.Expr) -> bool:
    """`a.x = b.y`, and the row-wise form of it."""
    if not isinstance(condition, exp.EQ):
        return False
    sides = (condition.left, condition.right)
    return all(not side.find(exp.Select) and side.find(exp.Column) is not None and not side.find(exp.AggFunc) for side in sides)


def _lifted(select: exp.Select, outer: exp.Select) -> exp.Select:
    """A subquery in an expression becomes a join of its enclosing SELECT: the changed rows must be in it."""
    wanted = None
    membership = select.parent.parent if isinstance(select.parent, exp.Subquery) else select.parent
    if isinstance(membership, exp.In) and select.expressions and not isinstance(membership.parent, exp.Not):
        wanted = (membership.this.copy(), select.expressions[0].copy())
    body = select.copy()
    _bare(body, grouped=False)
    if wanted is not None:
        value = wanted[1].this if isinstance(wanted[1], exp.Alias) else wanted[1]
        body.set("expressions", [exp.alias_(value, "v")])
    else:
        body.set("expressions", [exp.Literal.number(1)])
    number = len(outer.args.get("joins") or [])
    name = f"replicator_{number}"
    lateral = exp.Lateral(this=exp.Subquery(this=body), alias=exp.TableAlias(this=exp.to_identifier(name)))
    _drop(select, outer)
    if outer.args.get("from_") is None:
        outer.set("from_", exp.From(this=lateral))
    else:
        outer.append("joins", exp.Join(this=lateral, kind="CROSS"))
    _bare(outer, grouped=False)
    if wanted is not None:
        outer.where(exp.EQ(this=wanted[0], expression=exp.column("v", table=name)), copy=False)
    return outer


def _drop(select: exp.Select, outer: exp.Select) -> None:
    """Takes the subquery's text out of the outer SELECT: its condition goes, or its column."""
    part: exp.Expr = select
    while part.parent is not None and part.parent is not outer:
        part = part.parent
    if part.arg_key == "expressions":
        part.replace(exp.null())
