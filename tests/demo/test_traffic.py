"""The demo's traffic: everybody works, nobody fails, and a server that goes away is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from replicator.demo.factories import FACTORIES, NODES
from replicator.demo.servers import Server
from replicator.demo.traffic import Traffic
from replicator.demo.verify import verify
from replicator.demo.world import World, found, install_schemas
from replicator.runtime.demo_site import DemoSite

SCHEMAS = Path(__file__).parents[2] / "sql" / "demo"
BY_CHANCE = {"key a party keyed in the CRM"}  # only when somebody is faster than the replicator


def becomes(condition: Callable[[], bool], seconds: float = 40.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def kinds(work: Iterable[str]) -> set[str]:
    """What is done, in whichever system."""
    return {name.partition(" ")[2] for name in work}


def test_all_kinds_of_work_are_done_none_fails_and_all_sides_end_alike(site: DemoSite, world: World) -> None:
    with Traffic(site.dsns, rate=25) as traffic:
        done = becomes(lambda: not kinds(traffic.work()) - BY_CHANCE - kinds(traffic.snapshot()))
    assert done, kinds(traffic.work()) - kinds(traffic.snapshot())
    assert traffic.failures == []
    not_done = ("refused", "disconnected", "failed")
    assert traffic.committed == sum(n for name, n in traffic.snapshot().items() if name not in not_done)
    assert site.arrive()
    verdict = verify(site.dsns["crm"], {one.code: site.dsns[one.node] for one in FACTORIES})
    assert verdict.differences == []
    empty = {one.name for one in verdict.statements if one.rows == 0}
    assert not empty, "statements that compared nothing prove nothing"


def test_work_on_empty_databases_with_no_replicator_stops_when_told(databases: dict[str, str]) -> None:
    found(databases)
    traffic = Traffic(databases, sales_users=1, rate=100)
    started = time.monotonic()
    traffic.run(0.5)
    assert time.monotonic() - started < 10
    assert traffic.failures == []
    assert traffic.committed > 0


def test_the_rate_is_kept_to(databases: dict[str, str]) -> None:
    found(databases)
    traffic = Traffic(databases, sales_users=1, service_users=0, rate=10)
    traffic.run(1.0)
    assert traffic.committed <= 100


def test_users_come_back_after_their_server_was_killed() -> None:
    with Server() as server:
        dsns = {node: server.create_database(node) for node in NODES}
        install_schemas(dsns, SCHEMAS)
        found(dsns)
        with Traffic(dsns, sales_users=1, service_users=0, rate=50) as traffic:
            assert becomes(lambda: traffic.committed > 5)
            server.kill()
            assert becomes(lambda: traffic.snapshot().get("disconnected", 0) >= 2)
            server.start()
            before = traffic.committed
            assert becomes(lambda: traffic.committed > before + 5)
        assert traffic.failures == []
