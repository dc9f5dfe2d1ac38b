"""What a part of the bench is given: two servers, a folder, how much of everything, and the systems made for them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from replicator.demo.servers import Installation, Server

from .schema import CUSTOMERS, NATIVE, Size, Tables
from .systems import Native, Ours, System

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    servers: tuple[Server, Server]
    folder: Path
    size: Size
    console: Console
    profiles: Path | None = None

    def system(self, kind: str, tables: Tables = CUSTOMERS, settings: Mapping[str, int] | None = None) -> System:
        return Native(self.servers, tables) if kind == NATIVE else self.ours(kind, tables, settings)

    def ours(self, kind: str, tables: Tables = CUSTOMERS, settings: Mapping[str, int] | None = None) -> Ours:
        return Ours(self.servers, kind, tables, self.folder, settings, self.profiles)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)


@dataclass(frozen=True, slots=True)
class Part:
    """`measure` gives the documents of results.json, `show` makes tables of them."""

    name: str
    measure: Callable[[Stage], list[Document]]
    show: Callable[[Sequence[Document], Console], None]


@contextmanager
def staged(
    found: Installation, size: Size, console: Console, settings: dict[str, str] | None = None, profiles: Path | None = None
) -> Iterator[Stage]:
    """On two servers that are made for it and removed afterwards. `settings`: the servers', for tests."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Server(found, settings) as source,
        Server(found, settings) as target,
    ):
        yield Stage((source, target), Path(folder), size, console, profiles)
