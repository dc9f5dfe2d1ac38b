"""The application's end of tests/apps/application.py: reads a line of code, runs it, answers with a line. Nothing but Python's own."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any


def answer(names: dict[str, Any], transaction: Callable[[], contextlib.AbstractContextManager[Any]]) -> None:
    """Until the other end closes. What the application prints is dropped: the answers have standard output."""
    out = sys.stdout
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            with contextlib.redirect_stdout(io.StringIO()), transaction():
                reply = {"value": run(asked["code"], {**names, **asked["given"]})}
        except Exception as error:  # noqa: BLE001 - the test is told
            reply = {"error": f"{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)[-3:])}"}
        out.write(json.dumps(reply, default=str) + "\n")
        out.flush()


def run(code: str, names: dict[str, Any]) -> Any:
    """Like a notebook's cell: the value of the last expression, else nothing."""
    body = ast.parse(code).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "<cell>", "exec"), names)  # ours, from the test
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if isinstance(last, ast.Expr) else None
