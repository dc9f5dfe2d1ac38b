"""Changes that are set aside, or on their way back, when their link's fields are others or in another order.

Their values go by column, their masks by field number (capture/payload.py). Promises: what a user changed stays so marked,
field by field; what was all of a record is all of it again, with the values that new fields read, as they are now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replicator.capture.batch import INSERT
from replicator.program.derive import record_sql
from replicator.program.layout import Layout
from replicator.program.sql import PARAMETER, declared, mask_of, quote, with_parameters


def renumbered(payload: dict[str, Any], numbers: Sequence[int | None], width: int, counted: Sequence[int]) -> dict[str, Any]:
    """`numbers`: for each field the number that it had, of `width`; `counted`: those that are counters now."""
    everything = (1 << width) - 1
    new = {old: number for number, old in enumerate(numbers) if old is not None}

    def mask(text: str) -> str:
        given = int(text)
        if given == everything:
            return str((1 << len(numbers)) - 1)
        return str(mask_of(number for old, number in new.items() if given >> old & 1))

    touches = [[mask(fields), *rest] for fields, *rest in payload["touches"]]
    found = dict(payload)
    found["fields"] = mask(str(everything) if payload["op"] == INSERT.decode() else payload["fields"])
    found["touches"] = [touch for touch in touches if touch[0] != "0"]
    deltas = [[lsn, new.get(number), amount] for lsn, number, amount in payload["deltas"]]
    found["deltas"] = [delta for delta in deltas if delta[1] in counted]
    found["expected"] = {str(new[int(old)]): value for old, value in payload["expected"].items() if int(old) in new}
    return found


def missing_columns(payload: dict[str, Any], layout: Layout) -> list[str]:
    """Columns that the link reads by now and the payload does not have."""
    return [column for column in layout.feed.columns if column not in payload["values"]]


def read_columns(layout: Layout, columns: Sequence[str]) -> str:
    """Run on the source: the columns as text, of the record with the key that the parameters give part by part."""
    texts = ", ".join(f"r.{quote(column)}::text" for column in columns)
    wanted = " AND ".join(
        f"r.{quote(column.name)} = CAST({PARAMETER} AS {declared(column)})" for column in layout.key_columns(layout.source)
    )
    return with_parameters(f"SELECT {texts} FROM ({record_sql(layout)}) AS r ({_names(layout)}) WHERE {wanted}")


def _names(layout: Layout) -> str:
    return ", ".join(quote(column) for column in layout.feed.columns)
