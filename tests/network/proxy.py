"""A TCP proxy that misbehaves as networks do: cuts, stalls, delays, half-closes and refuses connections, when told to."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from replicator.demo.places import free_port

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
CHUNK = 65_536


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes on to `upstream` there. `passed`: connections it has passed on."""

    def __init__(self, upstream: int) -> None:
        self.port, self.passed = free_port(), 0
        self._upstream = upstream
        self._open = threading.Event()  # set: bytes pass
        self._open.set()
        self._delay = 0.0
        self._over = False
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over = True
        self.refuse()
        self._open.set()

    # -- faults

    def cut(self) -> None:
        """Every connection is reset, on both ends."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def half_close(self) -> None:
        """The client hears that the server has ended; the server hears nothing of it."""
        with self._lock:
            pairs = list(self._pairs)
        for client, _ in pairs:
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)

    def stall(self, seconds: float) -> None:
        """Nothing passes, and nobody is told."""
        self._open.clear()
        time.sleep(seconds)  # the fault itself
        self._open.set()

    def delay(self, each: float, seconds: float) -> None:
        self._delay = each
        time.sleep(seconds)  # the fault itself
        self._delay = 0.0

    def refuse(self) -> None:
        """Nobody gets in any more, and whoever is in is thrown out."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def accept(self) -> None:
        """Connections are taken (again)."""
        listener = self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    # -- bytes

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
                self.passed += 1
            for start, end in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(start, end), daemon=True).start()

    def _pump(self, start: socket.socket, end: socket.socket) -> None:
        with suppress(OSError):
            while data := start.recv(CHUNK):
                self._open.wait()
                if self._delay:
                    time.sleep(self._delay)
                end.sendall(data)
        for one in (start, end):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
