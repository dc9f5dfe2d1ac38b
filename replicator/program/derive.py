"""What a link reads on its source beside the captured row: derived columns, and records that are a query's rows.

Values are read as of now, by key. Which records a changed row of another table concerns is asked
of the source as well (affected.py). Nothing is written there but temporary tables.
"""

from __future__ import annotations

from sqlglot import exp

from replicator.capture.satellites import Satellite
from replicator.mapping.queries import parsed, places_of, rendered
from replicator.model.link import Side
from replicator.model.table import Column, Table
from replicator.program.affected import affected, columns_read
from replicator.program.joined import Tables, joined_ddl, rows_sql
from replicator.program.layout import Layout
from replicator.program.names import fitted
from replicator.program.own import OWN, own, value_of
from replicator.program.program import Beside, Derive
from replicator.program.sql import PARAMETER, declared, mask_of, quote, table, with_parameters


def record_sql(layout: Layout) -> str:
    """The source's record as a SELECT of its feed's columns, keys first, before any condition."""
    side = layout.source_side
    if side.query is not None:
        return f"SELECT {', '.join(f'{OWN}.{quote(c)}' for c in layout.feed.columns)} FROM ({side.query.text}\n) AS {OWN}"
    columns = [value_of(side, name) for name in layout.feed.columns]
    return f"SELECT {', '.join(columns)} FROM {layout.source_relation} AS {OWN}"


def reread(layout: Layout) -> str:
    """One record's staged columns as they are on the source now, by its key."""
    texts = ", ".join(f"r.{quote(c)}::text" for c in layout.feed.columns)
    keys = " AND ".join(f"r.{quote(c.name)} = CAST({PARAMETER} AS {declared(c)})" for c in layout.key_columns(layout.source))
    listed = ", ".join(quote(c) for c in layout.feed.columns)
    return with_parameters(f"SELECT ARRAY[{texts}] FROM ({record_sql(layout)}) AS r ({listed}) WHERE {keys}")


def derived_sql(side: Side, tables: Tables) -> str:
    """The side's derived columns alone. `tables`: those it is made of."""
    columns = [f"({rendered(query, own)}) AS {quote(name)}" for name, query in side.derived.items()]
    rows = f"({rows_sql(side, tables)})" if side.extends else table(side.table)
    return f"SELECT {', '.join(columns)} FROM {rows} AS {OWN}"


def derive_of(layout: Layout) -> Derive | None:
    side = layout.source_side
    if not side.derived and side.query is None and not side.extends:
        return None
    keys = layout.temporary("keys")
    columns = ", ".join(f"k_{i} {declared(c)}" for i, c in enumerate(layout.key_columns(layout.source)))
    values = ", ".join(f"({value_of(side, c) if side.query is None else own(c)})::text" for c in layout.feed.columns)
    source = f"({side.query.text}\n)" if side.query is not None else layout.source_relation
    on = " AND ".join(f"{own(name)} = k.k_{i}" for i, name in enumerate(side.key))
    beside = _beside(layout)
    read = f"SELECT k.seq, {values} FROM {keys} k JOIN {source} AS {OWN} ON {on}"
    if side.query is not None:
        # Key by key, or PostgreSQL would work the whole query out for a few of its rows.
        read = f"SELECT k.seq, {values} FROM {keys} k CROSS JOIN LATERAL (SELECT * FROM {source} AS {OWN} WHERE {on} OFFSET 0) AS {OWN}"
    return Derive(
        setup=(
            *joined_ddl(side, layout.link.name, layout.tables),
            f"CREATE TEMP TABLE IF NOT EXISTS {keys} (seq bigint, {columns})",
            *(b.setup for b in beside),
        ),
        load=f"COPY {keys} FROM STDIN",
        read=read,
        clear=f"TRUNCATE {keys}",
        beside=tuple(beside),
        is_query=side.query is not None,
    )


def _beside(layout: Layout) -> list[Beside]:
    side, found = layout.source_side, []
    keys = ", ".join(own(k) for k in side.key)
    queries = [
        (name, f"SELECT {keys}, ({rendered(query, own)}) FROM {layout.source_relation} AS {OWN}")
        for name, query in side.derived.items()
    ]
    places = list(range(len(side.key)))
    if side.query is not None:
        places = places_of(side.query.text, side.key) or []
        queries = [("", side.query.text)]
    read = [name for query in (*side.derived.values(), *([side.query] if side.query else ())) for name in query.tables]
    for number, name in enumerate(dict.fromkeys(read)):
        catalog = layout.tables[layout.source, name]
        changed = fitted(f"beside_{layout.link.name}_{layout.source}_{layout.target}_{number}")
        wanted: set[str] = set()
        statements, fields = [], 0
        for column, sql in queries:
            if side.derived and name not in side.derived[column].tables:
                continue
            columns = columns_read(sql, name)
            wanted |= {c.name for c in catalog.columns} if columns is None else columns
            # A table that the query reads is also the own record's, perhaps: its own place is not a place beside it.
            statements += affected(sql, places, name, quote(changed))[
                1 if side.derived and name == side.table and not side.extends else 0 :
            ]
            fields |= _fields(layout, column)
        wanted |= {one for c in catalog.columns if c.name in wanted and c.formula for one in _formula_reads(c.formula, catalog)}
        listed = tuple(c for c in catalog.columns if c.name in wanted)
        ddl = ", ".join(f"{quote(c.name)} {declared(c)}{_generation(c)}" for c in listed)
        found.append(
            Beside(
                satellite=Satellite(layout.link.name, name, tuple(c.name for c in listed if not c.generated)),
                setup=f"CREATE TEMP TABLE IF NOT EXISTS {quote(changed)} ({ddl})",
                load=f"COPY {quote(changed)} FROM STDIN",
                keys=tuple(statements),
                clear=f"TRUNCATE {quote(changed)}",
                fields=fields,
            )
        )
    return found


def _formula_reads(formula: str, table: Table) -> set[str]:
    """The columns that a generated one is computed from; more, where that cannot be told apart."""
    words = {word.name for word in parsed(f"SELECT {formula}").find_all(exp.Identifier)}
    return {c.name for c in table.columns if c.name in words and not c.generated}


def _generation(column: Column) -> str:
    """A generated column is computed again of the captured row: only PostgreSQL 18's stream carries it, and not every one."""
    return f" GENERATED ALWAYS AS ({column.formula}) STORED" if column.formula else ""


def _fields(layout: Layout, derived: str) -> int:
    """The mask of fields that read a derived column (of a query's row: all)."""
    if not derived:
        return layout.feed.every_field
    position = layout.feed.columns.index(derived) if derived in layout.feed.columns else -1
    return mask_of(i for i, reads in enumerate(layout.feed.reads) if position in reads)
