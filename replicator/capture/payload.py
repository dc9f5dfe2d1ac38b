"""A row change as JSON, for the state tables: parked changes and values on their way back. Loses nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from replicator.capture.batch import Key, RowChange, Touch
from replicator.capture.messages import UNCHANGED, Value

KEPT = {"unchanged": True}


def to_json(row: RowChange, columns: tuple[str, ...]) -> dict[str, Any]:
    return {
        "op": row.op.decode(),
        "first_key": [_out(v) for v in row.first_key],
        "values": {c: _out(v) for p, (c, v) in enumerate(zip(columns, row.values, strict=True)) if not row.absent >> p & 1},
        "base": {columns[p]: [[lsn, _out(v)] for lsn, v in chain] for p, chain in row.base.items()},
        "fields": str(row.fields),
        "touches": [[str(t.fields), t.stamp, t.lsn, t.answer] for t in row.touches],
        "stamp": row.stamp,
        "lsn": row.lsn,
        "created_here": row.created_here,
        "stays": row.stays,
        "deltas": [[lsn, number, str(amount)] for lsn, number, amount in row.deltas],
        "expected": {str(number): _out(v) for number, v in row.expected.items()},
        "hops": row.hops,
        "again": row.again,
    }


def from_json(payload: dict[str, Any], columns: tuple[str, ...]) -> RowChange:
    """Columns that the link has come to read since then are absent, as those that the table did not have."""
    places, held = {name: place for place, name in enumerate(columns)}, payload["values"]
    return RowChange(
        op=payload["op"].encode(),
        first_key=tuple(value_in(v) for v in payload["first_key"]),
        values=[value_in(held[c]) if c in held else UNCHANGED for c in columns],
        absent=0 if payload["op"] == "D" else sum(1 << place for place, c in enumerate(columns) if c not in held),
        base={places[c]: [(lsn, value_in(v)) for lsn, v in chain] for c, chain in payload["base"].items() if c in places},
        fields=int(payload["fields"]),
        touches=[Touch(int(f), stamp, lsn, answer) for f, stamp, lsn, answer in payload["touches"]],
        stamp=payload["stamp"],
        lsn=payload["lsn"],
        created_here=payload["created_here"],
        stays=payload.get("stays", False),
        deltas=[(lsn, number, Decimal(amount)) for lsn, number, amount in payload["deltas"]],
        expected={int(number): value_in(v) for number, v in payload["expected"].items()},
        hops=payload["hops"],
        again=payload["again"],
    )


def key_texts(key: Key) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else "" for v in key]


def _out(value: Value) -> Any:
    return KEPT if value is UNCHANGED else None if value is None else value.decode()


def value_in(value: Any) -> Value:
    """A value of a payload as the wire has it."""
    return UNCHANGED if value == KEPT else None if value is None else str(value).encode()
