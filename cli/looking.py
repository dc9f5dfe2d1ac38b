"""What commands share that look things up on the nodes and note what a person wants: connections, times, names."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import psycopg
import typer

from replicator.errors import ConfigurationError, NodeUnavailable
from replicator.model.config import Config
from replicator.model.finding import Finding
from replicator.runtime.lint import close_all, connect_all

from .session import Session

AGO = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}

SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Not before: 30d, 12h, 45m ago, or 2026-01-31 or 2026-01-31T12:00 (UTC)."),
]


@contextmanager
def connected(
    session: Session, config: Config, purpose: str, strict: bool = False
) -> Iterator[tuple[dict[str, psycopg.Connection], list[Finding]]]:
    """The nodes that can be reached, and findings for the others. `strict`: all of them, or NodeUnavailable."""
    connections, unreachable = connect_all(config, session.environ, purpose)
    try:
        if unreachable and (strict or not connections):
            raise NodeUnavailable(f"{unreachable[0].where}: {unreachable[0].message}", unreachable[0].hint)
        yield connections, unreachable
    finally:
        close_all(connections)


def moment(text: str) -> datetime:
    """`30d` ago, or a date or time, in UTC unless it says otherwise."""
    ago = re.fullmatch(r"(\d{1,6})\s*(m|min|h|d|w)", text.strip())
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{AGO[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{text!r} is not a time", "write 30d, 12h, 45m, 2026-01-31 or 2026-01-31T12:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def again(session: Session) -> str:
    """The option that names the configuration, if a command typed here needs it."""
    return f" --config {shlex.quote(str(session.config_path))}" if session.named else ""


def person() -> str:
    """Who types."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
