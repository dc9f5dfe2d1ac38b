"""Commands where one set of link files serves several ERPs: `customer` is all of its links, `customer@north` one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import conninfo

from replicator.mapping.config import load_config
from replicator.runtime.setup import teardown

from .conftest import CONTACT, CRM, CUSTOMER, ERP, Site
from .history_site import daemon, until
from .test_metrics import scrape, served

NODES = """\
nodes:
  crm: {engine: postgres, dsn: "${CRM_DSN}"}
  north: {engine: postgres, dsn: "${NORTH_DSN}", class: erp, code: NORTH}
  south: {engine: postgres, dsn: "${SOUTH_DSN}", class: erp}
mappings: links
"""
WEST = '  west: {engine: postgres, dsn: "${WEST_DSN}", class: erp, code: WEST}\n'
ROUTED = CUSTOMER.replace("fields:", 'match: {crm: name, erp: company}\nroute: {erp: "crm.factory"}\nfields:') + (
    "  - {crm: factory, code: erp}\n"
)


@pytest.fixture
def factories(
    pair: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    """A CRM and three databases with the ERP's tables, of which two are declared."""
    environ = {"CRM_DSN": pair["CRM_DSN"]}
    site = Site(tmp_path, dict(pair), monkeypatch, capsys)
    for name in ("north", "south", "west"):
        site.db("erp").execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        environ[f"{name.upper()}_DSN"] = conninfo.make_conninfo(pair["ERP_DSN"], dbname=name)
    site.environ.update(environ)
    del site.environ["ERP_DSN"]
    site.db("crm").execute(CRM + "alter table crm.account add factory text;")
    for name in ("north", "south", "west"):
        site.db(name).execute(ERP)
    (tmp_path / "links").mkdir()
    site.link("customer", ROUTED)
    site.link("contact", CONTACT.replace("fields:", 'route: {erp: "crm.factory"}\nfields:').replace("key: id}", "key: id, derived: "
        '{factory: "select a.factory from crm.account a where a.id = crm.account_id"}}', 1))  # fmt: skip
    declare(site)
    yield site
    declare(site, WEST)
    config, _ = load_config(site.folder / "replicator.yaml", environ)
    assert config is not None
    teardown(config, environ, False, lambda _: None)
    assert site.rows("crm", "SELECT slot_name FROM pg_replication_slots") == []
    site.db("crm").execute("DROP SCHEMA crm CASCADE")
    for name in ("north", "south", "west"):
        assert site.rows(name, "SELECT pubname FROM pg_publication") == []
        assert site.rows(name, "SELECT nspname FROM pg_namespace WHERE nspname = 'replicator'") == []
        site.db(name).close()
        site.db("erp").execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
    for node in ("crm", "erp"):
        site.db(node).close()


def declare(site: Site, more: str = "") -> None:
    (site.folder / "replicator.yaml").write_text(NODES.replace("mappings:", f"{more}mappings:"))


def add(site: Site, name: str, factory: str | None) -> None:
    site.db("crm").execute("INSERT INTO crm.account (name, factory) VALUES (%s, %s)", (name, factory))
    site.db("crm").execute(
        "INSERT INTO crm.contact (account_id, name) SELECT id, 'of ' || name FROM crm.account WHERE name = %s", (name,)
    )


def companies(site: Site) -> dict[str, list[str]]:
    sql = "SELECT company FROM erp.customer LEFT JOIN erp.person p ON customer_no = no AND nm = 'of ' || company ORDER BY p.nm IS NULL, 1"
    return {node: [row[0] for row in site.rows(node, sql)] for node in ("north", "south")}


def test_from_init_to_teardown(factories: Site) -> None:
    site = factories
    assert site("lint", "--online").code == 0, site("lint", "--online").out
    add(site, "early", "north?")
    add(site, "Ann", "NORTH")
    dry = site("init", "--dry-run")
    assert "crosswalk_customer@north" in dry.out
    assert site("init").code == 0
    assert site("init").out.strip().endswith("nothing to do") or site("plan").code == 0
    assert site("check").code == 0, site("check").out
    assert site("backfill", "--from", "crm").code == 0
    add(site, "Bob", "south")
    assert site("run", "--once").code == 0
    assert companies(site) == {"north": ["Ann"], "south": ["Bob"]}
    site.db("crm").execute("UPDATE crm.account SET factory = 'NORTH' WHERE name = 'early'")
    assert site("run", "--once").code == 0
    assert companies(site) == {"north": ["Ann", "early"], "south": ["Bob"]}
    assert site("plan").code == 0
    pairs = site("status", "--json").document["pairs"]
    assert {name: pairs[name] for name in ("customer@north", "customer@south", "contact@north", "contact@south")} == {
        "customer@north": 2, "customer@south": 1, "contact@north": 2, "contact@south": 1,
    }  # fmt: skip
    result = site("reconcile", "customer")
    assert result.code == 0, result.out
    assert [line.split(",")[0] for line in result.lines("compared", "records compared")] == ["customer@north", "customer@south"]
    one = site("reconcile", "contact@south")
    assert one.lines("contact@south")
    assert not one.lines("contact@north")
    assert site("teardown").code == 0


def test_one_link_of_several(factories: Site) -> None:
    site = factories
    assert site("init").code == 0
    add(site, "Ann", "NORTH")
    assert site("run", "--once").code == 0
    number = site.rows("north", "SELECT no FROM erp.customer")[0][0]
    result = site("explain", "customer", str(number))
    assert result.code == 2
    assert "customer is 2 links, and one of them is needed" in result.err
    assert "customer@north or customer@south" in result.err
    for how in (["customer", str(number), "--on", "north"], ["customer@north", str(number)]):
        found = site("explain", *how)
        assert found.code == 0, found.err
        assert "customer@north" in found.out
        assert "'NORTH'" in found.one_line("factory")
    account = site.rows("crm", "SELECT id FROM crm.account")[0][0]
    assert site("explain", "customer", str(account), "--on", "crm").code == 2
    assert site("unmatch", "customer", str(account), "--on", "crm").code == 2
    assert site("unmatch", "customer", str(number), "--on", "north").code == 0
    for name in ("custumer", "customer@nort"):
        assert "did you mean 'customer" in site("explain", name, "1").err


def test_names_of_links_mean_all_of_them(factories: Site) -> None:
    site = factories
    site.link("customer", ROUTED.replace("{crm: city, erp: town}", "{crm: city, erp: town, rule: queue}"))
    for node in ("north", "south"):
        site.db(node).execute("INSERT INTO erp.customer (company, town) VALUES ('Ann', %s)", (node,))
    add(site, "Ann", "south")
    assert site("init").code == 0
    dry = site("match", "customer")
    assert dry.one_line("customer@north: 1 pairs")
    assert dry.one_line("customer@south: 1 pairs")
    assert site("match", "customer@north", "--apply", "--keep").code == 0
    assert site("match", "customer", "--apply", "--keep").code == 0
    site.db("crm").execute("UPDATE crm.account SET city = 'crm'")
    site.db("north").execute("UPDATE erp.customer SET town = 'N'")
    site.db("south").execute("UPDATE erp.customer SET town = 'S'")
    assert site("run", "--once").code == 0
    assert {c["link"] for c in site("conflicts", "list", "--link", "customer", "--json").document["conflicts"]} == {
        "customer@north", "customer@south",
    }  # fmt: skip
    one = site("conflicts", "list", "--link", "customer@south", "--json").document["conflicts"]
    assert {c["link"] for c in one} == {"customer@south"}
    other = site("conflicts", "list", "--link", "customer@north", "--json").document["conflicts"][0]
    assert site("conflicts", "show", other["id"]).one_line("record", "customer@north: crm")
    replayed = site("conflicts", "replay", "--rule", "customer.city=latest")
    assert replayed.code == 0, replayed.err
    assert replayed.lines("customer@north.city")
    assert replayed.lines("customer@south.city")
    settled = site("conflicts", "resolve", "--link", "customer", "--take", "crm", "--yes", "--json")
    assert {c["link"] for c in settled.document["settling"]} == {"customer@north", "customer@south"}
    back = site("backfill", "customer", "--from", "north", "--json")
    assert [(b["link"], b["flow"]) for b in back.document["backfills"]] == [("customer@north", "north_to_crm")]
    assert "leads nothing from" in site("backfill", "customer@south", "--from", "north").err


def test_parked_changes_of_all_factories_or_of_one(factories: Site) -> None:
    site = factories
    assert site("init").code == 0
    for name, factory in (("Ann", "NORTH"), ("Bob", "south")):
        add(site, name, factory)
    site.db("crm").execute("UPDATE crm.contact SET name = 'longer than the twenty characters of the ERP'")
    assert site("run", "--once").code == 0

    def listed(*options: str) -> dict[str, str]:
        return {one["link"]: one["id"] for one in site("parked", "list", "--json", *options).document["parked"]}

    both = listed("--link", "contact")
    assert set(both) == {"contact@north", "contact@south"}
    assert listed("--link", "contact@south") == {"contact@south": both["contact@south"]}
    assert "did you mean 'contact" in site("parked", "list", "--link", "contact@sout").err
    assert site("parked", "show", both["contact@north"]).one_line("line", "contact.yaml:")
    for node in ("north", "south"):
        site.db(node).execute("ALTER TABLE erp.person ALTER nm TYPE text")
    retried = site("parked", "retry", "--link", "contact@north", "--json")
    assert [one["link"] for one in retried.document["changes"]] == ["contact@north"]
    assert site("run", "--once").code == 0
    assert listed() == {"contact@south": both["contact@south"]}
    assert site("parked", "discard", "--link", "contact", "--yes").code == 0
    assert site("run", "--once").code == 0
    assert listed() == {}
    gone = site("parked", "list", "--discarded", "--link", "contact", "--json").document["discarded"]
    assert [one["link"] for one in gone] == ["contact@south"]


def test_one_more_factory(factories: Site) -> None:
    """Nothing of the others is touched; records that are there come with `backfill`."""
    site = factories
    assert site("init").code == 0
    add(site, "Ann", "NORTH")
    add(site, "Cyd", "WEST")
    assert site("run", "--once").code == 0
    declare(site, WEST)
    run = site("run", "--once")
    assert run.code != 0
    assert "init" in run.err
    before = site.rows("north", "SELECT * FROM replicator.link ORDER BY name")
    assert "west" in site("init", "--dry-run").out
    result = site("init")
    assert result.code == 0, result.err
    assert not result.lines("erp.customer", "north")
    assert site("plan").code == 0
    assert site("init").code == 0
    assert site.rows("north", "SELECT * FROM replicator.link ORDER BY name") == before
    assert site("run", "--once").code == 0
    assert site.rows("west", "SELECT company FROM erp.customer") == []
    assert site("backfill", "--from", "crm").code == 0
    assert site.rows("west", "SELECT company FROM erp.customer") == [("Cyd",)]
    assert companies(site) == {"north": ["Ann"], "south": []}
    site.db("west").execute("UPDATE erp.customer SET note = 'by west'")
    assert site("run", "--once").code == 0
    assert site.rows("crm", "SELECT note, factory FROM crm.account WHERE name = 'Cyd'") == [("by west", "WEST")]


def test_one_less_factory(factories: Site) -> None:
    site = factories
    assert site("init").code == 0
    add(site, "Ann", "NORTH")
    assert site("run", "--once").code == 0
    (site.folder / "replicator.yaml").write_text(
        NODES.replace('  south: {engine: postgres, dsn: "${SOUTH_DSN}", class: erp}\n', "")
    )
    refused = site("run", "--once")
    assert "is gone" in refused.err
    plan = site("plan")
    assert plan.lines("- customer@south")
    assert plan.lines("- contact@south")
    assert not plan.lines("customer@north")
    done = site("plan", "--apply", "--forget")
    assert done.code == 0, done.err + done.out
    assert site("run", "--once").code == 0
    assert site.rows("crm", "SELECT slot_name FROM pg_replication_slots ORDER BY 1") == [("replicator_crm_to_north",)]


def test_what_holds_for_all_factories_is_said_once(factories: Site) -> None:
    site = factories
    site.link("customer", ROUTED.replace("erp: town}", "erp: twn}"))
    assert site("lint", "--online").one_line("L502", "erp: erp.customer has no column twn", "did you mean 'town'?")
    site.link("customer", ROUTED.replace("crm.factory", "crm.factry"))
    assert site("lint", "--online").one_line("customer.yaml:6:15: L502 crm: crm.account has no column factry")
    site.link("customer", ROUTED.replace("crm.stage = 'won'", "crm.stage > 7"))
    assert site("lint", "--online").one_line("K060", "erp refuses")
    site.link("customer", ROUTED)
    site.db("south").execute("ALTER TABLE erp.customer RENAME note TO notes")
    assert site("lint", "--online").one_line("L502", "south: erp.customer has no column note")


def test_labels(factories: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = factories
    assert site("init").code == 0
    add(site, "Ann", "NORTH")
    with served(site, monkeypatch) as port:
        until(lambda: companies(site)["north"] == ["Ann"])
        until(lambda: ("conflicts_open", "customer@south") in scrape(port))
        found = scrape(port)
    assert found["conflicts_open", "customer@north"] == 0
    assert ("state_rows", "customer@north", "crm", "crosswalk") in found


def test_a_table_changes_at_one_factory(factories: Site) -> None:
    """There alone the link stands still; what comes for it is kept and goes on. A change in the CRM concerns all factories."""
    site = factories
    assert site("init").code == 0

    def paused() -> set[tuple[str, str]]:
        return {(flow["flow"], one["link"]) for flow in site("status", "--json").document["flows"] for one in flow["paused"]}

    with daemon(site, nodes=("crm", "north", "south")):
        add(site, "Ann", "NORTH")
        add(site, "Bob", "south")
        until(lambda: companies(site) == {"north": ["Ann"], "south": ["Bob"]})
        site.db("south").execute("ALTER TABLE erp.customer RENAME town TO city")
        add(site, "Cid", "south")
        add(site, "Dan", "NORTH")
        until(lambda: companies(site)["north"] == ["Ann", "Dan"])
        until(lambda: len(paused()) == 2)
        assert paused() == {("crm_to_south", "customer@south"), ("south_to_crm", "customer@south")}
        assert companies(site)["south"] == ["Bob"]
        said = site("status").one_line("crm_to_south: S008 link customer@south is paused")
        assert "south: erp.customer has no column town" in said
        assert "it is called city now: rename it back, or rename it on all nodes that the file serves" in said
        assert site("resume", "customer@south").code == 2
        site.db("south").execute("ALTER TABLE erp.customer RENAME city TO town")
        assert site("resume", "customer@south").code == 0
        until(lambda: companies(site)["south"] == ["Bob", "Cid"])
        site.db("crm").execute("ALTER TABLE crm.account RENAME city TO town")
        site.db("crm").execute("UPDATE crm.account SET name = name || '!'")
        until(lambda: len(paused()) == 4)
        site.db("crm").execute("ALTER TABLE crm.account RENAME town TO city")
        assert site("resume", "customer").code == 0
        changed = "SELECT company FROM erp.customer ORDER BY 1"
        until(
            lambda: [site.rows(node, changed) for node in ("north", "south")] == [[("Ann!",), ("Dan!",)], [("Bob!",), ("Cid!",)]]
        )
    assert paused() == set()
    assert site("reconcile").code == 0
