"""Rows as test files write them: what is given, inserted, expected of a table, or expected of the log of conflicts.

    erp.customer: {company_name: Acme}            one row
    erp.customer: [{...}, {...}]                  these rows; [] for none
    erp.customer: [{...}, ...]                    at least these
    erp.customer: 2                               so many, whatever is in them

A column's value is a text as the database takes it, `null`, `{sql: ...}`, or, expected, `{not: ...}`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from replicator.mapping import shape
from replicator.mapping.findings import Findings
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode
from replicator.model.case import Cell, Row, Rows, TableRows
from replicator.model.finding import Mark

ANY_MORE = "..."
ROWS_EXAMPLE = "erp.customer: [{company_name: Acme}]"
VALUE_EXAMPLE = "town: Berlin"
LOG_EXAMPLE = "conflicts: [{field: name, winner: erp}]"
_NUMBER = re.compile(r"[0-9]{1,9}")


def no_rows(mark: Mark) -> Rows:
    return Rows((), mark)


def read_tables(node: YamlNode, key: str, example: str, found: Findings, inserted: bool = False) -> list[TableRows]:
    """`{table: rows, ...}` of one node. `inserted`: they are to be made, so they need all to be said."""
    value = shape.mapping(node, key, example, found)
    tables = []
    for name, part in value.entries if value else ():
        table = shape.table_name(name, found)
        rows = _rows(part, name.text, ROWS_EXAMPLE, found, inserted=inserted, known=None)
        if table is not None:
            tables.append(TableRows(key, table, rows, name.mark))
    return tables


def read_log(node: YamlNode, key: str, known: Collection[str], found: Findings) -> Rows:
    """Entries of a log. `known`: the words they may say something of."""
    return _rows(node, key, LOG_EXAMPLE, found, inserted=False, known=known)


def _rows(node: YamlNode, key: str, example: str, found: Findings, *, inserted: bool, known: Collection[str] | None) -> Rows:
    if isinstance(node, MappingNode):
        return Rows((_row(node, found, inserted, known),), node.mark)
    if isinstance(node, SequenceNode):
        items = list(node.items)
        more = not inserted and bool(items) and isinstance(items[-1], ScalarNode) and items[-1].text == ANY_MORE
        rows = []
        for item in items[:-1] if more else items:
            row = shape.mapping(item, f"a row of {key}", example, found)
            if row is not None:
                rows.append(_row(row, found, inserted, known))
        return Rows(tuple(rows), node.mark, more)
    if not inserted and isinstance(node, ScalarNode) and _NUMBER.fullmatch(node.text):
        return Rows((), node.mark, count=int(node.text))
    shape.wrong_kind(node, key, "a list of rows" if inserted else "a list of rows or their number", example, found)
    return no_rows(node.mark)


def _row(node: MappingNode, found: Findings, inserted: bool, known: Collection[str] | None) -> Row:
    if known is not None:
        shape.check_keys(node, known, found)
    cells = []
    for key, value in node.entries:
        name = key.text if known is not None else shape.column_name(key, key.text, found)
        cell = _cell(
            name or key.text, key, value, found, ("not",) if known is not None else ("sql",) if inserted else ("sql", "not")
        )
        if cell is not None and name is not None:
            cells.append(cell)
    return Row(tuple(cells), node.mark)


def _cell(name: str, key: ScalarNode, node: YamlNode, found: Findings, words: Collection[str]) -> Cell | None:
    if isinstance(node, ScalarNode):
        return Cell(name, "value", None if node.is_null else node.text, node.mark, key.mark)
    if isinstance(node, MappingNode) and len(node.entries) == 1:
        shape.check_keys(node, words, found)
        word, value = node.entries[0]
        kind: Literal["sql", "not"] = "sql" if word.text == "sql" else "not"
        if isinstance(value, ScalarNode) and not (kind == "sql" and value.is_null):
            return Cell(name, kind, None if value.is_null else value.text, value.mark, key.mark)
    wanted = " or ".join(["a single value", *(f"{{{word}: ...}}" for word in words)])
    shape.wrong_kind(node, name, wanted, VALUE_EXAMPLE, found)
    return None
