"""Under heavy two-way traffic nothing that is only on its way is called a difference; what is one is found among it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replicator.demo.servers import Server
from replicator.engines.postgres.setup import origin_name
from replicator.runtime.daemon import Daemon
from tests.reconcile.faults import compared, plant, told
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.test_kill import CRM, ERP, LINKS, Users

BUSY_SECONDS = float(os.environ.get("REPLICATOR_RECONCILE_SECONDS", "20"))


@contextmanager
def working(pair: Pair) -> Iterator[Users]:
    """A daemon, and people busy on both sides."""
    daemon = Daemon(pair.config, pair.environ)
    running = threading.Thread(target=daemon.run)
    running.start()
    try:
        with Users(pair) as users:
            while not daemon.flows or sum(users.made.values()) < 20:
                assert daemon.failed is None
                time.sleep(0.05)
            yield users
        assert daemon.failed is None
    finally:
        daemon.stop.set()
        running.join()


def test_no_false_differences_under_traffic(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, "traffic", CRM, ERP, LINKS) as pair:
        pair.crm.execute("INSERT INTO crm.account (name, city) SELECT 'old ' || i, '0' FROM generate_series(1, 2000) i")
        pair.crm.execute("INSERT INTO crm.contact (account_id, name) SELECT id, name FROM crm.account")
        pair.settle()
        pair.crash()
        hows: set[str] = set()
        looks = 0
        with working(pair) as users:
            end = time.monotonic() + BUSY_SECONDS
            while time.monotonic() < end:
                report = compared(pair)
                assert report.running == {("crm", "erp"): True}
                assert told(report) == []
                hows |= {one.how for one in report.links}
                looks = max(looks, *(one.looks for one in report.links))
        assert sum(users.made.values()) > 100
        assert hows == {"whole", "changed"}
        assert looks > 1  # something was on its way
        # What is a difference is found among all that moves, and called what it is.
        sql = "UPDATE erp.person SET full_name = 'planted' WHERE full_name = 'old 7'"
        plant(pair, "erp", sql, origin=origin_name("crm", "erp"))
        plant(pair, "crm", "DELETE FROM crm.contact WHERE name = 'old 8'", origin=origin_name("erp", "crm"))
        with working(pair):
            for _ in range(2):
                assert {(one.link, one.kind, tuple(one.fields)) for one in told(compared(pair))} == {
                    ("contact", "differs", ("name",)),
                    ("contact", "missing", ()),
                }
