"""Somebody else's application in a process and a Python of its own, told what to do in its own words.

The applications of tests/apps want versions of Django, lxml and others that do not go together, and not with ours.
Each has a script (koalix_tryton/koalix.py, koalix_tryton/tryton.py) that opens its ORM and answers from then on:
a piece of Python goes in, the value of its last expression, or the error that the application raised, comes out.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Refused(Exception):
    """What the application raised: the type and its message."""


class Application:
    def __init__(self, python: Path, script: Path) -> None:
        self._process = subprocess.Popen(
            [python, "-u", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self, code: str, /, **given: Any) -> Any:
        """`code` runs in one transaction of the application; the names in `given` are known to it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"code": code, "given": given}, default=str) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the application is gone: exit code {self._process.wait()}"
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["value"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
