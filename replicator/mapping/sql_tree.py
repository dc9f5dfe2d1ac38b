"""The tree of an SQL expression, held against the constructs that are known to be pure and to mean the same everywhere.

An allow-list of node types. The text that was parsed has its column references masked (see `sql_tokens`);
functions and casts are judged by their written words in `sql_rules`, so here they need only not be worse.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from replicator.mapping.findings import show
from replicator.mapping.sql_tokens import MASK
from replicator.mapping.sql_words import BEFORE_PARENTHESIS, FUNCTIONS, word_set

_CONSTRUCTS: tuple[type[exp.Expr], ...] = (
    exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple, exp.Var, exp.Func,
    exp.Not, exp.Neg, exp.BitwiseNot, exp.Between, exp.In, exp.Any, exp.All, exp.If,
    exp.DataTypeParam, exp.Interval, exp.AtTimeZone,
    exp.Bracket, exp.Slice, exp.Array, exp.Collate, exp.Escape, exp.ByteString, exp.BitString, exp.HexString,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Pow, exp.DPipe,
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeNEQ, exp.NullSafeEQ, exp.Is,
    exp.Like, exp.ILike, exp.SimilarTo, exp.RegexpLike, exp.RegexpILike, exp.Overlaps, exp.Distance, exp.Adjacent,
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseLeftShift, exp.BitwiseRightShift,
    exp.ExtendsLeft, exp.ExtendsRight,
    exp.JSONExtract, exp.JSONExtractScalar, exp.JSONBExtract, exp.JSONBExtractScalar, exp.JSONBContains,
    exp.JSONBContainsTopKey, exp.JSONBContainsAnyTopKeys, exp.JSONBContainsAllTopKeys, exp.JSONBDeleteAtPath,
    exp.JSONKeyValue, exp.JSONPath, exp.JSONPathPart,
)  # fmt: skip
_NEVER: tuple[type[exp.Expr], ...] = (
    exp.AggFunc, exp.UDTF, exp.Exists, exp.TryCast,
    exp.CurrentUser, exp.SessionUser, exp.CurrentRole, exp.CurrentSchema, exp.CurrentCatalog,
)  # fmt: skip
_TYPES = word_set("""
    ARRAY BIGINT BIT BOOLEAN BPCHAR CHAR DATE DATERANGE DECIMAL DOUBLE FLOAT INET INT INT4RANGE INT8RANGE INTERVAL JSON
    JSONB MONEY NAME NUMRANGE SMALLINT TEXT TIME TIMETZ TIMESTAMP TIMESTAMPTZ TSRANGE TSTZRANGE UUID VARBINARY VARCHAR
    XML
""")
_EXTENSION_TYPES = frozenset(("citext", "cidr", "macaddr", "varbit", "bit varying"))


@dataclass(frozen=True, slots=True)
class Objection:
    code: str
    place: int
    message: str
    hint: str


def columns(tree: exp.Expr, masks: Collection[int], nodes: Collection[str]) -> list[Objection]:
    """What is wrong with names: each must be one of the masked references, which begin at `masks`."""
    objections, seen = [], set()
    for column in tree.find_all(exp.Column):
        parts = [p for a in ("catalog", "db", "table", "this") if (p := column.args.get(a)) is not None]
        place = _place(column)
        written = ".".join("*" if isinstance(p, exp.Star) else str(p.this) for p in parts)
        alone = len(parts) == 1 and isinstance(parts[0], exp.Identifier)
        if alone and place in masks and f'"{column.name}"' == MASK:
            seen.add(place)
        elif alone:
            hint = f"write {' or '.join(f'{n}.{written}' for n in nodes)}, or '{written}' in quotes for a text"
            message = f"the column {show(written)} does not say of which node it is"
            objections.append(Objection("L308", place, message, hint))
        else:
            objections.append(Objection("L315", place, f"{show(written)} is not a single column", "write node.column"))
    if not objections:
        for place in sorted({*masks} - seen):
            objections.append(Objection("L301", place, "this cannot be read with certainty", "use parentheses"))
    return objections


def construct(tree: exp.Expr) -> Objection | None:
    """The first construct that is not known, if any."""
    if isinstance(tree, exp.Tuple):
        return Objection("L302", _place(tree), "one expression is expected, not a list", "write one value")
    for node in tree.walk():
        if isinstance(node, exp.DataType):
            if not _known_type(node):
                name = node.sql("postgres")
                hint = "leave the cast off: the value is cast to the column's type anyway"
                return Objection("L312", _place(node.parent or node), f"the type {show(name)} is not allowed", hint)
        elif not _known(node):
            hint = "use operators, CASE, casts and PostgreSQL's pure functions"
            message = f"the SQL construct {type(node).__name__} is not allowed here"
            return Objection("L311", _place(node), message, hint)
    return None


def _known(node: exp.Expr) -> bool:
    if isinstance(node, exp.Column):
        return True  # judged by columns()
    if isinstance(node, exp.Identifier):
        return isinstance(node.parent, exp.Column | exp.Collate | exp.DataType)
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in FUNCTIONS | BEFORE_PARENTHESIS
    if isinstance(node, exp.Interval) and not isinstance(node.this, exp.Literal):
        return False
    if isinstance(node, _NEVER) or (isinstance(node, exp.In) and not node.expressions):
        return False
    return isinstance(node, _CONSTRUCTS)


def _known_type(node: exp.DataType) -> bool:
    kind = node.this
    known = isinstance(kind, exp.DataType.Type) and kind.name in _TYPES
    return known or str(node.args.get("kind") or "").lower() in _EXTENSION_TYPES


def _place(node: exp.Expr) -> int:
    """Where the first name inside stands; the tree knows no other places."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    return min(starts, default=0)


_ROUNDING = (exp.Round, exp.Trunc, exp.Floor, exp.Ceil, exp.Cast)


def divides(sql: str) -> bool:
    """Whether a quotient is in what the expression gives, with all its decimals. One that is compared is not."""
    tree = sqlglot.parse_one(sql, dialect="postgres")
    return any(quotient.find_ancestor(*_ROUNDING, exp.Predicate) is None for quotient in tree.find_all(exp.Div))
