"""What a database says of one table: the facts that lint and the program need, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is what to declare and cast to, with its modifier (`numeric(12,2)`);
    `base_type` is the same without modifier, domains taken down to what they are made of.
    `portable` is a type that every server of this engine has: what a stage on another node declares.
    `category` is the engine's one-letter type category (pg_type.typcategory).
    `comparable`: IS DISTINCT FROM works on it. `default` is SQL to be evaluated on its own node.
    `formula` is what a generated column is computed by, SQL over the table's other columns.
    """

    name: str
    type: str
    base_type: str
    portable: str
    category: str
    not_null: bool
    comparable: bool = True
    default: str | None = None
    identity: bool = False
    identity_always: bool = False
    formula: str | None = None
    toastable: bool = False

    @property
    def generated(self) -> bool:
        return self.formula is not None


@dataclass(frozen=True, slots=True)
class Table:
    """`replica_identity` is one of `default`, `full`, `nothing`, `index`.

    has_triggers   a trigger may fill columns in, or change them, when a row is written
    reaches_out    writing here may change other rows: triggers, foreign keys that cascade
    """

    name: TableName
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    unique_keys: tuple[tuple[str, ...], ...]
    replica_identity: str
    has_triggers: bool = False
    refers_to: frozenset[TableName] = frozenset()  # by foreign keys
    reaches_out: bool = False
    by_name: dict[str, Column] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {c.name: c for c in self.columns})

    def with_columns(self, more: tuple[Column, ...]) -> Table:
        """The table as a record that has these columns too."""
        return replace(self, columns=(*self.columns, *more)) if more else self

    def column(self, name: str) -> Column:
        return self.by_name[name]

    def is_unique(self, columns: tuple[str, ...]) -> bool:
        """Whether no two rows can share these columns' values."""
        wanted = set(columns)
        return any(set(u) <= wanted for u in (self.primary_key, *self.unique_keys) if u)
