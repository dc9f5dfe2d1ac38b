"""A table changes under a running replicator: what a person sees of it, and what it takes to go on. And links that people pause."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import CUSTOMER, Site
from .history_site import daemon, until
from .serving import scrape, served

NAMES = "SELECT company FROM erp.customer ORDER BY 1"
RENAMED = CUSTOMER.replace("{crm: name, erp: company}", "{crm: title, erp: company, name: name}")


def account(site: Site, column: str = "name", name: str = "ACME") -> None:
    site.db("crm").execute(f"INSERT INTO crm.account ({column}) VALUES (%s)", (name,))  # type: ignore[call-overload]


def names(site: Site) -> list[Any]:
    return [name for (name,) in site.rows("erp", NAMES)]


def paused(site: Site) -> dict[str, Any]:
    """flow -> the pause of the customer, as `status --json` tells it."""
    flows = site("status", "--json").document["flows"]
    return {flow["flow"]: one for flow in flows for one in flow["paused"] if one["link"] == "customer"}


def test_from_a_renamed_column_to_the_last_kept_change(ready: Site) -> None:
    """Told of in the log and in `status`, refused by `resume` with the line, mended in the file, gone on with."""
    with daemon(ready):
        account(ready)
        until(lambda: names(ready) == ["ACME"])
        ready.db("crm").execute("ALTER TABLE crm.account RENAME name TO title")
        account(ready, "title", "Beta")
        until(lambda: len(paused(ready)) == 2)
        told = paused(ready)["crm_to_erp"]
        assert (told["node"], told["table"], told["column"], told["by"]) == ("crm", "crm.account", "name", "schema")
        assert told["place"] == "links/customer.yaml:6:5"
        result = ready("status")
        assert result.code == 1
        line = result.one_line(
            "crm_to_erp: S008 link customer is paused: links/customer.yaml:6:5: crm: crm.account has no column name"
        )
        assert "it is called title now" in line
        until(lambda: paused(ready)["crm_to_erp"]["kept"] == 1)
        ready.db("crm").execute("UPDATE crm.account SET title = 'ACME AG' WHERE title = 'ACME'")
        until(lambda: paused(ready)["crm_to_erp"]["kept"] == 2)
        assert names(ready) == ["ACME"]
        result = ready("resume", "customer")
        assert result.code == 2
        assert result.one_line("links/customer.yaml:6:5: L502 crm: crm.account has no column name")
        ready.link("customer", RENAMED)
        assert ready("lint").code == 0
        result = ready("resume", "customer")
        assert (result.code, len(paused(ready))) == (2, 2)
        assert result.one_line("its file has changed since the replicator that runs was started")
        assert result.one_line("stop `replicator run`, `replicator resume customer`, and start it again")
    assert ready("resume", "customer").one_line("customer goes on: ")
    assert paused(ready) == {}
    with daemon(ready):
        until(lambda: names(ready) == ["ACME AG", "Beta"])
        account(ready, "title", "Gamma")
        until(lambda: names(ready) == ["ACME AG", "Beta", "Gamma"])
    assert ready("parked", "list").out == "nothing is parked\n"
    assert ready("resume", "customer").one_line("customer is not paused")


def test_the_table_is_mended_and_not_the_file(ready: Site) -> None:
    """Then a running replicator goes on without a restart."""
    with daemon(ready):
        ready.db("erp").execute("ALTER TABLE erp.customer DROP town")
        account(ready)
        until(lambda: len(paused(ready)) == 2)
        assert paused(ready)["crm_to_erp"]["column"] == "town"
        until(lambda: paused(ready)["crm_to_erp"]["kept"] == 1)
        ready.db("erp").execute("ALTER TABLE erp.customer ADD town text")
        result = ready("resume", "customer", "--dry-run")
        assert result.one_line("customer may go on: 1 parked change of it")
        assert len(paused(ready)) == 2
        assert ready("resume", "customer").one_line("customer goes on: 1 parked change of it")
        until(lambda: names(ready) == ["ACME"])


def test_a_field_with_another_name_needs_a_plan(ready: Site) -> None:
    """The field is called as its first column is. What was kept of it is not lost when the masks are written anew."""
    account(ready)
    assert ready("run", "--once").code == 0
    ready.db("crm").execute("ALTER TABLE crm.account RENAME name TO title")
    ready.db("crm").execute("UPDATE crm.account SET title = 'ACME AG', note = 'later'")
    assert ready("run", "--once").code == 0
    assert (names(ready), len(paused(ready))) == (["ACME"], 2)
    ready.link("customer", CUSTOMER.replace("{crm: name, erp: company}", "{crm: title, erp: company}"))
    result = ready("resume", "customer")
    assert result.code == 2
    assert result.one_line("link customer has other fields (title is new, name is gone)")
    assert "replicator plan --apply" in result.err
    result = ready("plan", "--apply")
    assert result.code == 0, result.err
    assert ready("resume", "customer").code == 0
    assert ready("run", "--once").code == 0
    assert ready.rows("erp", "SELECT company, note FROM erp.customer") == [("ACME AG", "later")]
    assert ready("reconcile").code == 0


@pytest.mark.parametrize("planned", [False, True], ids=["", "planned"])
def test_a_table_with_another_name_keeps_its_pairs(ready: Site, planned: bool) -> None:
    """The file may say the new name: the records are still the same, whether `plan` or `resume` is asked first."""
    account(ready)
    assert ready("run", "--once").code == 0
    with daemon(ready):
        ready.db("crm").execute("ALTER TABLE crm.account RENAME TO company")
        ready.db("crm").execute("UPDATE crm.company SET name = 'ACME AG'")
        ready.db("crm").execute("INSERT INTO crm.company (name) VALUES ('Beta')")
        until(lambda: len(paused(ready)) == 2 and paused(ready)["crm_to_erp"]["kept"] == 2)
        told = paused(ready)["crm_to_erp"]
        assert (told["reason"], told["place"]) == ("crm has no table crm.account", "links/customer.yaml:2:1")
        assert told["hint"].startswith("it is called crm.company now")
    ready.link("customer", CUSTOMER.replace("crm.account", "crm.company"))
    if planned:
        result = ready("plan")
        assert "paired anew" not in result.out
        assert ready("plan", "--apply").code == 0
    assert ready("resume", "customer").code == 0
    assert ready("run", "--once").code == 0
    assert names(ready) == ["ACME AG", "Beta"]
    assert ready("reconcile").code == 0


def test_it_changed_while_no_replicator_ran(ready: Site) -> None:
    """The link is paused at the start, with one message, and the others run."""
    account(ready)
    assert ready("run", "--once").code == 0
    ready.db("crm").execute("INSERT INTO crm.contact (account_id, name) SELECT id, 'Eva' FROM crm.account")
    ready.db("crm").execute("ALTER TABLE crm.account DROP note")
    account(ready, name="Beta")
    result = ready("run", "--once")
    assert result.code == 0, result.err
    assert result.one_line("crm_to_erp: link customer is paused", "links/customer.yaml:8:5", "crm.account has no column note")
    assert ready.rows("erp", "SELECT nm FROM erp.person") == [("Eva",)]
    assert names(ready) == ["ACME"]
    assert paused(ready)["crm_to_erp"]["kept"] == 1
    assert ready("run", "--once").code == 0  # and once more
    assert paused(ready)["crm_to_erp"]["kept"] == 1


def test_a_file_that_is_wrong_does_not_run(ready: Site) -> None:
    """What somebody has just written is told, not paused."""
    ready.link("customer", CUSTOMER.replace("crm: city", "crm: town"))
    result = ready("run", "--once")
    assert result.code == 2
    assert result.one_line("links/customer.yaml:7:5: L502 crm: crm.account has no column town")
    assert paused(ready) == {}


COMMANDS = [["init"], ["plan"], ["backfill", "--from", "crm"], ["explain", "customer", "1", "--on", "erp"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_commands_say_which_column_is_missing(ready: Site, command: list[str]) -> None:
    ready.db("crm").execute("ALTER TABLE crm.account DROP note")
    result = ready(*command)
    assert result.code in (1, 2), result.err
    assert result.one_line("links/customer.yaml:8:5: L502 crm: crm.account has no column note")
    assert "bug" not in result.err


def test_reconcile_compares_the_others(ready: Site) -> None:
    ready.db("crm").execute("ALTER TABLE crm.account DROP note")
    result = ready("reconcile")
    assert result.code == 3
    assert result.one_line("not compared: links/customer.yaml:8:5: crm: crm.account has no column note")
    assert result.one_line("contact, crm and erp: all of 0 records compared")
    found = {one["link"]: one["problem"] for one in ready("reconcile", "--json").document["links"]}
    assert (found["contact"], bool(found["customer"])) == (None, True)


def test_paused_by_a_person(ready: Site) -> None:
    with daemon(ready):
        result = ready("pause", "customer")
        assert result.code == 0
        assert result.one_line("customer is paused: `replicator resume customer` lets it go on")
        assert ready("pause", "customer").one_line("customer is paused already")
        told = paused(ready)["crm_to_erp"]
        assert told["by"] != "schema"
        until(lambda: (account(ready), paused(ready)["crm_to_erp"]["kept"] > 0)[1])
        number = len(names(ready))  # of those that were quicker than the pause
        kept = paused(ready)["crm_to_erp"]["kept"]
        ready.db("crm").execute("INSERT INTO crm.contact (account_id, name) SELECT id, 'Eva' FROM crm.account LIMIT 1")
        assert ready("pause", "contact", "--dry-run").one_line("contact would be paused")
        result = ready("resume", "customer", "--json")
        assert result.document["resumed"] == [{"link": "customer", "kept": kept, "copied": []}]
        until(lambda: len(names(ready)) == number + kept)
        until(lambda: ready.rows("erp", "SELECT nm FROM erp.person") == [("Eva",)])
    assert ready("pause", "custmer").code == ready("resume", "custmer").code == 2
    assert ready("pause", "customer", "--node", "shop").code == 2


def test_metrics_tell_of_it(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(ready, monkeypatch) as port:
        until(lambda: scrape(port).get(("link_paused", "crm_to_erp", "contact")) == 0.0)
        ready("pause", "contact")
        until(lambda: scrape(port)["link_paused", "crm_to_erp", "contact"] == 1.0)
        assert scrape(port)["link_paused", "crm_to_erp", "customer"] == 0.0


@pytest.mark.parametrize("command", [["backfill", "--from", "crm"], ["reconcile", "--repair"]], ids=lambda c: c[0])
def test_nobody_waits_for_a_link_that_is_paused(ready: Site, command: list[str]) -> None:
    account(ready)
    ready("pause", "customer")
    result = ready(*command)
    assert result.code == 2
    assert result.one_line("link customer is paused")
    assert result.one_line("`replicator resume customer` first")
