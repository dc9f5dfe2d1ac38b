"""One node sends while the other takes: a thread reads a bounded number of blocks ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

BLOCKS = 16


def ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks. Closed early, it closes what it reads from."""
    ready: queue.Queue[bytes | BaseException | None] = queue.Queue(BLOCKS)
    leave = threading.Event()

    def put(item: bytes | BaseException | None) -> None:
        while not leave.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for block in blocks:
                put(block)
                if leave.is_set():
                    break
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised where the blocks are taken
            put(error)
        finally:
            getattr(blocks, "close", lambda: None)()

    thread = threading.Thread(target=read, name="reads ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        leave.set()
        thread.join()
