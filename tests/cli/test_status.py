"""`replicator status`: from the databases alone, and with an exit code that a monitor can use."""

from __future__ import annotations

import uuid

from .conftest import Site
from .history_site import prepare, waiting


def test_before_init(site: Site) -> None:
    result = site("status")
    assert result.code == 1
    assert "run `replicator init`" in result.one_line("crm_to_erp: S001 not initialised")


def test_after_a_run(ready: Site) -> None:
    ready.db("crm").execute("INSERT INTO crm.account (name) VALUES ('ACME'), ('Beta')")
    assert ready("run", "--once").code == 0
    result = ready("status")
    assert result.code == 0
    assert "inactive" in result.one_line("crm_to_erp")
    assert result.one_line("customer ").split() == ["customer", "2"]
    document = ready("status", "--json").document
    assert document["initialised"] is True
    assert document["pairs"] == {"contact": 0, "customer": 2}
    flow = document["flows"][0]
    assert flow["flow"] == "crm_to_erp"
    assert flow["checkpoint"]["seconds_ago"] < 60
    assert flow["slot"]["state"] == "inactive"
    assert flow["behind_bytes"] >= 0
    assert document["problems"] == []


def test_waiting_is_no_problem_and_refused_is_one(ready: Site) -> None:
    db = ready.db("crm")
    lead, won = uuid.uuid4(), uuid.uuid4()
    db.execute("INSERT INTO crm.account (id, name, stage) VALUES (%s, 'later', 'lead'), (%s, 'now', 'won')", (lead, won))
    db.execute("INSERT INTO crm.contact (account_id, name) VALUES (%s, 'Ann')", (lead,))
    assert ready("run", "--once").code == 0
    parked = ready("status")
    assert parked.code == 0, parked.out
    assert parked.one_line("crm_to_erp", "1 waits")
    db.execute("INSERT INTO crm.contact (account_id, name) VALUES (%s, repeat('too long ', 9))", (won,))
    assert ready("run", "--once").code == 0
    refused = ready("status")
    assert refused.code == 1
    assert "`replicator parked list --on erp --reason refused`" in refused.one_line("S003 1 record is parked: refused")
    assert ready("status", "--json").document["flows"][0]["parked"] == {"refused": 1, "waits": 1}


def test_a_slot_that_is_gone(ready: Site) -> None:
    ready.db("erp").execute("SELECT pg_drop_replication_slot('replicator_erp_to_crm')")
    result = ready("status")
    assert result.code == 1
    assert "may be missing on crm" in result.one_line(
        "erp_to_crm: S002 cannot go on: erp has no replication slot replicator_erp_to_crm"
    )


def test_a_node_away(ready: Site) -> None:
    ready.instead("erp", port="1")
    result = ready("status")
    assert result.code == 3
    assert result.lines("crm_to_erp", "inactive")
    assert result.lines("erp", "cannot connect to 127.0.0.1:1")
    document = ready("status", "--json")
    assert document.code == 3
    assert document.document["unreachable"][0]["code"] == "K050"


def test_what_waits_for_a_person(site: Site) -> None:
    prepare(site)
    assert not site("status").lines("waits for a person")
    waiting(site)
    result = site("status")
    assert result.code == 0
    assert result.one_line("1 conflict waits for a person: `replicator conflicts list --open`")
    flows = {flow["flow"]: flow for flow in site("status", "--json").document["flows"]}
    assert flows["erp_to_crm"]["conflicts"]["open"] == 1
    assert flows["crm_to_erp"]["conflicts"]["open"] == 0
