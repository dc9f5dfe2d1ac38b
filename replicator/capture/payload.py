"""A row change as JSON, for the state tables: parked changes and values on their way back. Loses nothing."""

from __future__ import annotations

from typing import Any

from replicator.capture.batch import Key, RowChange, Touch
from replicator.capture.messages import UNCHANGED, Value

KEPT = {"unchanged": True}


def to_json(row: RowChange, columns: tuple[str, ...]) -> dict[str, Any]:
    return {
        "op": row.op.decode(),
        "first_key": [_out(v) for v in row.first_key],
        "values": dict(zip(columns, map(_out, row.values), strict=True)),
        "base": None if row.base is None else dict(zip(columns, map(_out, row.base), strict=True)),
        "fields": str(row.fields),
        "touches": [[str(t.fields), t.stamp, t.lsn] for t in row.touches],
        "stamp": row.stamp,
        "lsn": row.lsn,
        "created_here": row.created_here,
    }


def from_json(payload: dict[str, Any], columns: tuple[str, ...]) -> RowChange:
    """Columns that the link has come to read since then are NULL."""
    base = payload["base"]
    return RowChange(
        op=payload["op"].encode(),
        first_key=tuple(_in(v) for v in payload["first_key"]),
        values=[_in(payload["values"].get(c)) for c in columns],
        base=None if base is None else [_in(base.get(c)) for c in columns],
        fields=int(payload["fields"]),
        touches=[Touch(int(f), stamp, lsn) for f, stamp, lsn in payload["touches"]],
        stamp=payload["stamp"],
        lsn=payload["lsn"],
        created_here=payload["created_here"],
    )


def key_texts(key: Key) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else "" for v in key]


def _out(value: Value) -> Any:
    return KEPT if value is UNCHANGED else None if value is None else value.decode()


def _in(value: Any) -> Value:
    return UNCHANGED if value == KEPT else None if value is None else str(value).encode()
