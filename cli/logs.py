"""Logging of a running daemon: lines for people or JSON objects, one event a line, on standard error.

Promises: with JSON every line is an object with time, level and message, and of flow, link, node, slot, sqlstate and the
like what is known; no cell value and no password is in it. A traceback is only shown when asked for, for it may hold
values; its place always is.
"""

from __future__ import annotations

import json
import logging
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from replicator.errors import ReplicatorError

from .output import ClosedPipe, Output, as_object, masked


class LogFormat(StrEnum):
    human = "human"
    json = "json"


class Lines(logging.Formatter):
    """`2026-01-31 12:00:00 INFO message`, times in UTC."""

    def __init__(self, debug: bool) -> None:
        super().__init__()
        self.debug = debug

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record):%Y-%m-%d %H:%M:%S} {record.levelname} {self.told(record)}"

    def told(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return text
        if self.debug:
            return f"{text}\n{''.join(traceback.format_exception(error)).rstrip()}"
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
        return f"{text}: {type(error).__name__} at {place} (--debug shows more)"


class Objects(Lines):
    """`{"time": ..., "level": ..., "message": ...}`, and what the event carries in `extra={"fields": ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        event = {"time": _time(record).isoformat(), "level": record.levelname.lower(), "message": self.told(record)}
        fields = getattr(record, "fields", None)
        return json.dumps(event | fields if isinstance(fields, dict) else event, default=str, ensure_ascii=False)


class Handler(logging.Handler):
    """Hands lines to the module that prints."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        style = {"WARNING": "yellow", "ERROR": "bold red"}.get(record.levelname, "")
        with suppress(ClosedPipe):  # the flows do not stand still because nobody reads of them
            self._output.aside(masked(self.format(record)), style)


def start(output: Output, form: LogFormat, debug: bool = False) -> logging.Handler:
    """Everything the product logs goes to standard error from now on. Gives what `stop` wants."""
    handler = Handler(output)
    handler.setFormatter(Objects(debug) if form is LogFormat.json else Lines(debug))
    logger = logging.getLogger("replicator")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return handler


def failed(error: ReplicatorError) -> None:
    """The end of a run, as an event."""
    findings = [as_object(finding) for finding in getattr(error, "findings", ())]
    fields = {**error.known, "hint": error.hint, **({"findings": findings} if findings else {})}
    logging.getLogger("replicator").error("%s", error.message, extra={"fields": fields})


def stop(handler: logging.Handler) -> None:
    logging.getLogger("replicator").removeHandler(handler)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
