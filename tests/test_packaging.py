"""What is installed is all of it: every package of the sources is in the list that pyproject.toml gives."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    names = {path: name for name, path in settings["package-dir"].items()}
    found = set()
    for top in ("replicator", "cli", "sql", "mappings"):
        for marker in (ROOT / top).rglob("__init__.py"):
            path = marker.parent.relative_to(ROOT).as_posix()
            found.add(names.get(path, path.replace("/", ".")))
    assert set(settings["packages"]) == found
