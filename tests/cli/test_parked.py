"""`replicator parked`: a person finds what could not be written, understands it, mends it, tries it again or throws it away."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from replicator.runtime.parked import REASONS

from .conftest import Result, Site
from .history_site import daemon, insert, prepare, until

LONG = "Maximiliane Hohenlohe-Waldenburg"  # more than the 20 characters of erp.person.nm
PARKED = "SELECT link, key, reason, sqlstate, attempts FROM replicator.parked ORDER BY id"


def ids(result: Result) -> list[str]:
    return [one["id"] for one in result.document["parked"]]


def account(site: Site, name: str = "ACME", stage: str = "won") -> uuid.UUID:
    key = uuid.uuid4()
    site.db("crm").execute("INSERT INTO crm.account (id, name, stage) VALUES (%s, %s, %s)", (key, name, stage))
    return key


def contact(site: Site, owner: uuid.UUID, name: str = LONG) -> int:
    sql = "INSERT INTO crm.contact (account_id, name) VALUES (%s, %s) RETURNING id"
    row = site.db("crm").execute(sql, (owner, name)).fetchone()
    assert row is not None
    return int(row[0])


def once(site: Site) -> Result:
    result = site("run", "--once")
    assert result.code == 0, result.err
    return result


def names(site: Site) -> list[Any]:
    return [name for (name,) in site.rows("erp", "SELECT nm FROM erp.person ORDER BY 1")]


@pytest.fixture
def refused(ready: Site) -> tuple[Site, str, int]:
    """A contact whose name is too long for the ERP. Gives its id, and its key."""
    number = contact(ready, account(ready))
    once(ready)
    [found] = ids(ready("parked", "list", "--json"))
    return ready, found, number


# -- list and show -----------------------------------------------------------------------------------------------------


def test_nothing_is_parked(ready: Site) -> None:
    assert ready("parked", "list").out == "nothing is parked\n"
    assert ready("parked", "list", "--discarded").out == "nothing was discarded\n"
    assert ready("parked", "retry", "--all").one_line("nothing is parked that this concerns")
    assert ready("parked").code == 2


def test_list_is_newest_first_and_filtered(site: Site) -> None:
    prepare(site)
    given = {"payload": '{"op": "I"}', "message": "no"}
    rows = {
        "old": {"node": "erp", "flow": "crm_to_erp", "link": "customer", "key": ["a1"], "reason": "refused", "sqlstate": "23514", "since": "2026-01-01"},
        "line": {"node": "erp", "flow": "crm_to_erp", "link": "line", "key": ["d", "1"], "reason": "waits", "waits_link": "customer", "waits_key": "a1"},
        "back": {"node": "crm", "flow": "erp_to_crm", "link": "customer", "key": ["7"], "reason": "unknown value"},
    }  # fmt: skip
    found = {
        name: f"{node}:{insert(site, node, 'parked', **given | columns)}"
        for name, columns in rows.items()
        for node in [columns.pop("node")]
    }
    for options, expected in {
        (): {"old", "line", "back"},
        ("--link", "line"): {"line"},
        ("--on", "crm"): {"back"},
        ("--reason", "waits"): {"line"},
        ("--sqlstate", "23514"): {"old"},
        ("--sqlstate", "23"): {"old"},
        ("--sqlstate", "22"): set(),
        ("--key", "d,1"): {"line"},
        ("--since", "1d"): {"line", "back"},
    }.items():
        assert set(ids(site("parked", "list", "--json", *options))) == {found[name] for name in expected}, options
    assert ids(site("parked", "list", "--json"))[-1] == found["old"]
    few = site("parked", "list", "--limit", "2")
    assert "--limit 20 shows more" in few.out
    line = site("parked", "list", "--link", "customer").one_line(found["old"]).split()
    assert (line[3:7], line[-1]) == (["customer", "crm", "a1", "refused"], "1")
    assert "with customer a1" in site("parked", "list").one_line(found["line"])
    for options in (("--link", "none"), ("--on", "none"), ("--reason", "none"), ("--sqlstate", "1"), ("--since", "x")):
        assert site("parked", "list", *options).code == 2


def test_show_tells_all_there_is(refused: tuple[Site, str, int]) -> None:
    site, found, number = refused
    shown = site("parked", "show", found)
    assert shown.code == 0
    assert shown.one_line("record", f"contact: crm {number}, on its way from crm to erp (flow crm_to_erp)")
    assert "in the transaction that committed at 0/" in shown.one_line("change", "crm made the record, 20")
    assert shown.one_line("message", "value too long for type character varying(20)", "22001")
    assert shown.one_line("line  ", "links/contact.yaml:7:5")
    assert shown.one_line("- {crm: name, erp: nm}")
    assert shown.one_line(f"'{LONG}'")
    assert shown.one_line("to do", "make the target's column wider")
    assert shown.one_line(f"replicator parked retry {found} --set ")
    assert shown.one_line("no replicator is running")
    document = site("parked", "show", found, "--json").document
    assert {v["column"]: v["value"] for v in document["values"]}["name"] == LONG
    assert (document["op"], document["source"], document["node"]) == ("I", "crm", "erp")
    for wrong in ("17", "erp:x", "none:1", "erp:999"):
        assert site("parked", "show", wrong).code == 2


def test_what_waits_for_it_and_what_it_waits_for(ready: Site) -> None:
    ready.db("erp").execute("ALTER TABLE erp.customer ADD CONSTRAINT good CHECK (company <> 'bad')")
    owner = account(ready, "bad")
    numbers = [contact(ready, owner, "Ann") for _ in range(2)]
    once(ready)
    by_link: dict[str, list[str]] = {}
    for one in ready("parked", "list", "--json").document["parked"]:
        by_link.setdefault(one["link"], []).append(one["id"])
    [parent] = by_link["customer"]
    shown = ready("parked", "show", parent)
    assert shown.one_line("behind it", "2 wait for this record")
    assert len(shown.lines("contact")) == len(numbers)
    child = ready("parked", "show", by_link["contact"][0])
    assert child.one_line("waits for", f"customer {owner}, which is parked itself: {parent}")


# -- retry -------------------------------------------------------------------------------------------------------------


def test_retry_once_the_cause_is_mended(refused: tuple[Site, str, int]) -> None:
    site, found, number = refused
    dry = site("parked", "retry", found, "--dry-run")
    assert dry.one_line("1 change to be tried again; nothing was changed")
    once(site)
    assert site.rows("erp", PARKED) == [("contact", [str(number)], "refused", "22001", 1)]
    assert site("parked", "retry", "--sqlstate", "22001").code == 0
    once(site)
    assert site.rows("erp", PARKED) == [("contact", [str(number)], "refused", "22001", 2)]
    site.db("erp").execute("ALTER TABLE erp.person ALTER nm TYPE varchar(40)")
    assert site("parked", "retry", found, "--json").document["gone_meanwhile"] == []
    once(site)
    assert (site.rows("erp", PARKED), names(site)) == ([], [LONG])


def test_retry_with_another_value(refused: tuple[Site, str, int]) -> None:
    site, found, number = refused
    still = "Maximiliane Hohenlohe-W."
    asked = site("parked", "retry", found, "--set", f"name={still}")
    assert asked.one_line("crm keeps its own value: `replicator reconcile` will show the difference")
    log = once(site).err
    assert f"parked change {found.split(':')[1]} of contact is tried with " in log
    assert "Maximiliane" not in log
    shown = site("parked", "show", found)
    assert shown.one_line("edited", f"name '{LONG}' -> '{still}'")
    assert site("parked", "retry", found, "--set", "name=Max").code == 0
    once(site)
    assert (site.rows("erp", PARKED), names(site)) == ([], ["Max"])
    assert site.rows("crm", "SELECT name FROM crm.contact") == [(LONG,)]
    assert len(site.rows("erp", "SELECT FROM replicator.parked_edit WHERE by <> '' AND column_name = 'name'")) == 2
    assert site("parked", "list").out == "nothing is parked\n"
    site.db("crm").execute("UPDATE crm.contact SET name = 'Maxi' WHERE id = %s", (number,))
    once(site)
    assert names(site) == ["Maxi"]


def test_null_and_empty(refused: tuple[Site, str, int]) -> None:
    site, found, _ = refused
    other = contact(site, account(site), LONG + "!")
    once(site)
    [second] = ids(site("parked", "list", "--json", "--key", str(other)))
    assert site("parked", "retry", found, "--null", "name").code == 0
    assert site("parked", "retry", second, "--set", "name=").code == 0
    once(site)
    assert names(site) == ["", None]


def test_an_edit_gives_way_to_a_later_change_of_the_source(refused: tuple[Site, str, int]) -> None:
    site, found, number = refused
    assert site("parked", "retry", found, "--set", "name=Max").code == 0
    site.db("crm").execute("UPDATE crm.contact SET name = 'Maximiliane' WHERE id = %s", (number,))
    once(site)
    assert (site.rows("erp", PARKED), names(site)) == ([], ["Maximiliane"])


def test_an_edit_of_an_update_both_sides_may_write(ready: Site) -> None:
    ready.db("erp").execute("ALTER TABLE erp.customer ALTER town TYPE varchar(10)")
    key = account(ready)
    once(ready)
    ready.db("crm").execute("UPDATE crm.account SET city = 'Waidhofen an der Ybbs' WHERE id = %s", (key,))
    once(ready)
    [found] = ids(ready("parked", "list", "--json"))
    refused = ready("parked", "retry", found, "--set", "note=x")
    assert (refused.code, "it has not changed" in refused.err) == (2, True)
    assert "has not changed, not sent" in ready("parked", "show", found).one_line("note ")
    assert ready("parked", "retry", found, "--set", "city=Waidhofen").code == 0
    once(ready)
    assert ready.rows("erp", "SELECT town FROM erp.customer") == [("Waidhofen",)]
    assert ready.rows("crm", "SELECT city FROM crm.account") == [("Waidhofen an der Ybbs",)]
    assert ready.rows("erp", PARKED) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "nm=x"), "has no column 'nm' of crm"),
        (("--set", "id=1"), "id is the key of the record"),
        (("--set", "account_id=x"), "is not a value of type uuid"),
        (("--set", "name"), "COLUMN=VALUE"),
    ],
)
def test_what_cannot_be_edited(refused: tuple[Site, str, int], options: tuple[str, ...], said: str) -> None:
    site, found, _ = refused
    result = site("parked", "retry", found, *options)
    assert (result.code, said in result.err) == (2, True), result.err
    assert site.rows("erp", "SELECT retry FROM replicator.parked") == [(False,)]
    assert site.rows("erp", "SELECT FROM replicator.parked_edit") == []


def test_edits_are_of_one_change(refused: tuple[Site, str, int]) -> None:
    site, found, _ = refused
    assert site("parked", "retry", "--all", "--set", "name=x").code == 2
    assert site("parked", "retry").code == 2
    assert site("parked", "retry", found, "--all").code == 2


# -- discard -----------------------------------------------------------------------------------------------------------


def test_discard_wants_a_yes_and_leaves_a_trace(refused: tuple[Site, str, int]) -> None:
    site, found, number = refused
    assert site("parked", "discard", found).code == 2
    assert site("parked", "discard", found, "--dry-run").one_line(found, f"contact crm {number}: erp does not get the record")
    assert site.rows("erp", "SELECT discard_by FROM replicator.parked") == [(None,)]
    assert site("parked", "discard", found, "--yes").one_line("1 change to be thrown away")
    assert "wants it gone" in site("parked", "list").one_line(found)
    log = once(site).err
    assert "discarded 1 parked changes of contact" in log
    assert (site.rows("erp", PARKED), names(site)) == ([], [])
    assert site("parked", "list", "--discarded").one_line(found, "contact", f"crm {number}", "refused 22001")
    assert site.rows("erp", "SELECT payload -> 'values' ->> 'name' FROM replicator.discarded") == [(LONG,)]
    assert site("parked", "show", found).code == 2
    assert site("reconcile", "contact").code == 1
    site.db("crm").execute("UPDATE crm.contact SET name = 'Max' WHERE id = %s", (number,))
    once(site)
    assert names(site) == ["Max"]


def test_a_terminal_is_asked(refused: tuple[Site, str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    site, found, _ = refused
    said = {"answer": "n\n"}
    person = type("Terminal", (), {"isatty": lambda self: True, "readline": lambda self: said["answer"]})()
    monkeypatch.setattr("sys.stdin", person)
    assert site("parked", "discard", found).code == 1
    assert site.rows("erp", "SELECT discard_by IS NULL FROM replicator.parked") == [(True,)]
    said["answer"] = "y\n"
    assert site("parked", "discard", found).code == 0
    assert site.rows("erp", "SELECT discard_by IS NULL FROM replicator.parked") == [(False,)]


def test_discard_beside_a_running_replicator(ready: Site) -> None:
    """What the replicator remembers goes with it: a later change of the record does not look for it."""
    ready.db("erp").execute("ALTER TABLE erp.customer ADD CONSTRAINT good CHECK (company <> 'bad')")
    with daemon(ready):
        owner = account(ready, "bad")
        number = contact(ready, owner, "Ann")
        until(lambda: len(ready.rows("erp", PARKED)) == 2)
        [parent] = ids(ready("parked", "list", "--json", "--link", "customer"))
        said = ready("parked", "discard", parent, "--yes")
        assert said.one_line(parent, "1 that wait for it are tried again")
        assert said.one_line("a replicator is running: it carries this out within seconds")
        until(lambda: ready.rows("erp", PARKED) == [("contact", [str(number)], "waits", None, 2)])
        ready.db("crm").execute("UPDATE crm.account SET name = 'good' WHERE id = %s", (owner,))
        until(lambda: names(ready) == ["Ann"])
        assert ready.rows("erp", PARKED) == []


def test_a_truncate_is_told_and_taken_away(ready: Site) -> None:
    contact(ready, account(ready), "Ann")
    once(ready)
    ready.db("crm").execute("TRUNCATE crm.contact")
    once(ready)
    assert names(ready) == ["Ann"]
    [found] = ids(ready("parked", "list", "--json", "--reason", "truncated"))
    shown = ready("parked", "show", found)
    assert shown.one_line("message", "crm.contact was truncated on crm: this is never applied")
    assert shown.one_line("change", "there is no change in it")
    assert shown.one_line("to do", "delete the other side's records if that was meant, then discard this")
    assert len(shown.lines("replicator parked retry")) == 0
    assert ready("parked", "retry", found).one_line("nothing to try in", found)
    assert ready("parked", "discard", found, "--yes").one_line(found, "the notice is gone, nothing else changes")
    once(ready)
    assert ready("parked", "list").out == "nothing is parked\n"


# -- beyond commands ---------------------------------------------------------------------------------------------------


def test_a_flow_that_would_park_too_much_stands_still(ready: Site) -> None:
    ready.db("erp").execute("ALTER TABLE erp.customer ADD CONSTRAINT good CHECK (company <> 'bad')")
    insert_many = "INSERT INTO crm.account (name) SELECT 'bad' FROM generate_series(1, 100)"
    ready.db("crm").execute(insert_many)
    result = ready("run", "--once")
    assert result.code == 3
    assert "more than 50 % would be parked" in result.err
    status = ready("status")
    assert status.code == 1
    assert status.one_line("crm_to_erp: S005 crm_to_erp stands still", "mend the cause")
    ready.db("erp").execute("ALTER TABLE erp.customer DROP CONSTRAINT good")
    once(ready)
    assert ready("status").code == 0
    assert ready.rows("erp", "SELECT count(*) FROM erp.customer") == [(100,)]


def test_every_reason_has_a_name() -> None:
    assert set(REASONS) >= {
        "refused",
        "locked",
        "broken link",
        "waits",
        "later",
        "unknown value",
        "ambiguous",
        "flips",
        "truncated",
    }


def test_a_target_that_takes_no_writes_for_a_while(ready: Site) -> None:
    """As after a failover to a standby: the run goes on, and so does the flow when the server does."""
    read_only = "ALTER DATABASE erp SET default_transaction_read_only = {}"
    out = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = 'erp' AND pid <> pg_backend_pid() AND application_name LIKE 'replicator writes%'"
    )
    with daemon(ready) as process:
        ready.db("erp").execute(read_only.format("on"))  # type: ignore[call-overload]
        ready.db("erp").execute(out)
        account(ready, "waits")
        assert process.poll() is None
        ready.db("erp").execute("SET default_transaction_read_only = off")
        ready.db("erp").execute(read_only.format("off"))  # type: ignore[call-overload]
        until(lambda: ready.rows("erp", "SELECT company FROM erp.customer") == [("waits",)])
