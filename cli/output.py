"""Everything the command line shows goes through here: nothing else prints.

Promises: colours and tables on a terminal, plain lines elsewhere; with --json, standard output holds
exactly one JSON object, whatever happens (an error is one too). No password in a DSN gets past this module. When nobody reads
any more (`| head`), that is ClosedPipe, and after it nothing is written.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from replicator.model.finding import Finding, Mark

FRAMES_PER_SECOND = 4
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_SECRETS = (
    (re.compile(r"(postgres(?:ql)?://[^\s:/@]*):[^\s@]*@"), r"\1:***@"),
    (re.compile(r"(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)"), r"\1***"),
)

Row = Sequence[object]


class ClosedPipe(Exception):
    """Whoever read what we write has gone. The command ends without a word, for there is nobody to tell."""


def masked(text: str) -> str:
    """The text without the passwords of DSNs."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Output:
    """Where a command speaks. `line`, `table` and `findings` are for people and silent with --json, where
    `document` gives the one object instead."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            _never_fail(stream)
        self._out = Console(highlight=False, markup=False, emoji=False)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False)

    @property
    def terminal(self) -> bool:
        """Whether a person watches standard output."""
        return self._out.is_terminal and not self.as_json

    # -- for people ------------------------------------------------------------------------------------------------

    def line(self, text: str = "", style: str = "") -> None:
        if not self.as_json:
            self._print(self._out, sys.stdout, text, style)

    def aside(self, text: str, style: str = "dim") -> None:
        """What is not the result: progress, remarks. On standard error, also with --json."""
        self._print(self._err, sys.stderr, text, style)

    def table(self, headers: Sequence[str], rows: Iterable[Row], right: Iterable[int] = ()) -> None:
        """`right`: numbers of the columns to be set to the right."""
        texts = [[_cell(value) for value in row] for row in rows]
        if self.as_json:
            return
        if self.terminal:
            self._out.print(rich_table(headers, texts, right))
            return
        widths = [max(len(row[i]) for row in [list(headers), *texts]) for i in range(len(headers))]
        to_right = set(right)
        for row in [list(headers), *texts]:
            cells = (c.rjust(w) if i in to_right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
            self.line("  ".join(cells).rstrip())

    def findings(self, findings: Sequence[Finding], errors: bool = False) -> None:
        """One a line, `where: CODE message (hint)`. `errors`: they are why the command ends; on standard error then."""
        if self.as_json:
            return
        for finding in findings:
            severity = "" if finding.severity == "error" else f"{finding.severity}: "
            hint = f" ({finding.hint})" if finding.hint else ""
            text = f"{finding.where}: {finding.code} {severity}{finding.message}{hint}"
            console, stream = (self._err, sys.stderr) if errors else (self._out, sys.stdout)
            self._print(console, stream, text, STYLES[finding.severity])

    @contextmanager
    def live(self, picture: Callable[[], RenderableType]) -> Iterator[Callable[[], None]]:
        """On a terminal, a picture that is drawn again and again. Gives the function that draws it anew."""
        if not self.terminal:
            yield lambda: None
            return
        with Live(picture(), console=self._out, auto_refresh=False, transient=True) as live:
            yield lambda: live.update(picture(), refresh=True)

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer."""
        return sys.stdin.isatty()

    @contextmanager
    def frames(self) -> Iterator[Callable[[Callable[[], None]], None]]:
        """Gives a function that calls another one and lets what that prints stand where the last frame stood; elsewhere than
        on a terminal it stands below, with the time above it."""
        if not self.terminal:

            def below(draw: Callable[[], None]) -> None:
                self.line(f"-- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
                draw()
                self.line()

            yield below
            return
        with Live(console=self._out, auto_refresh=False, vertical_overflow="crop") as live:
            yield lambda draw: live.update(self._drawn(draw), refresh=True)

    def _drawn(self, draw: Callable[[], None]) -> Text:
        """What it prints, caught."""
        shown, caught = self._out, StringIO()
        self._out = Console(file=caught, force_terminal=True, width=shown.width, highlight=False, markup=False, emoji=False)
        try:
            draw()
        finally:
            self._out = shown
        return Text.from_ansi(caught.getvalue().rstrip("\n"))

    def confirm(self, question: str) -> bool:
        """Asks on the terminal; whoever is not at one is not asked."""
        if not self.can_ask:
            return True
        self._err.print(f"{question} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    # -- for machines and for the end ------------------------------------------------------------------------------

    def document(self, document: Mapping[str, Any]) -> None:
        """The command's one JSON object. Nothing without --json."""
        if self.as_json:
            with _read(sys.stdout):
                print(masked(json.dumps(document, default=str, ensure_ascii=False)), flush=True)

    def failure(self, message: str, hint: str = "", findings: Sequence[Finding] = ()) -> None:
        if self.as_json:
            error: dict[str, Any] = {"error": message, "hint": hint}
            if findings:
                error["findings"] = [as_object(finding) for finding in findings]
            self.document(error)
            return
        self.findings(findings, errors=True)
        self.aside(message, STYLES["error"])
        if hint:
            self.aside(f"  -> {hint}", "")

    def _print(self, console: Console, stream: TextIO, text: str, style: str) -> None:
        text = masked(text)
        if console.is_terminal:
            console.print(Text(text, style=style), soft_wrap=True)
        else:
            with _read(stream):
                print(text, file=stream, flush=True)


def rich_table(headers: Sequence[str], rows: Iterable[Row], right: Iterable[int] = ()) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    to_right = set(right)
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number in to_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    return table


def as_object(finding: Finding) -> dict[str, Any]:
    where: dict[str, Any] = {"where": str(finding.where)}
    if isinstance(finding.where, Mark):
        where |= {"path": finding.where.path, "line": finding.where.line, "column": finding.where.column}
    return where | {
        "code": finding.code, "severity": finding.severity, "message": finding.message, "hint": finding.hint,
    }  # fmt: skip


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@contextmanager
def _read(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        # What is left in the buffer would be written at the end of the process, and fail then.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        raise ClosedPipe from error


def _never_fail(stream: TextIO) -> None:
    """A name with letters that the terminal's encoding lacks must not end a command."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
