"""`replicator backfill`: what was there before `init` is copied, in order, under conditions; wrong words get one message."""

from __future__ import annotations

import pytest

from .conftest import Site

ACCOUNTS = """
INSERT INTO crm.account (name, city, stage) SELECT 'n' || i, 'c' || i, CASE i % 4 WHEN 0 THEN 'lost' ELSE 'won' END FROM generate_series(1, 40) i;
INSERT INTO crm.contact (account_id, name) SELECT id, 'of ' || name FROM crm.account WHERE stage = 'won';
"""
COUNTS = "SELECT (SELECT count(*) FROM erp.customer), (SELECT count(*) FROM erp.person)"


@pytest.fixture
def full(site: Site) -> Site:
    site.db("crm").execute(ACCOUNTS)
    assert site("init").code == 0
    return site


def test_every_link_in_the_order_of_references(full: Site) -> None:
    dry = full("backfill", "--from", "crm", "--dry-run")
    assert dry.code == 0, dry.err
    assert [line.split()[0] for line in dry.out.splitlines()[1:3]] == ["customer", "contact"]
    assert "40" in dry.one_line("customer", "crm to erp", "new")
    assert full.rows("erp", COUNTS) == [(0, 0)]
    assert full.rows("erp", "SELECT count(*) FROM replicator.backfill") == [(0,)]
    result = full("backfill", "--from", "crm")
    assert result.code == 0, result.err
    assert "no replicator is running" in result.err
    assert "30 created" in result.one_line("customer", "40 records", "done")
    assert "30 created" in result.one_line("contact", "30 records", "done")
    assert full.rows("erp", COUNTS) == [(30, 30)]
    # What the ERP made has come back, or comes with the next run.
    assert full("run", "--once").code == 0
    assert full.rows("crm", "SELECT count(*) FROM crm.account WHERE erp_no IS NOT NULL") == [(30,)]
    again = full("backfill", "customer", "--from", "crm", "--json")
    assert again.code == 0
    assert [(b["records"], b["created"], b["changed"], b["problem"]) for b in again.document["backfills"]] == [(40, 0, 0, None)]


def test_a_condition_and_what_is_parked(full: Site) -> None:
    full.db("crm").execute("UPDATE crm.contact SET name = repeat('x', 30) WHERE name = 'of n1'")
    assert full("run", "--once").code == 0
    assert full("backfill", "customer", "--from", "crm", "--where", "crm.name in ('n1', 'n2', 'n4')").code == 0
    assert full.rows("erp", "SELECT company FROM erp.customer ORDER BY 1") == [("n1",), ("n2",)]
    result = full("backfill", "contact", "--from", "crm")
    assert result.code == 1
    assert "parked" in result.one_line("contact", "done")
    assert full.rows("erp", "SELECT nm FROM erp.person") == [("of n2",)]


def test_asked_for_changed_and_given_up(full: Site) -> None:
    asked = full("backfill", "customer", "--from", "crm", "--no-wait", "--rate", "5")
    assert asked.code == 0, asked.err
    assert full.rows("erp", "SELECT link, rate, finished IS NULL FROM replicator.backfill") == [("customer", 5, True)]
    assert "waits for its turn" in full("backfill", "customer", "--from", "crm", "--dry-run").one_line("customer")
    # Said again, it is the same one, with another rate.
    assert full("backfill", "customer", "--from", "crm", "--no-wait").code == 0
    assert full.rows("erp", "SELECT link, rate FROM replicator.backfill") == [("customer", None)]
    given_up = full("backfill", "--from", "crm", "--cancel")
    assert given_up.code == 0
    assert given_up.one_line("given up: customer")
    assert full("backfill", "--from", "crm", "--cancel").one_line("nothing was under way")
    assert full.rows("erp", COUNTS) == [(0, 0)]
    # `run` carries what is asked for.
    assert full("backfill", "customer", "--from", "crm", "--no-wait").code == 0
    assert full("run", "--until-idle", "0.5").code == 0
    assert full.rows("erp", COUNTS) == [(30, 0)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "cmr"], "no node 'cmr'"),
        (["custmer", "--from", "crm"], "no link 'custmer'"),
        (["contact", "--from", "erp"], "link contact leads nothing from erp"),
        (["customer", "--from", "crm", "--where", "crm.nme = 'x'"], "no column nme"),
        (["customer", "--from", "crm", "--where", "crm.name = "], "--where:1:"),
        (["customer", "--from", "crm", "--where", "crm.id in (select id from crm.account)"], "--where:1:"),
        (["customer", "--from", "crm", "--where", "pg_sleep(1) is null"], "--where:1:1"),
        (["--from", "crm", "--where", "true"], "name that link alone"),
        (["--from", "crm", "--rate", "0"], "rate"),
        ([], "--from"),
    ],
)
def test_wrong_words(full: Site, arguments: list[str], words: str) -> None:
    result = full("backfill", *arguments)
    assert result.code == 2
    assert words in result.err
    assert full.rows("erp", "SELECT count(*) FROM replicator.backfill") == [(0,)]


def test_not_initialised(site: Site) -> None:
    result = site("backfill", "--from", "crm")
    assert result.code == 2
    assert "replicator init" in result.err
