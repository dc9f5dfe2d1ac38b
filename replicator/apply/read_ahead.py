"""Reads the next batch while this one is being written: under a backlog source and target then work at the same time.

Wraps a stream and is one. Promises: batches come in the same order and are the same; `position` speaks of what has been
handed out, not of what has been read; the stream is never used by two threads at once, and what is to be told to the source
meanwhile is told as soon as it is free. With little to do there is no thread at all.
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from replicator.capture.batch import Batch
from replicator.ports.stream import Stream

MANY = 2_000  # rows of a batch from which on more is to be expected, and worth a thread


class ReadAhead:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._thread: threading.Thread | None = None
        self._batch: Batch | None = None
        self._failure: BaseException | None = None
        self._position = stream.position
        self._upto = 0
        self._asked = False

    @property
    def position(self) -> int:
        return self._position if self._thread is not None else self.stream.position

    def read(self, limit: int) -> Batch | None:
        batch = self._taken() if self._thread is not None else self.stream.read(limit)
        if batch is not None and batch.rows >= min(MANY, limit):
            self._position = self.stream.position
            self._thread = threading.Thread(target=self._read, args=(limit,), name="replicator reads on", daemon=True)
            self._thread.start()
        return batch

    def confirm(self, upto: int) -> None:
        if self._thread is not None:
            self._upto = max(self._upto, upto)
        else:
            self.stream.confirm(upto)

    def alive(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self.stream.alive()

    def ask(self) -> None:
        if self._thread is not None:
            self._asked = True
        else:
            self.stream.ask()

    def handed(self) -> frozenset[int]:
        if self._thread is not None:
            self._thread.join()
        return self.stream.handed()

    def hidden(self, snapshot: str, handed: Collection[int]) -> bool:
        return self.stream.hidden(snapshot, handed)

    def fileno(self) -> int:
        return self.stream.fileno()

    def interrupt(self) -> None:
        self.stream.interrupt()

    def close(self) -> None:
        self.interrupt()
        if self._thread is not None:
            self._thread.join()  # never a connection that is closed under somebody's hands
        self.stream.close()

    def _read(self, limit: int) -> None:
        self._batch = self._failure = None
        try:
            self._batch = self.stream.read(limit)
        except BaseException as error:  # noqa: BLE001 - raised by `read`
            self._failure = error

    def _taken(self) -> Batch | None:
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        if self._failure is not None:
            raise self._failure
        if self._upto:
            self.stream.confirm(self._upto)
            self._upto = 0
        if self._asked:
            self.stream.ask()
            self._asked = False
        return self._batch
