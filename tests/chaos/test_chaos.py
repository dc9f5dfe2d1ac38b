"""Two servers, users at work on both, a daemon between them, and everything goes wrong at once: nothing lost, nothing stuck.

When the faults stop, all comes to rest within a bounded time, and then every record is as the users' committed transactions say
(users.py): counters too, so nothing was applied twice; what the other side refuses is parked, and nothing else is.

CHAOS_SECONDS says for how long (until each kind of fault came once, at least), CHAOS_SEED which faults and edits.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from replicator.demo.servers import Installation, Server
from tests.chaos.faults import ROLE, Faults
from tests.chaos.supervisor import Supervisor
from tests.chaos.users import CRM, ERP, LINKS, Users, until, wrong
from tests.conftest import FAST
from tests.network.proxy import Proxy
from tests.two_way.pair_of_nodes import Pair, linked

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
REST_SECONDS = 60 + SECONDS  # in which all comes to rest, on a machine with other things to do
SETTINGS = {**FAST, "deadlock_timeout": "100ms"}


def for_the_daemon(pair: Pair, proxies: dict[str, Proxy]) -> Pair:
    """The same databases through the proxies, as a role of its own."""
    environ = {}
    for name, dsn in pair.environ.items():
        node = name.removesuffix("_DSN").lower()
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {ROLE} SUPERUSER LOGIN")  # type: ignore[call-overload]
        environ[name] = conninfo.make_conninfo(dsn, port=proxies[node].port, user=ROLE)
    return replace(pair, environ=environ)


def reconnected(pair: Pair) -> None:
    """Our own sessions, which the servers' ends have ended."""
    for node in ("crm", "erp"):
        getattr(pair, node).close()
        setattr(pair, node, psycopg.connect(pair.environ[f"{node.upper()}_DSN"], autocommit=True))


@pytest.mark.timeout(SECONDS + 2 * REST_SECONDS + 300)
def test_everything_goes_wrong(installation: Installation, tmp_path: Path) -> None:
    print(f"\nCHAOS_SEED={SEED} CHAOS_SECONDS={SECONDS:g}")
    with (
        Server(installation, SETTINGS) as one,
        Server(installation, SETTINGS) as two,
        linked(one, tmp_path, "chaos", CRM, ERP, LINKS, two) as pair,
    ):
        assert one.port is not None
        assert two.port is not None
        config = tmp_path / "replicator.yaml"
        config.write_text(config.read_text().replace("batch_rows: 20000", "batch_rows: 120"))
        with Proxy(one.port) as crm, Proxy(two.port) as erp:
            proxies = {"crm": crm, "erp": erp}
            with Supervisor(for_the_daemon(pair, proxies), tmp_path) as daemon:
                faults = Faults(pair, {"crm": one, "erp": two}, proxies, daemon)
                with Users(pair, SEED) as users:
                    faults.rage(SEED, SECONDS)
                assert not faults.failures
                assert not users.failures
                reconnected(pair)
                at = time.monotonic()
                known = users.known()
                alive = {tag for tag, record in known.items() if record.alive}
                print(f"{len(users.done)} transactions of users, {len(known)} records, {len(alive)} of them left")
                left = until(lambda: wrong(pair, known), SECONDS)
                # What was refused once and is good by now waits for a person who says so.
                for connection in (pair.crm, pair.erp):
                    connection.execute("UPDATE replicator.parked SET retry = true")
                left = until(lambda: wrong(pair, known), REST_SECONDS) if left else left
                log = daemon.log()
                told = [line for text in left[:3] for line in users.history(text.split(":")[0])] if left else []
                assert not left, "\n".join([*left, *told]) + f"\n{log[-3000:]}"
                print(f"at rest after {time.monotonic() - at:.1f} s")
                daemon.stop()
        survived = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.survived.items()))
        bad = sum(record.bad is not None and record.alive for record in known.values())
        print(
            f"survived {survived}; {log.count('running')} times running, ended by itself {daemon.ended}, {bad} bad values parked"
        )
        assert not re.search(r"this is a bug|Traceback|failed unexpectedly", log), log[-3000:]
        assert "hush" not in log, "a value is in the log"
        assert faults.kinds <= {kind.removesuffix(" (given way)") for kind in faults.survived}
