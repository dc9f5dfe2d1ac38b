"""Bad days of the network and of the servers under a two-way load: nothing lost, nothing twice, both sides equal at the end.

`REPLICATOR_NETWORK_SEED` says which faults come when, `REPLICATOR_NETWORK_SECONDS` for how long.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import conninfo

from replicator.demo.servers import Installation, Server
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.test_kill import CRM, ERP, LINKS, Users, check_equal, contents, daemon, running, wait_until

from .proxy import Proxy

SEED = int(os.environ.get("REPLICATOR_NETWORK_SEED", "1"))
SECONDS = float(os.environ.get("REPLICATOR_NETWORK_SECONDS", "20"))


def away(r: random.Random, proxy: Proxy) -> None:
    proxy.refuse()
    time.sleep(r.uniform(0.5, 2.0))  # the fault itself
    proxy.accept()


FAULTS: dict[str, Callable[[random.Random, Proxy], None]] = {
    "cut": lambda r, proxy: proxy.cut(),
    "half-closed": lambda r, proxy: proxy.half_close(),
    "stalled": lambda r, proxy: proxy.stall(r.uniform(0.2, 1.5)),
    "delayed": lambda r, proxy: proxy.delay(r.uniform(0.005, 0.05), r.uniform(0.3, 1.0)),
    "refused": away,
}

ENDING = {"cut", "half-closed", "refused"}  # sessions do not live through these


def through(pair: Pair, proxies: dict[str, Proxy]) -> Pair:
    """The same pair for a daemon that goes through the proxies; users do not."""
    environ = {
        name: conninfo.make_conninfo(dsn, port=proxies[name.removesuffix("_DSN").lower()].port)
        for name, dsn in pair.environ.items()
    }
    return replace(pair, environ=environ)


def test_faults_of_the_network_under_load(server: Server, tmp_path: Path) -> None:
    r, survived = random.Random(SEED), Counter[str]()
    assert server.port is not None
    with (
        linked(server, tmp_path, "network", CRM, ERP, LINKS) as pair,
        Proxy(server.port) as crm,
        Proxy(server.port) as erp,
        daemon(through(pair, {"crm": crm, "erp": erp}), tmp_path) as process,
    ):
        wait_until(lambda: running(tmp_path) > 0, 30, "the daemon does not start")
        with Users(pair) as users:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                name, before = r.choice(sorted(FAULTS)), running(tmp_path)
                FAULTS[name](r, r.choice((crm, erp)))
                if name in ENDING:  # the next one is to find it at work
                    wait_until(lambda before=before: running(tmp_path) > before, 20, f"it does not go on after {name}")  # type: ignore[misc]
                assert process.poll() is None, (tmp_path / "daemon.log").read_text()[-2000:]
                survived[name] += 1
                time.sleep(r.uniform(0, 0.7))  # the random moment of the next
        wait_until(lambda: contents(pair)[0] == contents(pair)[1], 60, (tmp_path / "daemon.log").read_text()[-3000:])
        process.terminate()
        assert process.wait(20) == 0
        pair.settle()
        check_equal(pair, users)
        print(f"\nsurvived with seed {SEED}: {dict(survived)}, {crm.passed + erp.passed} connections,", end=" ")
        print(f"{sum(users.made.values())} records made, running again {running(tmp_path) - 1} times")
    log = (tmp_path / "daemon.log").read_text()
    assert not re.search("this is a bug|ERROR", log), log[-3000:]


def test_connections_lost_while_it_starts(server: Server, tmp_path: Path) -> None:
    """Whatever it is looking at: it tries again, and then runs."""
    assert server.port is not None
    with (
        linked(server, tmp_path, "starting", CRM, ERP, LINKS) as pair,
        Proxy(server.port) as crm,
        Proxy(server.port) as erp,
        daemon(through(pair, {"crm": crm, "erp": erp}), tmp_path) as process,
    ):
        cuts = 0
        while cuts < 15:
            before = crm.passed + erp.passed
            wait_until(lambda before=before: crm.passed + erp.passed > before, 30, "it does not try again")  # type: ignore[misc]
            for proxy in (crm, erp):
                proxy.cut()
            assert process.poll() is None, (tmp_path / "daemon.log").read_text()[-2000:]
            cuts += 1
        began = running(tmp_path)
        wait_until(lambda: running(tmp_path) > began, 30, "it does not start")
        process.terminate()
        assert process.wait(20) == 0
    assert "this is a bug" not in (tmp_path / "daemon.log").read_text()


def test_servers_killed_under_load(installation: Installation, tmp_path: Path) -> None:
    """kill -9 of a server, as if the power had failed, and some seconds of refused connections."""
    r = random.Random(SEED)
    with Server(installation) as own, linked(own, tmp_path, "power", CRM, ERP, LINKS) as pair:
        with daemon(pair, tmp_path) as process:
            wait_until(lambda: running(tmp_path) > 0, 30, "the daemon does not start")
            with Users(pair) as users:
                for _ in range(3):
                    made = sum(users.made.values())
                    wait_until(lambda made=made: sum(users.made.values()) > made + 20, 30, "users stand still")  # type: ignore[misc]
                    own.kill()
                    time.sleep(r.uniform(0.2, 2.0))  # the fault itself
                    own.start()
            pair.crm = psycopg.connect(pair.environ["CRM_DSN"], autocommit=True)
            pair.erp = psycopg.connect(pair.environ["ERP_DSN"], autocommit=True)
            wait_until(lambda: contents(pair)[0] == contents(pair)[1], 60, (tmp_path / "daemon.log").read_text()[-3000:])
            assert process.poll() is None, (tmp_path / "daemon.log").read_text()[-2000:]
            process.terminate()
            assert process.wait(20) == 0
        pair.settle()
        check_equal(pair, users)
