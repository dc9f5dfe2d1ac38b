"""The few pieces of SQL text that every statement is made of. Identifiers are always quoted here."""

from __future__ import annotations

from collections.abc import Iterable

from replicator.model.table import Column, TableName

STATE = "replicator"


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string constant; E'' where backslashes must survive any server setting."""
    body = text.replace("'", "''")
    return "E'" + body.replace("\\", "\\\\") + "'" if "\\" in body else "'" + body + "'"


def table(name: TableName) -> str:
    return f"{quote(name.schema)}.{quote(name.name)}"


def state(name: str) -> str:
    """A table of ours, in the schema of ours."""
    return f"{STATE}.{quote(name)}"


def bits(mask: int, width: int) -> str:
    """`mask` as a bit-string constant: field 0 is the leftmost bit, as get_bit counts."""
    return "B'" + bit_text(mask, width) + "'"


def bit_text(mask: int, width: int) -> str:
    return format(mask, f"0{width}b")[::-1]


PARAMETER = "\0"  # where a parameter goes, until `with_parameters`


def with_parameters(sql: str) -> str:
    """The statement with `%s` for its parameters, and every `%` of a name or literal doubled, as drivers want it."""
    return sql.replace("%", "%%").replace(PARAMETER, "%s")


def mask_of(numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def declared(column: Column) -> str:
    """The type a projected value is given: without the length of text, bits and arrays, for an explicit cast to it would
    cut the value in silence, where writing it to the column is refused."""
    return column.base_type if column.category in "SVA" else column.type


def cast(expression: str, given: str, wanted: str) -> str:
    return expression if given == wanted else f"CAST({expression} AS {wanted})"


def differs(column: Column, left: str, right: str) -> str:
    """A condition: the two values are not the same value. Types without equality are compared as text."""
    if column.comparable:
        return f"{left} IS DISTINCT FROM {right}"
    return f"{left}::text IS DISTINCT FROM {right}::text"


def same_key(left: str, left_columns: Iterable[str], right: str, right_columns: Iterable[str]) -> str:
    pairs = zip(left_columns, right_columns, strict=True)
    return " AND ".join(f"{left}.{quote(a)} = {right}.{quote(b)}" for a, b in pairs)
