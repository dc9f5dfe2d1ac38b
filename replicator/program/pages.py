"""How records that are there already are read on a flow's source: page by page in the order of their keys, or by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.program.sql import literal

# How many of the stage's columns stand before the key: seq, op, fields, and (True) what dates the change.
LEADING = {True: 6, False: 3}


@dataclass(frozen=True, slots=True)
class Pages:
    """record   the records that take part, as a SELECT of the feed's columns (`own` is the record)
    conditions  what it is asked under, always
    keys        per key column: SQL of it over `own`, its type
    line        the stage's columns after the leading ones, over the record `r`
    dated       whether the stage has stamp, lsn and marks
    op          the staged operation
    everything  the mask of all fields, as SQL
    columns     how many columns the record has
    """

    record: str
    conditions: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    line: str
    dated: bool
    op: str
    everything: str
    columns: int

    @property
    def leading(self) -> int:
        return LEADING[self.dated]

    def page(self, after: Sequence[str] | None, limit: int, condition: str | None, stamp: int, at: str) -> str:
        """COPY of the next records in the order of their keys, after one of them. `at`: the source's position, as text."""
        conditions = [*self.conditions, *([f"({condition})"] if condition else [])]
        if after is not None:
            values = ", ".join(f"CAST({literal(text)} AS {kind})" for text, (_, kind) in zip(after, self.keys, strict=True))
            conditions.append(f"({', '.join(sql for sql, _ in self.keys)}) > ({values})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ", ".join(sql for sql, _ in self.keys)
        return self._copy(f"{self.record}{where} ORDER BY {order} LIMIT {limit:d}", self.everything, stamp, at)

    def all(self, stamp: int, at: str) -> str:
        """COPY of every record, in no order."""
        where = f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        return self._copy(f"{self.record}{where}", self.everything, stamp, at)

    def listed(self, records: Sequence[tuple[Sequence[str], str | None]], stamp: int, at: str) -> str:
        """COPY of these records, as far as they are there: (key, mask of fields as text or None for all)."""
        rows = []
        for key, fields in records:
            values = [f"CAST({literal(text)} AS {kind})" for text, (_, kind) in zip(key, self.keys, strict=True)]
            mask = self.everything if fields is None or not self.dated else f"B{literal(fields)}"
            rows.append(f"({', '.join(values)}, {mask})")
        names = [f"k_{i}" for i in range(len(self.keys))]
        on = " AND ".join(f"{sql} = k.{name}" for (sql, _), name in zip(self.keys, names, strict=True))
        joined = f" JOIN (VALUES {', '.join(rows)}) k ({', '.join(names)}, fields) ON {on}"
        record = self.record.replace("SELECT ", "SELECT k.fields, ", 1)
        return self._copy(f"{record}{joined}", "r.fields", stamp, at, "fields, ")

    def count(self, condition: str | None) -> str:
        conditions = [*self.conditions, *([f"({condition})"] if condition else [])]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT count(*) FROM ({self.record}{where}) AS r"

    def _copy(self, records: str, fields: str, stamp: int, at: str, first: str = "") -> str:
        names = ", ".join(f"c_{i}" for i in range(self.columns))
        dated = f", {stamp:d}, {literal(at)}, NULL" if self.dated else ""
        return (
            f"COPY (SELECT row_number() OVER () - 1, {literal(self.op)}, {fields}{dated}, {self.line}"
            f" FROM ({records}) AS r ({first}{names})) TO STDOUT"
        )
