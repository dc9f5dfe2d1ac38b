"""Under heavy two-way traffic nothing that is only on its way is called a difference; what is one is found among it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from replicator.demo.servers import Server
from replicator.runtime.daemon import Daemon
from tests.reconcile.faults import compared, told
from tests.two_way.pair_of_nodes import linked
from tests.two_way.test_kill import CRM, ERP, LINKS, Users

BUSY_SECONDS = float(os.environ.get("REPLICATOR_RECONCILE_SECONDS", "20"))


def test_no_false_differences_under_traffic(server: Server, tmp_path: Path) -> None:
    with linked(server, tmp_path, "traffic", CRM, ERP, LINKS) as pair:
        pair.crm.execute("INSERT INTO crm.account (name, city) SELECT 'old ' || i, '0' FROM generate_series(1, 2000) i")
        pair.settle()
        pair.crash()
        daemon = Daemon(pair.config, pair.environ)
        running = threading.Thread(target=daemon.run)
        running.start()
        hows: set[str] = set()
        try:
            with Users(pair) as users:
                while not daemon.flows or sum(users.made.values()) < 20:
                    assert daemon.failed is None
                    time.sleep(0.05)
                end = time.monotonic() + BUSY_SECONDS
                while time.monotonic() < end:
                    report = compared(pair)
                    assert report.running == {("crm", "erp"): True}
                    assert told(report) == []
                    hows |= {one.how for one in report.links}
            made = sum(users.made.values())
            report = compared(pair)
            assert report.clean
            pair.erp.execute("SET session_replication_role = replica")  # still captured, but not by triggers: it must arrive
            assert daemon.failed is None
        finally:
            daemon.stop.set()
            running.join()
        assert made > 100
        assert "whole" in hows
