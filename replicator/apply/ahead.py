"""Pages of existing records, read by a thread with a session of its own while the page before is being written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from replicator.ports.state import FlowState
from replicator.ports.writer import Writer

PAGE_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """`snapshot`, `at`: as `FlowState.reading` gives them. `whole`: no line was left out for want of room."""

    snapshot: str
    at: str
    lines: list[bytes | None]
    whole: bool


class Ahead:
    """One page at a time. `open_session`: a session on the source that nobody else uses, as its programs need it."""

    def __init__(self, open_session: Callable[[], Writer], state: FlowState) -> None:
        self._open_session = open_session
        self._state = state
        self._session: Writer | None = None
        self._thread: threading.Thread | None = None
        self._page: Page | None = None
        self._failure: Exception | None = None

    @property
    def busy(self) -> bool:
        """Whether a page was asked for and not taken yet."""
        return self._thread is not None

    def start(self, sql: Callable[[str], str]) -> None:
        """`sql`: the COPY statement, given the source's position."""
        self._page, self._failure = None, None
        self._thread = threading.Thread(target=self._read, args=(sql,), name="replicator reads ahead", daemon=True)
        self._thread.start()

    def take(self, seconds: float) -> Page | None:
        """The page, if it is there within so long. Raises what kept it from being read."""
        assert self._thread is not None
        self._thread.join(seconds)
        if self._thread.is_alive():
            return None
        self._thread = None
        if self._failure is not None:
            raise self._failure
        return self._page

    def _read(self, sql: Callable[[str], str]) -> None:
        try:
            if self._session is None:
                self._session = self._open_session()
            session = self._session
            session.begin()
            try:
                session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                snapshot, at = self._state.reading(session)
                lines: list[bytes | None] = []
                size = 0
                for line in session.unload(sql(at)):
                    if size < PAGE_BYTES:
                        lines.append(line)
                    size += len(line)
            except BaseException:
                session.rollback()
                raise
            session.commit()
            self._page = Page(snapshot, at, lines, size < PAGE_BYTES)
        except Exception as error:  # noqa: BLE001 - raised by `take`
            self._failure = error
