"""Plays scenarios at the demo's site, and tells what happens as events that a screen or a document can show."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from textwrap import dedent
from typing import Any

import psycopg
from psycopg.rows import dict_row

from replicator.demo.scenarios.stage import Row
from replicator.engines.postgres.history import Selection
from replicator.errors import ReplicatorError
from replicator.mapping.chosen import links_named
from replicator.runtime.demo_site import DemoSite
from replicator.runtime.history import Conflict, Standing, select, standing

LONGEST_WAIT = 30.0  # seconds
LOOK_AGAIN = 0.004


class ScenarioFailed(ReplicatorError):
    """What should have come of a step did not come."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Said:
    text: str


@dataclass(frozen=True, slots=True)
class Typed:
    """`together`: typed at the same time as the one before."""

    node: str
    sql: str
    together: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """`ms`: from the commit of what was typed last to when it was first seen; None if nothing was typed since everything had
    arrived."""

    node: str
    sql: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    ms: float | None


@dataclass(frozen=True, slots=True)
class Explained:
    conflict: Conflict
    now: Mapping[str, Standing]


Event = Said | Typed | Seen | Explained


class SiteStage:
    """A `Stage` (replicator/demo/scenarios/stage.py). `show` hears of every event."""

    def __init__(self, site: DemoSite, show: Callable[[Event], None]) -> None:
        self.site, self._show = site, show
        self._typed: float | None = None

    def __enter__(self) -> SiteStage:
        self._sessions = {
            node: psycopg.connect(dsn, autocommit=True, row_factory=dict_row, application_name="demo scenario")
            for node, dsn in self.site.dsns.items()
        }
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions.values():
            session.close()

    def say(self, text: str) -> None:
        self._show(Said(text))

    def given(self, node: str, sql: str) -> None:
        self._sessions[node].execute(sql.encode())

    def does(self, node: str, sql: str) -> None:
        self._show(Typed(node, _tidy(sql)))
        self.given(node, sql)
        self._typed = time.monotonic()

    def at_once(self, edits: Sequence[tuple[str, str]]) -> None:
        """In open transactions: the rows are locked, so nothing can arrive between the two."""
        for number, (node, sql) in enumerate(edits):
            self._show(Typed(node, _tidy(sql), together=number > 0))
            self.given(node, "begin")
            self.given(node, sql)
        for node, _ in edits:
            self.given(node, "commit")
        self._typed = time.monotonic()

    def sees(self, node: str, sql: str, **expected: object) -> Row:
        end = time.monotonic() + LONGEST_WAIT
        found: list[Row] = []
        seen = 0.0

        def there() -> bool:
            nonlocal found, seen
            found = self._rows(node, sql)
            seen = time.monotonic()
            return bool(found) and all(_same(found[0][name], value) for name, value in expected.items())

        while not there():
            self._still_running()
            if seen > end:
                raise ScenarioFailed(
                    f"{node} does not show {_wanted(expected)} within {LONGEST_WAIT:.0f} s; {_shows(found)}",
                    f"this was asked there:\n{_tidy(sql)}",
                )
            self.site.tick()
            time.sleep(LOOK_AGAIN)
        ms = None if self._typed is None else (seen - self._typed) * 1000
        rows = tuple(tuple(row.values()) for row in found)
        self._show(Seen(node, _tidy(sql), tuple(found[0]), rows, ms))
        return found[0]

    def sees_nothing(self, node: str, sql: str) -> None:
        self.settled()
        found = self._rows(node, sql)
        if found:
            raise ScenarioFailed(f"{node} has what should not be there; {_shows(found)}", f"this was asked:\n{_tidy(sql)}")
        self._show(Seen(node, _tidy(sql), (), (), None))

    def explains(self, link: str, field: str) -> None:
        self.settled()
        names = tuple(one.name for one in links_named(self.site.config, link))
        found, _ = select(self.site.connections, Selection(names, field), 1)
        if not found:
            raise ScenarioFailed(f"no conflict about {link}.{field} was logged", "the two edits did not meet; try again")
        self._show(Explained(found[0], standing(self.site.config, self.site.connections, found[0])))

    def settled(self) -> None:
        self._typed = None  # what is looked at after waiting says nothing of how long it took
        if not self.site.arrive():
            raise ScenarioFailed("changes are still on their way, and nothing moves any more", "this is a bug")

    def _rows(self, node: str, sql: str) -> list[Row]:
        return list(self._sessions[node].execute(sql.encode()).fetchall())

    def _still_running(self) -> None:
        if self.site.daemon.failed is not None:
            raise self.site.daemon.failed


def as_document(event: Event) -> dict[str, Any]:
    """For --json."""
    match event:
        case Said():
            return {"said": event.text}
        case Typed():
            return {"node": event.node, "typed": event.sql}
        case Seen():
            rows = [dict(zip(event.columns, row, strict=True)) for row in event.rows]
            return {"node": event.node, "asked": event.sql, "rows": rows, "ms": event.ms}
        case Explained():
            one = event.conflict
            return {"conflict": one.id, "link": one.link, "field": one.field, "winner": one.winner, "rule": one.rule}


def _tidy(sql: str) -> str:
    """Without the margin that it has in its module."""
    first, _, rest = sql.strip("\n").partition("\n")
    return f"{first.strip()}\n{dedent(rest)}".strip() if not first.startswith(" ") else dedent(sql).strip()


def _same(value: object, wanted: object) -> bool:
    """A price is written as people write it."""
    return value == (Decimal(str(wanted)) if isinstance(value, Decimal) and isinstance(wanted, float) else wanted)


def _wanted(expected: Mapping[str, object]) -> str:
    return " and ".join(f"{name} {value!r}" for name, value in expected.items()) or "any row"


def _shows(found: Sequence[Row]) -> str:
    return f"its first of {len(found)} rows is {dict(found[0])}" if found else "it has no such row"
