"""One CRM and two factories, all of it by two roles: what the README grants to the one does for every command but `init`, `plan
--apply` and `teardown`, for which the owner of the tables does. And nobody ever sees their passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from replicator.demo.servers import Installation, Server
from tests.conftest import FAST
from tests.two_way.test_least_privilege import ROLE, grants

from .conftest import CONTACT, CRM, CUSTOMER, ERP, PASSWORD, Site
from .test_factories import NODES
from .test_standby import becomes, started

OWNER = "keeper"
TABLES = {"crm": ("account", "contact"), "north": ("customer", "person"), "south": ("customer", "person")}
ROUTE = 'route: {erp: "crm.factory"}\nfields:'
LINKS = {
    "customer": CUSTOMER.replace("fields:", f"match: {{crm: name, erp: company}}\n{ROUTE}").replace(
        "erp: town}", "erp: town, rule: queue}"
    )
    + "  - {crm: factory, code: erp}\n",
    "contact": CONTACT.replace("fields:", ROUTE).replace(
        "key: id}", 'key: id, derived: {factory: "select a.factory from crm.account a where a.id = crm.account_id"}}', 1
    ),
}
ORIGINS = f"""
    GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_drop(text),
        pg_replication_origin_session_setup(text) TO {OWNER}"""


@pytest.fixture
def office(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    """Tables that belong to their owner, links, and the owner's DSNs."""
    with Server(installation, FAST, auth="scram-sha-256", password=PASSWORD) as server:
        environ = {f"{node.upper()}_DSN": server.create_database(node) for node in TABLES}
        site = Site(tmp_path, environ, monkeypatch, capsys)
        for role in (OWNER, ROLE):
            site.db("crm").execute(f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{PASSWORD}'")  # type: ignore[call-overload]
        for node, tables in TABLES.items():
            schema = "crm" if node == "crm" else "erp"
            site.db(node).execute(CRM + "alter table crm.account add factory text" if node == "crm" else ERP)  # type: ignore[call-overload]
            site.db(node).execute(
                f"ALTER SCHEMA {schema} OWNER TO {OWNER}; GRANT CREATE ON DATABASE {node} TO {OWNER}; {ORIGINS}"
            )  # type: ignore[call-overload]
            for table in tables:
                site.db(node).execute(f"ALTER TABLE {schema}.{table} OWNER TO {OWNER}")  # type: ignore[call-overload]
        (tmp_path / "links").mkdir()
        (tmp_path / "replicator.yaml").write_text(NODES)
        for name, text in LINKS.items():
            site.link(name, text)
        enter(site, OWNER)
        yield site
        for connection in site.connections.values():
            connection.close()


def enter(site: Site, role: str) -> None:
    """Commands are this role's from now on; `site.db` stays the administrator's."""
    for node in TABLES:
        site.instead(node, user=role, password=PASSWORD)


def test_every_command_by_who_has_no_more_than_the_documented_grants(office: Site) -> None:
    crm, north = office.db("crm"), office.db("north")
    north.execute("INSERT INTO erp.customer (company, town) VALUES ('both', 'Ulm')")
    crm.execute("INSERT INTO crm.account (name, city, factory) VALUES ('both', 'Ulm', 'NORTH'), ('old', 'Wels', 'south')")
    done(office, "init")
    for node, tables in TABLES.items():
        for table in tables:
            for statement in grants("crm" if node == "crm" else "erp", table):
                office.db(node).execute(statement)  # type: ignore[call-overload]
    enter(office, ROLE)

    done(office, "match", "--apply", "--prefer", "crm")
    done(office, "backfill", "--from", "crm")
    assert office.rows("south", "SELECT company FROM erp.customer") == [("old",)]
    assert office.rows("north", "SELECT company FROM erp.customer") == [("both",)]

    with started(office, "daemon") as process:
        crm.execute("INSERT INTO crm.account (name, city, factory) VALUES ('new', 'Graz', 'NORTH')")
        crm.execute("INSERT INTO crm.contact (account_id, name) SELECT id, repeat('x', 30) FROM crm.account WHERE name = 'new'")
        crm.execute("INSERT INTO crm.contact (account_id, name) SELECT id, repeat('y', 30) FROM crm.account WHERE name = 'new'")
        log = office.folder / "daemon.log"
        becomes(lambda: "22001" in log.read_text(), 30, log.read_text())
        becomes(lambda: len(office.rows("north", "SELECT FROM replicator.parked")) == 2, 30, log.read_text())
        assert PASSWORD not in Path(f"/proc/{process.pid}/cmdline").read_text()
        assert PASSWORD not in str(office.rows("north", "SELECT a::text FROM pg_stat_activity AS a"))
        first, second = [f"north:{number}" for (number,) in office.rows("north", "SELECT id FROM replicator.parked ORDER BY id")]
        done(office, "parked", "show", first)
        done(office, "parked", "retry", first, "--set", "name=short")
        done(office, "parked", "discard", second, "--yes")
        becomes(lambda: office.rows("north", "SELECT nm FROM erp.person") == [("short",)], 30, log.read_text())
        becomes(lambda: not office.rows("north", "SELECT FROM replicator.parked"), 30, log.read_text())
    # Both edit the town without knowing of each other, and a person decides.
    crm.execute("UPDATE crm.account SET city = 'Linz' WHERE name = 'new'")
    north.execute("UPDATE erp.customer SET town = 'Bonn' WHERE company = 'new'")
    done(office, "run", "--once")
    waiting = [
        (node, number)
        for node in TABLES
        for (number,) in office.rows(node, "SELECT id FROM replicator.conflict WHERE status = 'open'")
    ]
    assert len(waiting) == 1
    identity = "{}:{}".format(*waiting[0])
    done(office, "conflicts", "show", identity)
    done(office, "conflicts", "replay", "--rule", "city=latest")
    done(office, "conflicts", "resolve", identity, "--take", "north")
    done(office, "run", "--until-idle", "1.5")
    assert office.rows("crm", "SELECT city FROM crm.account WHERE name = 'new'") == [("Bonn",)]

    crm.execute("UPDATE crm.contact SET name = left(name, 5)")
    done(office, "run", "--until-idle", "0.5")
    drift(office)
    done(office, "reconcile", "--repair", "--prefer", "crm", "--wait", "1")
    assert office.rows("south", "SELECT note FROM erp.customer") == [(None,)]
    for command in (
        ["status"],
        ["conflicts", "list"],
        ["parked", "list", "--discarded"],
        ["explain", "customer@south", "1"],
        ["lint"],
    ):
        done(office, *command)
    done(office, "run", "--once", "--metrics", "127.0.0.1:0")
    office("check")
    office("plan")
    done(office, "unmatch", "customer@south", "1", "--on", "south")

    nobody_knows(office)
    enter(office, OWNER)
    office.instead("south", password="wr0ng-" + PASSWORD)  # and what goes wrong does not tell either
    assert office("run", "--once").code == 3
    enter(office, OWNER)
    done(office, "teardown")
    for node in TABLES:
        assert office.rows(node, "SELECT nspname FROM pg_namespace WHERE nspname = 'replicator'") == []
        assert office.rows(node, "SELECT pubname FROM pg_publication") == []
    assert office.rows("crm", "SELECT slot_name FROM pg_replication_slots") == []
    assert office.rows("crm", "SELECT roname FROM pg_replication_origin") == []


def done(site: Site, *command: str) -> None:
    result = site(*command)
    assert result.code == 0, f"{command}\n{result.out}{result.err}"


def drift(site: Site) -> None:
    """A value is changed behind the replicator's back."""
    with psycopg.connect(conninfo.make_conninfo(site.environ["SOUTH_DSN"], user="postgres"), autocommit=True) as connection:

        def ours() -> bool:
            try:
                connection.execute("SELECT pg_replication_origin_session_setup('replicator_crm_to_south')")
            except psycopg.errors.ObjectInUse:  # the replicator's session is still going away
                return False
            return True

        becomes(ours, 20, "the origin is not free")
        connection.execute("UPDATE erp.customer SET note = 'drifted'")


def nobody_knows(site: Site) -> None:
    """The password is in none of the replicator's tables, and in no log of its own. (What commands say: `Site` looks.)"""
    for node in TABLES:
        tables = site.rows(node, "SELECT relname FROM pg_class WHERE relnamespace = 'replicator'::regnamespace AND relkind = 'r'")
        for (name,) in tables:
            question = sql.SQL("SELECT count(*) FROM replicator.{} AS t WHERE t::text LIKE {}").format(
                sql.Identifier(name), sql.Literal(f"%{PASSWORD}%")
            )
            assert site.db(node).execute(question).fetchone() == (0,), name
    for path in site.folder.rglob("*"):
        if path.is_file():
            assert PASSWORD not in path.read_text(), path
