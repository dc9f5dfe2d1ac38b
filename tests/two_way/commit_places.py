"""Where the program makes something last: every commit of every session, every statement that is a transaction of its own, every
word to a source that it may forget. Found by watching it run (`Watch`) and by reading its source (`written_down`), so that a new
one is met by the tests or named by them, and never forgotten.

A place is one call in pipeline.py, exchange.py, apply/ or runtime/; a *boundary* is the chain of such calls that led to a commit:
`mirror` after a batch and `mirror` after a restart are two.
"""

from __future__ import annotations

import ast
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from psycopg.pq import TransactionStatus

import replicator
from replicator.engines.postgres.stream import PostgresStream
from replicator.engines.postgres.writer import PostgresWriter
from replicator.ports.state import FlowState
from tests.two_way.pair_of_nodes import Crash

ROOT = Path(replicator.__file__).parent
SCOPE = ("pipeline.py", "exchange.py", "apply/", "runtime/")
LASTING = re.compile(r"\b(insert|update|delete|copy|pg_logical_emit_message)\b", re.IGNORECASE)
CALLS = ("begin", "commit", "rollback", "execute", "query", "load", "load_lines")
READING = {"checkpoint", "flushed", "jobs", "listed", "outbox", "parked", "parked_keys", "reading", "wanted"}
WRITING = {name for name in vars(FlowState) if not name.startswith("_")} - READING

Boundary = tuple[str, ...]


def written_down() -> set[str]:
    """The places in the source that begin, commit, confirm, or write a flow's state."""
    files = [path for path in sorted(ROOT.rglob("*.py")) if _in_scope(path)]
    return {name for path in files for name, call in _calls(path).values() if _makes_last(call)}


def _makes_last(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    on_state = ast.unparse(call.func.value).endswith("state") and call.func.attr in WRITING
    return on_state or call.func.attr in ("begin", "commit", "confirm")


def _in_scope(path: Path) -> bool:
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).as_posix().startswith(SCOPE)


@cache
def _calls(path: Path) -> dict[tuple[int, int], tuple[str, ast.Call]]:
    """Where a call ends -> its name, such as `apply/mirror.mirror: source.commit`."""
    found = {}

    def look(node: ast.AST, within: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = within
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                inside = f"{within}.{child.name}"
            elif isinstance(child, ast.Call):
                name = f"{within}: {ast.unparse(child.func)}"
                found[child.end_lineno or 0, child.end_col_offset or 0] = name, child
            look(child, inside)

    look(ast.parse(path.read_text()), path.relative_to(ROOT).as_posix().removesuffix(".py"))
    return found


@dataclass
class Watch:
    """What was met since `begin` by sessions on databases whose name begins with `name`: other tests have daemons in this process,
    too. `met`: the places, `boundaries`: in the order in which they were met first. `crashes`: (boundary,
    after) at which the daemon is to die, one after the other."""

    name: str
    met: set[str] = field(default_factory=set)
    boundaries: dict[Boundary, None] = field(default_factory=dict)
    crashes: list[tuple[Boundary, bool]] = field(default_factory=list)
    _inside: threading.local = field(default_factory=threading.local)

    def begin(self, *crashes: tuple[Boundary, bool]) -> None:
        self.met, self.boundaries, self.crashes = set(), {}, list(crashes)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(self_: Any, *args: Any, **options: Any) -> Any:
            session = self_._connection
            ours = not session.closed and session.info.dbname.startswith(self.name)
            if getattr(self._inside, "call", False) or not ours:
                return call(self_, *args, **options)
            self._inside.call = True
            try:
                return self._pass(_lasts(name, self_, args), lambda: call(self_, *args, **options))
            finally:
                self._inside.call = False

        return watched

    def _pass(self, lasts: bool, call: Callable[[], Any]) -> Any:
        chain = _chain(sys._getframe(2))
        self.met.update(chain)
        if not lasts or not chain:
            return call()
        self.boundaries.setdefault(chain)
        if not self.crashes or self.crashes[0][0] != chain:
            return call()
        _, after = self.crashes.pop(0)
        if after:
            call()
        raise Crash(chain[-1])


def _lasts(name: str, session: Any, args: tuple[Any, ...]) -> bool:
    if name in ("begin", "rollback"):
        return False
    if name in ("commit", "confirm"):
        return True
    idle = session.connection.info.transaction_status == TransactionStatus.IDLE
    return idle and LASTING.search(str(args[0])) is not None


def _chain(frame: FrameType | None) -> Boundary:
    """The places on the way to this frame, the innermost last."""
    chain = []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if _in_scope(path):
            _, line, _, column = list(frame.f_code.co_positions())[frame.f_lasti // 2]
            at = _calls(path).get((line or 0, column or 0))
            if at is not None:
                chain.append(at[0])
        frame = frame.f_back
    return tuple(reversed(chain))


@contextmanager
def watched(name: str) -> Iterator[Watch]:
    """Every session and stream that is opened meanwhile is watched, if its database's name begins with `name`."""
    watch = Watch(name)
    with pytest.MonkeyPatch.context() as patch:
        for call in CALLS:
            patch.setattr(PostgresWriter, call, watch.around(call, getattr(PostgresWriter, call)))
        patch.setattr(PostgresStream, "confirm", watch.around("confirm", PostgresStream.confirm))
        yield watch
