"""After a proof little is compared, and never too little: everything that can change without being seen is tried."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from replicator.demo.servers import Server
from replicator.mapping.config import load_config
from tests.reconcile import test_kinds
from tests.reconcile.faults import compared, kinds, of_link, plant, told
from tests.reconcile.test_kinds import NUMBERS
from tests.two_way.pair_of_nodes import Pair, linked

once = test_kinds.pair  # the same two databases


@pytest.fixture
def proven(once: Pair) -> Pair:
    """Compared once: everything is equal."""
    first = compared(once)
    assert told(first) == []
    assert {one.how for one in first.links} == {"whole"}
    assert all(one.proven for one in first.links)
    return once


def hows(pair: Pair) -> dict[str, str]:
    report = compared(pair)
    assert told(report) == []
    return {one.link: one.how for one in report.links}


def test_nothing_has_changed(proven: Pair) -> None:
    assert set(hows(proven).values()) == {"nothing"}
    proven.crm.execute("VACUUM FREEZE")
    assert set(hows(proven).values()) == {"nothing"}
    assert {one.why for one in compared(proven, full=True).links} == {"asked for"}


# Each fault of test_kinds once more, now after a proof: it is found in what is compared then.
FAULTS = {
    name: test
    for name, test in vars(test_kinds).items()
    if name.startswith("test_") and name not in ("test_nothing_differs", "test_an_open_conflict_is_named")
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_after_a_proof(proven: Pair, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: set[str] = set()

    def watched(pair: Pair, *links: str, **options: object) -> object:
        report = compared(pair, *links, **options)
        looked.update(one.how for one in report.links)
        again = compared(pair, *links, **options)  # what differs is found again, with what is known by then
        assert sorted(map(str, (one.view for one in told(report)))) == sorted(map(str, (one.view for one in told(again))))
        return report

    monkeypatch.setattr(test_kinds, "compared", watched)
    FAULTS[name](proven)
    assert "changed" in looked


def test_a_difference_is_known_until_it_is_mended(proven: Pair) -> None:
    plant(proven, "erp", "UPDATE erp.customer SET town = 'Ulm' WHERE company = 'Berg'")
    for _ in range(3):
        report = compared(proven, "customer")
        assert of_link(report, "customer").how == "changed"
        assert kinds(report, "customer") == {"differs": 1}
    plant(proven, "erp", "UPDATE erp.customer SET town = 'Wien' WHERE company = 'Berg'")
    assert told(compared(proven, "customer")) == []
    report = compared(proven, "customer")
    assert of_link(report, "customer").how == "nothing"


def test_a_transaction_that_ran_while_it_was_compared(once: Pair) -> None:
    """Also in a subtransaction, whose number no snapshot shows."""
    with psycopg.connect(once.environ["ERP_DSN"]) as other:
        other.execute("SET session_replication_role = replica")
        other.execute("SELECT pg_replication_origin_create('late'), pg_replication_origin_session_setup('late')")
        other.execute("CREATE TEMP TABLE busy (i int); INSERT INTO busy VALUES (1)")
        with other.transaction():
            other.execute("UPDATE erp.customer SET town = 'late' WHERE company = 'Adler'")
        other.execute("UPDATE erp.country SET label = 'late' WHERE code = 'AT'")
        assert told(compared(once)) == []
        other.commit()
    report = compared(once)
    assert kinds(report, "customer") == {"differs": 1}
    assert kinds(report, "country") == {"differs": 1}
    assert of_link(report, "customer").how == of_link(report, "country").how == "changed"


RENUMBER = "UPDATE replicator.crosswalk_customer SET erp_no = erp_no + 1000 WHERE erp_no = (SELECT min(erp_no) FROM replicator.crosswalk_customer)"
CHANGES = {
    "another default": (
        "customer",
        [
            ("erp", "ALTER TABLE erp.customer DROP COLUMN town"),
            ("erp", "ALTER TABLE erp.customer ADD COLUMN town text DEFAULT 'Nowhere'"),
        ],
    ),
    "a lookup": (
        "customer",
        [
            ("erp", "UPDATE erp.land SET iso2 = 'CH' WHERE iso2 = 'DE'"),
            ("erp", "UPDATE erp.land SET iso2 = 'DE' WHERE iso2 = 'AT'"),
        ],
    ),
    "a pair that is referred to": ("contact", [("crm", RENUMBER), ("erp", RENUMBER)]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_leaves_no_trace_in_the_rows(proven: Pair, what: str) -> None:
    link, statements = CHANGES[what]
    for node, sql in statements:
        plant(proven, node, sql)
    report = compared(proven, link)
    assert of_link(report, link).how == "whole"
    assert kinds(report, link).get("differs", 0) > 0


def test_partitions_and_labels(server: Server, tmp_path: Path) -> None:
    crm = """CREATE SCHEMA crm; CREATE TYPE crm.mood AS ENUM ('good', 'bad');
        CREATE TABLE crm.item (id integer PRIMARY KEY, mood crm.mood, note text) PARTITION BY RANGE (id);
        CREATE TABLE crm.item_1 PARTITION OF crm.item FOR VALUES FROM (0) TO (100);
        CREATE TABLE crm.item_2 (id integer NOT NULL, mood crm.mood, note text);
        INSERT INTO crm.item_2 VALUES (150, 'good', 'from before');"""
    erp = "CREATE SCHEMA erp; CREATE TABLE erp.item (no integer PRIMARY KEY, mood text, note text);"
    text = """link: item
flow: crm -> erp
crm: {table: crm.item, key: id}
erp: {table: erp.item, key: no}
fields:
  - {crm: id, erp: no}
  - {crm: mood, erp: mood}
  - {crm: note, erp: note}
"""
    with linked(server, tmp_path, f"kinds{next(NUMBERS)}", crm, erp, {"item": text}) as pair:
        pair.crm.execute("INSERT INTO crm.item VALUES (1, 'good', 'a'), (2, 'bad', 'b')")
        pair.settle()
        pair.crash()
        assert hows(pair) == {"item": "whole"}
        assert hows(pair) == {"item": "nothing"}
        pair.crm.execute("ALTER TABLE crm.item ATTACH PARTITION crm.item_2 FOR VALUES FROM (100) TO (200)")
        report = compared(pair)
        assert of_link(report, "item").how == "whole"
        assert kinds(report, "item") == {"missing": 1}
        plant(pair, "erp", "INSERT INTO erp.item VALUES (150, 'good', 'from before')")
        assert hows(pair) == {"item": "changed"}
        pair.crm.execute("ALTER TYPE crm.mood RENAME VALUE 'bad' TO 'sad'")
        report = compared(pair)
        assert (of_link(report, "item").how, kinds(report, "item")) == ("whole", {"differs": 1})


def test_row_security_hides_rows_and_proves_nothing(proven: Pair) -> None:
    proven.erp.execute("ALTER TABLE erp.customer ENABLE ROW LEVEL SECURITY; ALTER TABLE erp.customer FORCE ROW LEVEL SECURITY")
    assert hows(proven)["customer"] == "nothing"  # a superuser sees all of them


def test_one_node_was_taken_back(proven: Pair) -> None:
    """Its proof is an older one then, and what the other knows is of another run."""
    old = proven.rows("erp", "SELECT run FROM replicator.proof WHERE link = 'customer'")
    plant(proven, "erp", "UPDATE erp.customer SET town = town")
    assert hows(proven)["customer"] == "changed"
    plant(proven, "erp", "UPDATE replicator.proof SET run = %s WHERE link = 'customer'", old[0][0])
    assert hows(proven)["customer"] == "whole"


def test_another_server(proven: Pair) -> None:
    plant(proven, "crm", "UPDATE replicator.proof SET identity = '1/1/1'")
    report = compared(proven)
    assert {one.how for one in report.links} == {"whole"}
    assert "another server" in report.links[0].why


def test_the_link_has_changed(proven: Pair, tmp_path: Path) -> None:
    path = tmp_path / "mappings" / "customer.yaml"
    path.write_text(path.read_text().replace("{active: A, dormant: D}", "{active: D, dormant: A}"))
    config, findings = load_config(tmp_path / "replicator.yaml", proven.environ)
    assert config is not None, findings
    proven.config = config
    report = compared(proven, "customer")
    assert (of_link(report, "customer").how, of_link(report, "customer").why) == ("whole", "the link has changed")
    assert kinds(report, "customer") == {"differs": 5}


def test_too_many_differences_prove_nothing(proven: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replicator.reconcile.proof.DOUBTFUL", 1)
    plant(proven, "erp", "UPDATE erp.position SET total = 0")
    assert not of_link(compared(proven, "line"), "line").proven
    assert of_link(compared(proven, "line"), "line").how == "whole"


def test_without_a_place_for_proofs(proven: Pair) -> None:
    plant(proven, "erp", "DROP TABLE replicator.proof")
    assert set(hows(proven).values()) == {"whole"}
