"""Says whether the demo's CRM and its factories tell the same story: the independent check.

Promises: uses nothing of the replicator, neither its code nor its mappings nor its tables. It asks all databases the
questions of sql/demo/statements.sql, each database in one snapshot, and compares the answers row by row, by what people would
know a record by (VAT number, article, order number). Call it when nobody writes: snapshots of several databases are not of
one moment.
"""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import IsolationLevel, RawCursor

Row = tuple[Any, ...]
Bags = dict[Any, Counter[Row]]  # what a row is about -> the rows about it, with how often each occurs

SHOWN = 20  # differences of a statement that are told
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Statement:
    """`crm` and `erp`: the questions. `together`: the factories' answers are added up."""

    name: str
    words: str
    crm: str
    erp: str
    together: bool


@dataclass(slots=True)
class Checked:
    """A statement after asking. `differences`: the first SHOWN of `count`, in words."""

    name: str
    words: str
    rows: int = 0
    count: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return self.count == 0

    def differ(self, what: str) -> None:
        self.count += 1
        if len(self.differences) < SHOWN:
            self.differences.append(what if len(what) <= LONGEST else f"{what[: LONGEST - 1]}…")


@dataclass(slots=True)
class Verdict:
    statements: list[Checked] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return all(one.holds for one in self.statements)

    @property
    def rows_compared(self) -> int:
        return sum(one.rows for one in self.statements)

    @property
    def difference_count(self) -> int:
        return sum(one.count for one in self.statements)

    @property
    def differences(self) -> list[str]:
        return [f"{one.name}: {what}" for one in self.statements for what in one.differences]

    @property
    def broken(self) -> set[str]:
        """The names of statements that do not hold."""
        return {one.name for one in self.statements if not one.holds}


def verify(crm_dsn: str, factories: Mapping[str, str]) -> Verdict:
    """Asks everything. `factories`: code -> DSN of its ERP. Raises psycopg's errors if a database cannot be read."""
    with ExitStack() as stack:
        crm, *erps = (stack.enter_context(_snapshot(dsn)) for dsn in (crm_dsn, *factories.values()))
        return compare(crm, dict(zip(factories, erps, strict=True)))


def compare(crm: psycopg.Connection[Row], factories: Mapping[str, psycopg.Connection[Row]]) -> Verdict:
    """The same, by connections whose cursors are RawCursors."""
    return Verdict([_check(one, crm, factories) for one in statements()])


def statements() -> list[Statement]:
    """What sql/demo/statements.sql says."""
    text = (importlib.resources.files("replicator_sql") / "demo" / "statements.sql").read_text(encoding="utf-8")
    return [_statement(part) for part in text.split("\n-- statement: ")[1:]]


def _statement(text: str) -> Statement:
    name, _, rest = text.partition("\n")
    words, _, rest = rest.partition("\n-- crm:\n")
    together = "\n-- all:\n" in rest
    crm, _, erp = rest.partition("\n-- all:\n" if together else "\n-- erp:\n")
    return Statement(name.strip(), " ".join(words.replace("-- ", "").split()), crm.strip(), erp.strip(), together)


def _snapshot(dsn: str) -> psycopg.Connection[Row]:
    connection: psycopg.Connection[Row] = psycopg.connect(dsn, cursor_factory=RawCursor)
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def _check(one: Statement, crm: psycopg.Connection[Row], factories: Mapping[str, psycopg.Connection[Row]]) -> Checked:
    checked = Checked(one.name, one.words)
    if one.together:
        names, here = _ask(crm, one.crm)
        there = _added_up(row for erp in factories.values() for row in _ask(erp, one.erp)[1])
        _compare(checked, "the factories", names, here, there)
        return checked
    for code, erp in factories.items():
        names, here = _ask(crm, one.crm, code)
        _compare(checked, code, names, here, _ask(erp, one.erp)[1])
    return checked


def _ask(connection: psycopg.Connection[Row], question: str, code: str | None = None) -> tuple[list[str], list[Row]]:
    asked = connection.execute(question.encode(), [code] if code and "$1" in question else None)
    return [column.name for column in asked.description or ()], asked.fetchall()


def _added_up(rows: Iterable[Row]) -> list[Row]:
    sums: dict[Any, list[Any]] = {}
    for key, *values in rows:
        known = sums.get(key)
        sums[key] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]
    return [(key, *values) for key, values in sums.items()]


def _compare(checked: Checked, there_name: str, names: Sequence[str], here: list[Row], there: list[Row]) -> None:
    checked.rows += len(here) + len(there)
    crm, erp = _bags(here), _bags(there)
    nothing: Counter[Row] = Counter()
    for key in sorted(crm.keys() | erp.keys(), key=str):
        left = crm.get(key, nothing) - erp.get(key, nothing)
        right = erp.get(key, nothing) - crm.get(key, nothing)
        for what in _told(names, there_name, list(left.elements()), list(right.elements())):
            checked.differ(f"{key}: {what}")


def _told(names: Sequence[str], there_name: str, here: list[Row], there: list[Row]) -> Iterator[str]:
    """What one side alone has; of a single row that is otherwise on the other side, only the columns that differ."""
    if len(here) == len(there) == 1:
        parts = zip(names[1:], here[0], there[0], strict=True)
        yield "; ".join(f"{name} {_shown(a)} in the CRM, {_shown(b)} in {there_name}" for name, a, b in parts if a != b)
        return
    for values in here:
        yield f"only in the CRM, not in {there_name}: {_words(values)}"
    for values in there:
        yield f"only in {there_name}, not in the CRM: {_words(values)}"


def _bags(rows: Iterable[Row]) -> Bags:
    bags: Bags = {}
    for key, *values in rows:
        bags.setdefault(key, Counter())[tuple(values)] += 1
    return bags


def _words(values: Row) -> str:
    return ", ".join(_shown(value) for value in values) or "the row"


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "nothing" if value is None else str(value)
