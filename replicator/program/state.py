"""The tables a link keeps on both of its nodes: crosswalk, tombstones and ledger, with typed keys."""

from __future__ import annotations

from collections.abc import Mapping

from replicator.model.link import Link
from replicator.program import names
from replicator.program.layout import Layout
from replicator.program.projection import Tables
from replicator.program.sql import declared, quote, state


def link_tables(link: Link, links: Mapping[str, Link], tables: Tables, node: str) -> list[str]:
    """DDL for `node`, safe to run again. Empty for links that need no state."""
    flow = sorted(link.flows)[0]
    layout = Layout(link, links, tables, *flow)
    if layout.direct:
        return []
    columns: dict[str, str] = {}
    for side in link.sides:
        for name, column in zip(names.pair_columns(link, side.node), layout.key_columns(side.node), strict=True):
            columns[quote(name)] = column.portable
    keys = ", ".join(f"{name} {kind} NOT NULL" for name, kind in columns.items())
    positions = ", ".join(f"{quote(names.position_column(side.node))} pg_lsn NOT NULL" for side in link.sides)
    crosswalk, tombstone = state(names.crosswalk(link)), state(names.tombstone(link))
    # stub: the node on which the record is a stub, if it is (program/stubs.py). Deferrable: two records may swap their keys in one statement.
    sides = (", ".join(quote(k) for k in names.pair_columns(link, side.node)) for side in link.sides)
    uniques = ", ".join(f"UNIQUE ({keys}) DEFERRABLE" for keys in sides)
    ddl = [
        f"CREATE TABLE IF NOT EXISTS {crosswalk} ({keys}, seq bigint, made bigint, stub text, {uniques})",
        f"CREATE TABLE IF NOT EXISTS {tombstone} ({keys}, {positions}, stamp bigint NOT NULL, seq bigint, deleted_on text NOT NULL,"
        f" at timestamptz NOT NULL DEFAULT now())",
    ]
    for side in link.sides:
        index = quote(names.fitted(f"{names.tombstone(link)}_{side.node}"))
        on = ", ".join(quote(k) for k in names.pair_columns(link, side.node))
        ddl.append(f"CREATE INDEX IF NOT EXISTS {index} ON {tombstone} ({on})")
    if link.two_way:
        own = zip(names.pair_columns(link, node), layout.key_columns(node), strict=True)
        listed = ", ".join(f"{quote(name)} {declared(column)} NOT NULL" for name, column in own)
        # added: what counters were raised by, by the names of their fields (program/anew.py).
        ddl.append(
            f"CREATE TABLE IF NOT EXISTS {state(names.ledger(link))} ({listed}, fields bit varying NOT NULL,"
            f" stamp bigint NOT NULL, lsn pg_lsn NOT NULL, source_lsn pg_lsn, added jsonb)"
        )
        # It is kept for weeks, for people who ask where a value came from; merging reads its end only.
        index = quote(names.fitted(f"{names.ledger(link)}_end"))
        ddl.append(
            f"CREATE INDEX IF NOT EXISTS {index} ON {state(names.ledger(link))} USING brin (lsn, stamp)"
            f" WITH (pages_per_range = 32, autosummarize = on)"
        )
    return ddl
