"""The records that are there already, as lines for the stage: read on the source, loaded on the target as they come.

The source itself writes the lines (COPY's text format, in the order of `staging.stage_ddl`), so
that nothing in between takes a value apart. Each is the record as a change of all its fields,
older than any edit that is known (`stamp.undated`), staged as `EXISTING`: such a change creates,
adopts and fills in like any other, but it is nobody's edit: it never makes a deleted record
again, and what it meets is no conflict.
"""

from __future__ import annotations

from replicator.mapping.expressions import to_sql
from replicator.model.link import Expression
from replicator.program.derive import record_sql
from replicator.program.layout import Layout
from replicator.program.own import own, value_of
from replicator.program.pages import LEADING, Pages
from replicator.program.projection import Enrichment
from replicator.program.sql import bits, cast, declared, mask_of, quote, table
from replicator.program.staging import EXISTING, stage_line


def pages_of(layout: Layout) -> Pages:
    side, feed = layout.source_side, layout.feed
    places = {name: f"r.c_{i}" for i, name in enumerate(feed.columns)}
    looked_up = {e.field: _looked_up(layout, e) for e in layout.enrichments}
    line = stage_line(layout, lambda c: places[c], looked_up, 0, "0/0")
    where = side.where
    return Pages(
        record=record_sql(layout),
        conditions=(f"COALESCE(({to_sql(where, lambda c: value_of(side, c))}), false)",) if where else (),
        keys=tuple((own(c.name), declared(c)) for c in layout.key_columns(layout.source)),
        line=", ".join(line[LEADING[not layout.direct] :]),
        dated=not layout.direct,
        op="I" if layout.direct else EXISTING,
        everything=bits(mask_of(range(layout.width)), layout.width),
        columns=len(feed.columns),
    )


def condition_sql(layout: Layout, condition: Expression) -> str:
    """An expression over the source's record, as `Pages` takes it."""
    return f"COALESCE(({to_sql(condition, lambda c: value_of(layout.source_side, c))}), false)"


def _looked_up(layout: Layout, one: Enrichment) -> str:
    """What a lookup on the source finds: the natural key of the row that the column refers to."""
    column = layout.source_table.column(layout.feed.columns[one.position])
    key = cast(f"r.c_{one.position}", column.type, column.base_type)
    return f"(SELECT {one.value} FROM {table(one.table)} l WHERE l.{quote(one.key)} = {key} LIMIT 1)"
