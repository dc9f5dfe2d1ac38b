"""A record that is rows of several tables with one key, as one relation: a view of the session.

Statements then read and write it like a table. Promises: a row of the more general table is made
before the more special one and removed after it; an update touches only columns that change, so
that what a user edits beside it stays; nothing but the session's own temporary objects is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from replicator.mapping.records import columns_by_table, record
from replicator.model.link import Side
from replicator.model.table import Table, TableName
from replicator.program.names import fitted
from replicator.program.sql import literal, quote, table

Tables = Mapping[tuple[str, TableName], Table]


def relation(side: Side, link: str) -> str:
    """What a statement names to read or write the side's records."""
    return f"pg_temp.{quote(_name(side, link))}" if side.extends else table(side.table)


def _name(side: Side, link: str) -> str:
    return fitted(f"joined_{link}_{side.node}")


def rows_sql(side: Side, tables: Tables) -> str:
    """The side's records as a SELECT; of two columns of one name the nearest table's."""
    columns = columns_by_table(side, tables)
    found = record(replace(side, derived={}), tables)
    assert found is not None
    aliases = {name: f"p{number}" for number, name in enumerate(columns)}
    listed = [f"{aliases[name]}.{quote(c)}" for name, names in columns.items() for c in names if c in found.by_name]
    joins = "".join(
        f" JOIN {table(part.table)} {aliases[part.table]} ON "
        + " AND ".join(f"{aliases[part.table]}.{quote(b)} = p0.{quote(a)}" for a, b in zip(side.key, part.key, strict=True))
        for part in side.extends
    )
    return f"SELECT {', '.join(listed)} FROM {table(side.table)} p0{joins}"


def joined_ddl(side: Side, link: str, tables: Tables) -> list[str]:
    """Makes the relation in a session. Empty for a side that is one table."""
    if not side.extends:
        return []
    found = record(side, tables)
    assert found is not None
    columns = columns_by_table(side, tables)
    keys = {side.table: side.key, **{part.table: part.key for part in side.extends}}
    view, function = relation(side, link), f"pg_temp.{quote(fitted(_name(side, link) + '_write'))}"
    ddl = [f"CREATE OR REPLACE TEMP VIEW {quote(_name(side, link))} AS {rows_sql(side, tables)}"]
    for name, names in columns.items():
        for column in tables[side.node, name].columns:
            if (
                column.name in names
                and column.name in found.by_name
                and column.default is not None
                and column.name not in side.key
            ):
                ddl.append(f"ALTER VIEW {view} ALTER COLUMN {quote(column.name)} SET DEFAULT {column.default}")
    inserts: list[str] = []
    updates: list[str] = []
    deletes: list[str] = []
    for name in reversed(columns):  # the most general first
        stored = [
            c.name
            for c in tables[side.node, name].columns
            if c.name in columns[name] and not c.generated and c.name in found.by_name
        ]
        key = dict(zip(keys[name], side.key, strict=True))
        plain = [c for c in stored if c not in key]
        into = ", ".join(quote(c) for c in (*key, *plain))
        values = ", ".join(f"NEW.{quote(c)}" for c in (*key.values(), *plain))
        inserts.append(f"INSERT INTO {table(name)} ({into}) OVERRIDING SYSTEM VALUE VALUES ({values});")
        own = " AND ".join(f"t.{quote(c)} = OLD.{quote(of)}" for c, of in key.items())
        if plain:
            sets = ", ".join(
                f"{quote(c)} = CASE WHEN NEW.{quote(c)}::text IS DISTINCT FROM OLD.{quote(c)}::text THEN NEW.{quote(c)} ELSE t.{quote(c)} END"
                for c in plain
            )
            changed = " OR ".join(f"NEW.{quote(c)}::text IS DISTINCT FROM OLD.{quote(c)}::text" for c in plain)
            updates.append(f"IF {changed} THEN UPDATE {table(name)} t SET {sets} WHERE {own}; END IF;")
        deletes.insert(0, f"DELETE FROM {table(name)} t WHERE {own};")
    body = (
        f"BEGIN IF TG_OP = 'INSERT' THEN {' '.join(inserts)} RETURN NEW;"
        f" ELSIF TG_OP = 'UPDATE' THEN {' '.join(updates)} RETURN NEW;"
        f" ELSE {' '.join(deletes)} RETURN OLD; END IF; END"
    )
    ddl.append(f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {literal(body)}")
    ddl.append(
        f"CREATE OR REPLACE TRIGGER write INSTEAD OF INSERT OR UPDATE OR DELETE ON {view} FOR EACH ROW EXECUTE FUNCTION {function}()"
    )
    return ddl
