"""What a running daemon answers on `--metrics HOST:PORT`: figures for Prometheus, and whether it lives and works.

    /metrics   runtime/metrics.py
    /healthz   200, or 503 with the reasons to restart it
    /readyz    200, or 503 with the reasons why a flow stands still

Promises: an answer reads memory alone.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from replicator.errors import ConfigurationError
from replicator.model.config import Config
from replicator.runtime.daemon import Daemon
from replicator.runtime.health import dead, unready
from replicator.runtime.metrics import Figures, Sampler

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))


@contextmanager
def serving(config: Config, daemon: Daemon, host: str, port: int) -> Iterator[int]:
    """Serves until left. Gives the port, which the system chooses for 0."""
    leave = threading.Event()
    samplers = [Sampler(config, daemon, node.name, leave) for node in config.nodes]
    registry = CollectorRegistry()
    registry.register(Figures(config, daemon, samplers))
    try:
        server = make_server(host, port, Pages(registry, daemon), _server_class(host, port), _Quiet)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or "no such address"
        raise ConfigurationError(f"metrics cannot be served on {host}:{port}: {said}", "choose another for --metrics") from None
    for thread in (threading.Thread(target=server.serve_forever, name="replicator web", daemon=True), *samplers):
        thread.start()
    try:
        yield server.server_port
    finally:
        leave.set()
        server.shutdown()
        server.server_close()
        for sampler in samplers:
            sampler.join(1.0)


class Pages:
    """A WSGI application."""

    def __init__(self, registry: CollectorRegistry, daemon: Daemon) -> None:
        self._metrics = make_wsgi_app(registry)
        self._daemon = daemon
        self._pages: dict[str, Callable[[Daemon], list[str]]] = {"/healthz": dead, "/readyz": unready}

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO") or "/"
        if path == "/metrics":
            figures: Iterable[bytes] = self._metrics(environ, start)
            return figures
        if path not in self._pages:
            start("404 Not Found", [*TEXT])
            return [b"/metrics /healthz /readyz\n"]
        reasons = self._pages[path](self._daemon)
        start("503 Service Unavailable" if reasons else "200 OK", [*TEXT])
        return [("\n".join(reasons or ["ok"]) + "\n").encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Standard error is the log's."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def _server_class(host: str, port: int) -> type[WSGIServer]:
    """With the address family that the host is of."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    return type("_FamilyServer", (_Server,), {"address_family": family})
