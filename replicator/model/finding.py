"""A finding: something a person should change, with its place and remedy.

Lint, check and the loaders return findings; one module of the command line prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file. `line` and `column` count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report: `where: CODE message (hint)`.

    `where` is a Mark for a document, or a name such as `crm` or `crm: crm.account` for a database.
    """

    where: Mark | str
    code: str
    message: str
    hint: str = ""
    severity: Literal["error", "warning", "note"] = "error"

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.where}: {self.code} {self.message}{hint}"
