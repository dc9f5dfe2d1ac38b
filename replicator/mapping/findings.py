"""The findings of one check, as they gather: without duplicates, in the order of the file when asked for.

Also the two small things every message needs: a user's text shown safely, and the names near to a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from replicator.mapping.codes import finding
from replicator.model.finding import Finding, Mark


class Findings:
    """Collects; nothing is ever raised through it."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}

    def add(self, code: str, where: Mark | str, message: str, hint: str = "") -> None:
        self._found[finding(code, where, message, hint)] = None

    def extend(self, others: Iterable[Finding]) -> None:
        self._found.update(dict.fromkeys(others))

    @property
    def errors(self) -> int:
        return sum(f.severity == "error" for f in self._found)

    def in_order(self) -> list[Finding]:
        """By file, line and column; what has no place in a file comes first."""
        return sorted(self._found, key=_place)


def _place(found: Finding) -> tuple[str, int, int, str]:
    if isinstance(found.where, Mark):
        return (found.where.path, found.where.line, found.where.column, found.code)
    return ("", 0, 0, found.code)


def show(text: str) -> str:
    """A text from a file, quoted for a message: one line, no control characters, not longer than a line."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def near(name: str, names: Iterable[str]) -> str:
    """`did you mean 'x' or 'y'?`, or nothing if no name is near."""
    by_fold = {n.casefold(): n for n in sorted(names)}
    hits = [by_fold[n] for n in get_close_matches(name[:64].casefold(), by_fold, n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(show(h) for h in hits)}?" if hits else ""
