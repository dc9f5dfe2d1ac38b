"""Scenes of the demo as text: what is said, what is typed, and the rows that came of it.

Nothing here prints; `demo` hands what comes from here to `output`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import indent

from replicator.model.config import Config
from replicator.runtime.demo_stage import Event, Explained, Said, Seen, Typed
from replicator.runtime.history import link_of

from .conflict_words import printable, story

MARGIN = "  "
SHOWN_ROWS = 12
LONGEST = 28
Lines = Iterator[tuple[str, str]]


def scene_lines(event: Event, config: Config, questions: bool) -> Lines:
    """(line, style). `questions`: with the SQL that was looked with, not only the rows."""
    match event:
        case Said():
            yield "", ""
            yield f"{MARGIN}{event.text}", "bold"
        case Typed():
            yield from _sql(event.node, event.sql, "cyan")
            if event.together:
                yield f"{MARGIN}{MARGIN}(at the same time)", "dim"
        case Seen():
            if questions:
                yield from _sql(event.node, event.sql, "dim")
            yield from _rows(event)
        case Explained():
            yield from _explained(event, config)


def _sql(node: str, sql: str, style: str) -> Lines:
    prompt = f"{node}> "
    text = indent(sql, " " * len(prompt))[len(prompt) :]
    for number, line in enumerate(text.splitlines()):
        yield f"{MARGIN}{MARGIN}{prompt if number == 0 else ''}{line}", style


def _rows(event: Seen) -> Lines:
    margin = f"{MARGIN}{MARGIN}"
    if not event.rows:
        yield f"{margin}{event.node}: no row", "green"
        return
    table = [event.columns, *(tuple(_cell(value) for value in row) for row in event.rows[:SHOWN_ROWS])]
    widths = [max(len(row[place]) for row in table) for place in range(len(event.columns))]
    begin = f"{event.node}: "
    for number, row in enumerate(table):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield f"{margin}{begin if number == 0 else ' ' * len(begin)}{cells}", "dim" if number == 0 else ""
    more = len(event.rows) - SHOWN_ROWS
    if more > 0:
        yield f"{margin}{' ' * len(begin)}and {more:,} more rows", "dim"
    if event.ms is not None:
        yield f"{margin}{' ' * len(begin)}within {event.ms:,.0f} ms", "green"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    text = printable(f"{value:g}" if isinstance(value, float) else str(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _explained(event: Explained, config: Config) -> Lines:
    """As `replicator conflicts show` does."""
    one = event.conflict
    yield f"{MARGIN}{MARGIN}$ replicator conflicts show {one.id}", "cyan"
    width = max(10, *(len(node) + 2 for node in one.nodes))
    for label, text in story(one, link_of(config, one.link), event.now, True, ""):
        yield f"{MARGIN}{MARGIN}{label:<{width}}{text}", ""


def tries(psql: Mapping[str, str], config_path: str, environ: Mapping[str, str]) -> Lines:
    """How to look around, and what to try."""
    from replicator.demo.scenarios.invitation import TRIES

    yield "", ""
    yield "it stays, and goes on replicating, until Ctrl-C. To look around:", "bold"
    for node, command in psql.items():
        yield f"{MARGIN}{node:<11}{command}", ""
    variables = " ".join(f"{name}={dsn}" for name, dsn in environ.items())
    yield f"{MARGIN}{'all':<11}export {variables} REPLICATOR_CONFIG={config_path}", ""
    yield f"{MARGIN}{'':<11}replicator status; replicator conflicts list; replicator explain customer KEY", ""
    yield "to try:", "bold"
    for one in TRIES:
        yield f"{MARGIN}{one.node}> {one.types}", "cyan"
        yield f"{MARGIN}{one.then}> {one.looks}", ""
    yield "what arrives:", "bold"
