"""The demo's site, with the replicator at work, on every PostgreSQL; and three databases without one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replicator.demo.factories import NODES
from replicator.demo.scenarios.scenery import set_up
from replicator.demo.servers import Installation, Server
from replicator.demo.world import Sizes, World, build, install_schemas
from replicator.runtime.demo_site import DemoSite
from replicator.runtime.demo_stage import SiteStage
from tests.conftest import FAST

SMALL = Sizes(accounts=60, contacts=90, products=40, agreements=30, past_orders=30, quotes=50, keyed_twice=4)
SCHEMAS = Path(__file__).parents[2] / "sql" / "demo"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server(settings=FAST) as one:
        yield one


_numbers = itertools.count()


@pytest.fixture
def databases(server: Server) -> dict[str, str]:
    """Node -> DSN of a database with the demo's tables and no rows, and nobody who carries anything over."""
    number = next(_numbers)
    dsns = {node: server.create_database(f"{node}{number}") for node in NODES}
    install_schemas(dsns, SCHEMAS)
    return dsns


@contextmanager
def running_site(installation: Installation | None = None) -> Iterator[DemoSite]:
    """With what scenarios begin with; None: on the newest PostgreSQL."""
    with DemoSite(installation=installation, settings=FAST) as running:
        running.start()
        with SiteStage(running, lambda _: None) as stage:
            set_up(stage)
        yield running


def small_world(site: DemoSite) -> World:
    made = build(site.dsns, SMALL, arrive=site.arrived)
    assert site.arrive()
    return made


@pytest.fixture(scope="session")
def site() -> Iterator[DemoSite]:
    """With a world; shared, and filled up by whoever uses it."""
    with running_site() as running:
        yield running


@pytest.fixture(scope="session")
def world(site: DemoSite) -> World:
    return small_world(site)


@pytest.fixture(scope="session")
def scenery(installation: Installation) -> Iterator[DemoSite]:
    """A site on each PostgreSQL."""
    with running_site(installation) as running:
        yield running
