"""Rows that are expected beside rows that were found: which belong together, and what is wrong, told as a small difference.

Nothing here knows a database: it works on which row fulfils which cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.engines.postgres.scratch import FoundRow
from replicator.model.case import Row, Rows
from replicator.model.finding import Mark

SHOWN = 5  # rows that nobody expects


@dataclass(frozen=True, slots=True)
class Line:
    """A column of a difference. None: there is no row on that side; NULL is `null`. `same`: the expectation is fulfilled."""

    column: str
    expected: str | None
    found: str | None
    same: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """What did not come as expected, at its place in the file."""

    mark: Mark
    message: str
    lines: tuple[Line, ...] = ()


def against(expected: Rows, what: str, found: Sequence[FoundRow]) -> list[Failure]:
    """`what` names the table or the log."""
    if expected.count is not None:
        if expected.count == len(found):
            return []
        return [Failure(expected.mark, f"{what}: {expected.count} expected, {len(found)} found")]
    partner = _pairs(expected.rows, found)
    left = [number for number in range(len(found)) if number not in partner.values()]
    failures = []
    for number, row in enumerate(expected.rows):
        if number in partner:
            continue
        near = max(left, key=lambda i: sum(found[i].fulfils[number]), default=None)
        if near is not None and (any(found[near].fulfils[number]) or len(left) == 1):
            left.remove(near)
            failures.append(Failure(row.mark, f"{what}: not as expected", _difference(row, found[near], number)))
        else:
            lines = tuple(Line(cell.key, str(cell), None, False) for cell in row.cells)
            failures.append(Failure(row.mark, f"{what}: not there, among {len(found)} found", lines))
    for number in left[:SHOWN] if not expected.more else ():
        values = found[number].values.items()
        lines = tuple(Line(name, None, value, False) for name, value in values if value is not None)
        failures.append(Failure(expected.mark, f"{what}: not expected", lines))
    if len(left) > SHOWN and not expected.more:
        failures.append(Failure(expected.mark, f"{what}: {len(left) - SHOWN} more are not expected"))
    return failures


def _pairs(rows: Sequence[Row], found: Sequence[FoundRow]) -> dict[int, int]:
    """Expected -> found, as many as can be: a row may fulfil several expectations and is needed for one."""
    taken: dict[int, int] = {}

    def place(number: int, tried: set[int]) -> bool:
        for candidate, row in enumerate(found):
            if candidate not in tried and all(row.fulfils[number]):
                tried.add(candidate)
                if candidate not in taken or place(taken[candidate], tried):
                    taken[candidate] = number
                    return True
        return False

    for number in range(len(rows)):
        place(number, set())
    return {number: candidate for candidate, number in taken.items()}


def _difference(row: Row, found: FoundRow, number: int) -> tuple[Line, ...]:
    return tuple(
        Line(cell.key, str(cell), _text(found.values.get(cell.key)), same)
        for cell, same in zip(row.cells, found.fulfils[number], strict=True)
    )


def _text(value: str | None) -> str:
    return "null" if value is None else value
