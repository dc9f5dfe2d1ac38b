"""A link as its YAML declares it, after checking: the one statement of a correspondence.

mapping/ builds these from files, program/ compiles them; nobody changes one.
Every part keeps the place in the file it came from, so that any later message can name it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal

from replicator.model.finding import Mark
from replicator.model.table import TableName


@dataclass(frozen=True, slots=True)
class Expression:
    """An SQL expression over the columns of one node's record, written `node.column`.

    `text` is as written; `mark` is where its first character stands.
    `reads` names the columns it reads, all of node `node` (None if it reads none).
    """

    text: str
    mark: Mark
    node: str | None
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT on one node. `reads` are the columns of the own record that it names (`node.column`), `tables` all it reads."""

    text: str
    mark: Mark
    node: str
    reads: frozenset[str]
    tables: tuple[TableName, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A table whose row a record has as well, under the same key: the more general kind of a kind of record."""

    table: TableName
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """A link's end on one node. `where` says which rows take part (None: all).

    derived  columns that are not the table's: name -> the query for their value. They are read, never written.
    query    the records are this query's rows, and only read; `table` is then a name for it that no database has.
    extends  tables whose row with the same key belongs to the record: made before its own, removed after it
    slice    the record is some columns of a row that another link makes and removes: it is there while `where` holds.
    """

    node: str
    table: TableName
    key: tuple[str, ...]
    where: Expression | None
    mark: Mark
    derived: dict[str, Query] = field(default_factory=dict)
    query: Query | None = None
    slice: bool = False
    extends: tuple[Part, ...] = ()

    @property
    def described(self) -> TableName:
        """Under which name the catalog has the derived columns' types: they belong to this link alone."""
        return TableName("derived", f"{self.mark} {self.node}")

    @property
    def tables(self) -> tuple[TableName, ...]:
        """Every table of the database that the side reads, its own first."""
        own = [] if self.query else [self.table, *(part.table for part in self.extends)]
        return tuple(dict.fromkeys([*own, *(table for query in self.queries for table in query.tables)]))

    @property
    def records(self) -> tuple[TableName, ...]:
        """The tables whose rows its records are, its own first."""
        return () if self.query else (self.table, *(part.table for part in self.extends))

    @property
    def queries(self) -> tuple[Query, ...]:
        return (*([self.query] if self.query else []), *self.derived.values())


class Missing(Enum):
    """What becomes of a record whose reference or lookup finds nothing."""

    WAIT = "wait"  # the record is parked until what it refers to exists
    NULL = "null"  # the field is written as NULL
    LATER = "later"  # as NULL for now, and filled in when what it refers to exists
    STUB = "stub"  # a stub of what it refers to is made on the target, and filled in when that comes


@dataclass(frozen=True, slots=True)
class ValueMap:
    """Pairs of (value on the field's first-named side, value on the other), as text.

    `forward_default` / `backward_default` stand for values that are not listed (None: such a record is parked).
    """

    pairs: tuple[tuple[str, str], ...]
    forward_default: str | None = None
    backward_default: str | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The field's column on `node` holds `key` of `table`; the other side holds the natural key `by`.

    match    instead of `by`, for a field with a column on `node` only: several columns with expressions over the other record
    fold     texts are compared without case and blanks around them
    default  the key to take when nothing is found (None: as `missing` says)
    """

    node: str
    table: TableName
    by: str
    key: str
    missing: Missing
    mark: Mark
    match: dict[str, Expression] = field(default_factory=dict)
    fold: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """Records of `link`, as what a reference may be to. `names`: what they are called on each node, if it may be to others."""

    link: str
    names: dict[str, str]
    mark: Mark


@dataclass(frozen=True, slots=True)
class KindTable:
    """A node keeps, instead of a kind's name, the `key` of the row of `table` that has the name: in one column, or in
    several, joined by dots."""

    table: TableName
    by: tuple[str, ...]
    key: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Reference:
    """The field's columns hold the key of a record of another link (or of this one), or of one of several.

    kinds    the links that the record may be of
    places   with several kinds, node -> the columns that hold the reference: the kind and the key, or one text `kind,key`
    tables   node -> where it keeps the kinds, if not by name
    part     which of the two the field is about, where a node has a column for each: such a reference is two fields
    """

    kinds: tuple[Kind, ...]
    missing: Missing
    mark: Mark
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tables: dict[str, KindTable] = field(default_factory=dict)
    part: Literal["key", "kind"] = "key"

    @property
    def several(self) -> bool:
        return bool(self.places)

    @property
    def links(self) -> tuple[str, ...]:
        return tuple(kind.link for kind in self.kinds)

    def renamed(self, old: str, new: str) -> Reference:
        """With another name of one of the links."""
        return replace(self, kinds=tuple(replace(k, link=new) if k.link == old else k for k in self.kinds))


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a field that both sides write.

    `latest`  the newer edit of that field.
    `owner`   the node named in `owner`; an edit elsewhere is put back.
    `delta`   a counter: what each side adds is added on the other.
    `merge`   two edits that did not know of each other become the value of the expression `merge`, which may read the
              field's column on both nodes (`crm.score`, `erp.points`), both as values of the field.
    `queue`   two such edits wait for a person; the rest of the record goes on.
    """

    kind: Literal["latest", "owner", "delta", "merge", "queue"]
    owner: str | None
    mark: Mark
    merge: Expression | None = None

    def __str__(self) -> str:
        return self.kind if self.owner is None else f"owner {self.owner}"


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that win or lose together; `fields` are numbers into the link's fields. All have the same rule."""

    name: str
    fields: tuple[int, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Field:
    """One correspondence of values.

    columns      node -> column name; one entry for a field that only one side has
    writes       nodes on which the replicator writes this field (a subset of `columns`)
    convert      node -> expression over the *other* node's record, giving the value written on `node`
    initial      node -> expression over the other node's record, used when a record is created on `node`, and only then
    values, lookup, reference   at most one of the three, for a field that both sides have
    carried      a node on which the other field of a reference to several kinds writes this one's column with its own
    code         the node whose code the field writes: `convert` has its name until the nodes are known (mapping/classes.py)
    A field with none of these is a plain copy. `name` identifies it in state, logs and messages.
    """

    name: str
    columns: dict[str, str]
    writes: frozenset[str]
    rule: Rule
    convert: dict[str, Expression]
    initial: dict[str, Expression]
    values: ValueMap | None
    lookup: Lookup | None
    reference: Reference | None
    first: str  # the node named first: ValueMap pairs read from it to the other
    mark: Mark
    carried: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """What a delete on the other side does on `node`: delete the row, ignore it, or set columns.

    `assignments` for kind `set`: (column, SQL expression without column references or over the row's own columns).
    """

    node: str
    kind: Literal["delete", "ignore", "set"]
    assignments: tuple[tuple[str, Expression], ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Restore:
    """What makes a record of `node` that was only marked as deleted take part again: (column, SQL expression)."""

    node: str
    assignments: tuple[tuple[str, Expression], ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Stub:
    """What a stub has that is made on `node`: (column, SQL expression over the other node's key), beside what fields tell."""

    node: str
    assignments: tuple[tuple[str, Expression], ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class MatchRule:
    """Columns by which records that both sides have are recognised: node -> names, compared in order.
    `loose`: without case, blanks and punctuation."""

    columns: dict[str, tuple[str, ...]]
    loose: bool
    mark: Mark


@dataclass(frozen=True, slots=True)
class Assertion:
    """What must hold across both sides: the results of two queries, one on each node, are equal. `per_record`: the first
    columns of each are the key of a record on that node, and the rest is compared pair by pair; else each gives one row."""

    name: str
    per_record: bool
    queries: dict[str, Query]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Link:
    """`sides` in the order of the file. `match`: node -> columns that identify a record both sides may have already, whenever
    one is about to be made; `matching`: all rules of that kind, the most trusted first, which `replicator match` goes by.
    `create`: node -> condition over the other node's record under which a record may be created on `node`.
    `route`: class of nodes -> the codes of those on which a record may be created; a part of `create` once the nodes are known.
    `flows`: the directions that exist, as (source node, target node).
    `update_wins`: whether an edit that meets a delete wins, so that the record is made again (else the delete wins).
    """

    name: str
    sides: tuple[Side, Side]
    flows: frozenset[tuple[str, str]]
    match: dict[str, tuple[str, ...]]
    create: dict[str, Expression]
    delete: dict[str, DeleteRule]
    rule: Rule
    fields: tuple[Field, ...]
    mark: Mark
    match_mark: Mark | None = None
    groups: tuple[Group, ...] = ()
    update_wins: bool = False
    restore: dict[str, Restore] = field(default_factory=dict)
    stub: dict[str, Stub] = field(default_factory=dict)
    matching: tuple[MatchRule, ...] = ()
    asserts: tuple[Assertion, ...] = ()
    route: dict[str, Expression] = field(default_factory=dict)

    @property
    def declared(self) -> str:
        """The name that its file gives it: without the node, if it is one of several (`customer@erp_north`)."""
        return self.name.partition("@")[0]

    @property
    def arbiter(self) -> str:
        """The node on which edits that meet under `merge` and `queue` are decided: the one the file names first."""
        return self.sides[0].node

    def side(self, node: str) -> Side:
        return self.sides[0] if self.sides[0].node == node else self.sides[1]

    def other(self, node: str) -> Side:
        return self.sides[1] if self.sides[0].node == node else self.sides[0]

    @property
    def two_way(self) -> bool:
        return len(self.flows) == 2

    @property
    def looked_up(self) -> tuple[tuple[str, TableName], ...]:
        """(node, table) of the tables in which fields look something up."""
        found = [(f.lookup.node, f.lookup.table) for f in self.fields if f.lookup is not None]
        found += [(node, kept.table) for f in self.fields if f.reference for node, kept in f.reference.tables.items()]
        return tuple(dict.fromkeys(found))
