"""What the apply tests stand on: freshly linked pairs of databases, and an alarm for what would never end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import FrameType

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked

SECONDS = 60
Fresh = Callable[..., AbstractContextManager[Pair]]


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """No test may hang: an endless loop or a lost change that `settle` waits for is a failure."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 10)  # and again, for what hangs while cleaning up
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture(scope="session")
def fresh(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """`fresh(crm_schema, erp_schema, *links)`: a pair that is initialised and ready to run.

    One pair at a time on a server, for slots are the server's and the databases always the same two: not in a test beside
    a pair of its module's."""

    @contextmanager
    def make(crm: str, erp: str, *links: str, batch_rows: int | None = None) -> Iterator[Pair]:
        named = {text.split("link: ")[1].split("\n")[0]: text for text in links}
        with linked(server, tmp_path_factory.mktemp("apply"), "apply", crm, erp, named) as pair:
            if batch_rows is not None:
                pair.config = replace(pair.config, settings=replace(pair.config.settings, batch_rows=batch_rows))
            pair._set_clock = lambda _: None  # type: ignore[method-assign]  # it knows exchanges of two flows only
            yield pair

    return make
