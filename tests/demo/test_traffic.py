"""The demo's traffic: everybody works, nobody fails, and a server that goes away is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from replicator.demo.crm_user import CrmUser
from replicator.demo.erp_user import ErpUser
from replicator.demo.servers import Server
from replicator.demo.traffic import Traffic
from replicator.demo.user import Office
from replicator.demo.verify import verify
from replicator.demo.world import Sizes, build, fill_reference_tables, install_schemas

SCHEMAS = Path(__file__).parents[2] / "sql" / "demo"
SMALL = Sizes(accounts=200, contacts=300, products=40, quotes=120, lines_per_quote=3, keyed_twice=0)


def becomes(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def all_work() -> set[str]:
    office = Office([], [])
    users = (CrmUser("", office, (0, 1), rate=1, seed=1), ErpUser("", office, (0, 1), rate=1, seed=1))
    return {f"{user.system} {name}" for user in users for _, name, _ in user.work()}


def test_all_kinds_of_work_are_done_and_none_fails(databases: tuple[str, str], ferry: AbstractContextManager[object]) -> None:
    crm, erp = databases
    with ferry:
        build(crm, erp, SMALL, wait_seconds=20)
    assert verify(crm, erp).same
    with Traffic(crm, erp, rate=400) as traffic:
        assert becomes(lambda: all_work() <= traffic.snapshot().keys()), all_work() - traffic.snapshot().keys()
    assert traffic.failures == []
    assert traffic.committed == sum(n for name, n in traffic.snapshot().items() if name != "refused")
    kinds = verify(crm, erp).by_kind
    assert kinds.keys() >= {"customer", "contact", "product", "order"}, "nobody carried it over"


def test_work_on_two_empty_databases_with_no_replicator_stops_when_told(databases: tuple[str, str]) -> None:
    crm, erp = databases
    fill_reference_tables(erp)
    traffic = Traffic(crm, erp, crm_users=1, erp_users=1, rate=100)
    started = time.monotonic()
    traffic.run(0.5)
    assert time.monotonic() - started < 5
    assert traffic.failures == []
    assert traffic.committed > 0


def test_the_rate_is_kept_to(databases: tuple[str, str]) -> None:
    crm, erp = databases
    fill_reference_tables(erp)
    traffic = Traffic(crm, erp, crm_users=1, erp_users=1, rate=10)
    traffic.run(1.0)
    assert traffic.committed <= 50


def test_users_come_back_after_their_server_was_killed() -> None:
    with Server() as server:
        crm, erp = server.create_database("crm"), server.create_database("erp")
        install_schemas(crm, erp, SCHEMAS)
        fill_reference_tables(erp)
        with Traffic(crm, erp, crm_users=1, erp_users=1, rate=50) as traffic:
            assert becomes(lambda: traffic.committed > 5)
            server.kill()
            assert becomes(lambda: traffic.snapshot().get("disconnected", 0) >= 2)
            server.start()
            before = traffic.committed
            assert becomes(lambda: traffic.committed > before + 5)
        assert traffic.failures == []
