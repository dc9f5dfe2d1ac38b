"""Loads the SQL that people maintain: named statements of `sql/*.sql` (`-- name: x` starts one)."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def script(name: str) -> str:
    """A whole file of `sql/`."""
    return files("replicator_sql").joinpath(name).read_text(encoding="utf-8")


@cache
def _statements(name: str) -> dict[str, str]:
    parts = NAME.split(script(name))
    return {parts[i]: parts[i + 1].strip().rstrip(";") for i in range(1, len(parts), 2)}


def statement(name: str, file: str = "catalog.sql") -> str:
    return _statements(file)[name]
