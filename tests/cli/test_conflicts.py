"""`replicator conflicts`: a person finds what clashed, understands it, and settles what waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from replicator_cli.looking import moment

from replicator.errors import ConfigurationError

from .conftest import Result, Site
from .history_site import DAY, conflict, daemon, linked, made, prepare, until, waiting

LOG = "SELECT wanted, wanted_value, wanted_by, status FROM replicator.conflict WHERE id = %s"


@pytest.fixture
def log(site: Site) -> Site:
    return prepare(site)


def ids(result: Result) -> list[str]:
    return [one["id"] for one in result.document["conflicts"]]


def entry(site: Site, identity: str) -> tuple[Any, ...]:
    node, _, number = identity.partition(":")
    return site.db(node).execute(LOG, (number,)).fetchall()[0]


# -- list --------------------------------------------------------------------------------------------------------------


def test_nothing_to_list(log: Site) -> None:
    assert log("conflicts", "list").out == "no conflicts\n"
    assert log("conflicts", "list", "--open").out == "nothing waits\n"
    assert log("conflicts", "list", "--json").document == {"conflicts": [], "more": False, "unreachable": []}


def test_list_is_newest_first_and_filtered(log: Site) -> None:
    now = datetime.now(UTC)
    old = conflict(log, "erp", at=now - timedelta(days=40))
    lately = conflict(log, "crm", at=now - timedelta(hours=2), field="note", winner="erp", rule="owner erp")
    keys = {"source_key": "d,1", "target_key": "d,1"}
    other = conflict(log, "erp", at=now - timedelta(days=9), link="line", field=None, kind="update_deleted", **keys)
    waits = waiting(log, at=now)
    result = log("conflicts", "list")
    assert result.code == 0
    assert ids(log("conflicts", "list", "--json")) == [waits, lately, other, old]
    line = result.one_line(lately)
    assert "crm a1 = erp 1" in line
    assert line.endswith("erp won (owner erp)")
    assert result.one_line(waits).endswith("waits")
    for options, expected in {
        ("--open",): {waits},
        ("--field", "note"): {lately},
        ("--link", "line"): {other},
        ("--kind", "update_deleted"): {other},
        ("--key", "d,1"): {other},
        ("--key", "a1"): {old, lately, waits},
        ("--key", "1", "--since", "3h"): {lately, waits},
        ("--since", "3h"): {lately, waits},
    }.items():
        assert set(ids(log("conflicts", "list", "--json", *options))) == expected, options
    few = log("conflicts", "list", "--limit", "2", "--json").document
    assert few["more"] is True
    assert [one["id"] for one in few["conflicts"]] == [waits, lately]
    assert "--limit 20 shows more" in log("conflicts", "list", "--limit", "2").out


def test_logged_by_both_nodes_and_shown_once(log: Site) -> None:
    one = conflict(log, "crm", incoming_lsn="0/22")
    two = conflict(
        log, "erp", incoming="from crm", existing="from erp", winner="erp", incoming_lsn="0/11",
        incoming_stamp=made("crm"), existing_stamp=made("erp", 1), at=DAY + timedelta(seconds=5),
    )  # fmt: skip
    [shown] = log("conflicts", "list", "--json").document["conflicts"]
    assert {shown["id"], *shown["also"]} == {one, two}
    edits = {edit["node"]: edit for edit in (shown["incoming"], shown["existing"])}
    assert (edits["erp"]["position"], edits["crm"]["position"]) == ("0/22", "0/11")
    assert shown["winner"] == "erp"
    for identity in (one, two):
        text = log("conflicts", "show", identity)
        assert text.one_line("conflict ", "also logged as")
        assert "in the transaction that committed at 0/11" in text.one_line("crm   ", "'from crm'")
    assert len(ids(log("conflicts", "list", "--limit", "1", "--json"))) == 1


def test_logged_by_both_where_one_does_not_know_the_others_key(log: Site) -> None:
    """Edits that are put right on their own node are logged there without the other side's key."""
    whole = conflict(log, "crm")
    conflict(log, "erp", incoming_stamp=made("crm"), existing_stamp=made("erp", 1), source_key=None)
    assert ids(log("conflicts", "list", "--json")) == [whole]


def test_alike_but_not_the_same(log: Site) -> None:
    """Two transactions may clash over many records; and of an edit of unknown time nothing can be told."""
    conflict(log, "crm")
    conflict(log, "erp", incoming_stamp=made("crm"), existing_stamp=made("erp", 1), source_key="a2", target_key="2")
    conflict(log, "crm", existing_stamp=None, rule="owner crm", winner="crm")
    conflict(log, "erp", incoming_stamp=made("erp", 1), existing_stamp=None, rule="owner erp", winner="erp")
    assert len(ids(log("conflicts", "list", "--json"))) == 4


def test_wrong_filters(log: Site) -> None:
    for options, said in {
        ("--link", "custmer"): "did you mean 'customer'?",
        ("--link", "customer", "--field", "qty"): "link customer has no field 'qty'",
        ("--field", "zipcode"): "no link has a field 'zipcode'",
        ("--kind", "update_exist"): "did you mean 'update_exists'",
        ("--since", "soon"): "'soon' is not a time",
    }.items():
        result = log("conflicts", "list", *options)
        assert result.code == 2
        assert said in result.err


def test_a_node_away(log: Site) -> None:
    here = conflict(log, "crm")
    conflict(log, "erp", field="note")
    log.instead("erp", port="1")
    result = log("conflicts", "list", "--json")
    assert result.code == 3
    assert [one["id"] for one in result.document["conflicts"]] == [here]
    assert result.document["unreachable"][0]["code"] == "K050"
    shown = log("conflicts", "show", here)
    assert shown.code == 0
    assert "erp could not be looked at" in shown.one_line("now ")
    assert log("conflicts", "resolve", here, "--take", "crm").code == 3


def test_before_init(site: Site) -> None:
    result = site("conflicts", "list")
    assert result.code == 2
    assert "replicator init" in result.err


# -- show --------------------------------------------------------------------------------------------------------------


def test_show_latest(log: Site) -> None:
    key = str(linked(log))
    result = log("conflicts", "show", conflict(log, "crm", source_key="1", target_key=key, base="ACME"))
    assert result.code == 0
    assert result.one_line("both sides changed name, neither knowing of the other's change (update_origin_differs)")
    assert result.one_line("field ", "name: crm.account.name on crm, erp.customer.company on erp")
    erp = result.one_line("erp  ", "'from erp'")
    assert "2026-11-20 10:00:01.000 UTC, in the transaction that committed at 0/1A2B3C" in erp
    assert "2026-11-20 10:00:00.000 UTC" in result.one_line("crm  ", "'from crm'")
    assert result.one_line("erp had 'ACME' before")
    assert "erp's was made 1,000.000 ms after the other" in result.one_line("decided ", "erp won")
    assert result.one_line("rule ", "latest", "links/customer.yaml:5:5")
    assert result.one_line("the line: - {crm: name, erp: company}")
    now = result.one_line("now ")
    assert "crm has 'ACME', erp has 'ACME'; it was changed since" in now


def test_show_owner_merge_and_records(log: Site) -> None:
    owner = log("conflicts", "show", conflict(log, "erp", field="note", winner="erp", rule="owner erp", existing_stamp=None))
    assert owner.one_line("what ", "crm changed note, which is erp's to decide")
    assert owner.one_line("decided ", "erp won: it owns the field")
    assert "at a time the log does not tell" in owner.one_line("erp  ", "'from erp'")
    merge = log(
        "conflicts", "show",
        conflict(log, "crm", field="score", incoming="7", existing="9", written="9", winner="both", rule="merge"),
    )  # fmt: skip
    assert merge.one_line("decided ", "both count: the rule makes one value of the two, '9'")
    gone = {"field": None, "incoming": None, "existing": None, "existing_stamp": None}
    deleted = log("conflicts", "show", conflict(log, "erp", kind="update_deleted", winner="erp", rule="delete wins", **gone))
    assert deleted.one_line("what ", "crm changed a record that erp had deleted, not knowing of it")
    assert deleted.one_line("decided ", "erp won: a delete stands")
    assert "erp has no such record" in deleted.one_line("now ")
    kept = log("conflicts", "show", conflict(log, "erp", kind="delete_origin_differs", winner="erp", rule="update wins", **gone))
    assert kept.one_line("decided ", "erp won: a change brings the record back")
    breaker = conflict(log, "erp", winner=None, rule="breaker", existing_stamp=None)
    assert log("conflicts", "show", breaker).one_line("nobody won: each side keeps changing what the other writes")
    assert log("conflicts", "list").one_line(breaker).endswith("stopped: each side keeps changing it")
    both = conflict(log, "erp", kind="delete_missing", winner="crm", rule="delete wins", **gone)
    assert log("conflicts", "show", both).one_line("both sides agree that it is gone")


def test_show_what_waits(log: Site) -> None:
    key = str(linked(log))
    identity = waiting(log, source_key="1", target_key=key)
    result = log("conflicts", "show", identity)
    assert result.one_line("decided ", "not yet: the rule leaves it to a person")
    assert "crm has 'Graz', erp has 'Linz'" in result.one_line("now ")
    assert result.one_line(f"replicator conflicts resolve {identity} --take erp", "'Linz' on both sides")
    assert result.one_line(f"replicator conflicts resolve {identity} --take crm", "'Graz' on both sides")
    assert result.one_line(f"replicator conflicts resolve {identity} --value '...'", "another value, as crm writes it")
    assert result.one_line("no replicator is running: it carries this out when `replicator run` is started")
    (log.folder / "replicator.yaml").rename(log.folder / "other.yaml")
    named = log("--config", "other.yaml", "conflicts", "show", identity)
    assert named.one_line(f"replicator --config other.yaml conflicts resolve {identity} --take erp")
    document = log("conflicts", "show", identity, "--json", "-c", "other.yaml").document
    assert document["now"]["erp"] == {"known": True, "present": True, "value": "Linz"}
    assert len(document["commands"]) == 3
    (log.folder / "other.yaml").rename(log.folder / "replicator.yaml")


def test_show_values_that_are_hard_to_show(log: Site) -> None:
    identity = conflict(log, "crm", incoming="two\nlines\x1b[31m", existing=None)
    result = log("conflicts", "show", identity)
    assert result.one_line("'two\\nlines\\x1b[31m'")
    assert result.one_line("crm  ", "NULL, ")


def test_show_of_a_composite_key(log: Site) -> None:
    log.db("crm").execute("INSERT INTO crm.line VALUES ('d', 1, 5)")
    identity = conflict(log, "crm", link="line", field="qty", source_key="d,1", target_key="d,1", incoming="5", existing="4")
    assert "crm has '5', erp has no such record" in log("conflicts", "show", identity).one_line("now ")


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ("17", "'17' is not the id of a conflict"),
        ("shop:1", "there is no node 'shop'"),
        ("crm:999", "there is no conflict crm:999"),
    ],
)
def test_no_such_id(log: Site, identity: str, said: str) -> None:
    for command in (["show", identity], ["resolve", identity, "--take", "crm"]):
        result = log("conflicts", *command)
        assert result.code == 2
        assert said in result.err


def test_of_a_link_that_is_gone(log: Site) -> None:
    identity = waiting(log, link="shipment")
    shown = log("conflicts", "show", identity)
    assert shown.code == 0
    assert "crm could not be looked at" in shown.one_line("now ")
    refused = log("conflicts", "resolve", identity, "--take", "crm")
    assert refused.code == 2
    assert "not in the configuration any more" in refused.err


# -- resolve -----------------------------------------------------------------------------------------------------------


def test_resolve_marks_what_is_wanted(log: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    one, two = waiting(log), waiting(log, source_key="2", target_key="a2")
    planned = log("conflicts", "resolve", one, "--take", "erp", "--dry-run")
    assert planned.code == 0
    assert planned.one_line(one, "customer.city of crm a1 = erp 1: 'Linz' will stand; erp had 'Linz', crm had 'Graz'")
    assert planned.one_line("1 conflict; nothing was changed")
    assert entry(log, one) == (None, None, None, "open")
    done = log("conflicts", "resolve", one, "--take", "erp")
    assert done.code == 0
    assert done.one_line("1 conflict to be settled; no replicator is running")
    assert entry(log, one) == ("erp", None, "ann", "open")
    assert entry(log, two) == (None, None, None, "open")
    assert log("conflicts", "list").one_line(one).endswith("waits, ann asked for erp's value")
    again = log("conflicts", "resolve", one, "--value", "Steyr")
    assert again.one_line("'Steyr' will stand (instead of what ann asked for)")
    assert entry(log, one) == ("value", "Steyr", "ann", "open")
    assert log("conflicts", "show", one).one_line("ann asked for another value 'Steyr'")


def test_resolve_many(log: Site) -> None:
    cities = [waiting(log, source_key=str(n), target_key=f"a{n}") for n in range(3)]
    stage = waiting(log, field="stage", incoming="lead", existing="won")
    planned = log(
        "conflicts", "resolve", "--link", "customer", "--field", "city", "--take", "crm", "--dry-run", "--json"
    ).document
    assert planned["dry_run"] is True
    assert {one["id"]: one["stands"] for one in planned["settling"]} == dict.fromkeys(cities, "Graz")
    done = log("conflicts", "resolve", "--field", "city", "--take", "crm", "--yes")
    assert done.one_line("3 conflicts to be settled")
    assert [entry(log, one)[0] for one in (*cities, stage)] == ["crm", "crm", "crm", None]
    assert log("conflicts", "resolve", "--all", "--take", "erp").code == 0
    assert entry(log, stage)[0] == "erp"
    nothing = log("conflicts", "resolve", "--key", "nobody", "--take", "erp")
    assert nothing.code == 0
    assert nothing.out == "nothing waits that this would settle\n"


def test_a_person_is_asked(log: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = waiting(log), waiting(log, source_key="2", target_key="a2")
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True, "readline": lambda self: "n\n"})())
    result = log("conflicts", "resolve", "--all", "--take", "erp")
    assert result.code == 1
    assert "Settle these 2 conflicts?" in result.err
    assert [entry(log, identity)[0] for identity in (one, two)] == [None, None]
    assert log("conflicts", "resolve", one, "--take", "erp").code == 0


def test_resolve_refuses_nonsense(log: Site) -> None:
    waits, decided = waiting(log), conflict(log, "crm", at=DAY + timedelta(1))
    stage = waiting(log, field="stage", incoming="lead", existing="won")
    settled = waiting(log, source_key="9", status="resolved", winner="crm", settled_by="ann", settled=DAY)
    for arguments, said in {
        (waits,): "either --take NODE or --value VALUE",
        (waits, "--take", "crm", "--value", "x"): "either --take NODE or --value VALUE",
        (waits, "--take", "shop"): "there is no node 'shop'",
        (waits, decided, "--take", "crm"): f"not waiting: {decided} (decided by rule latest)",
        (settled, "--take", "crm"): f"not waiting: {settled} (settled by ann)",
        ("--take", "crm"): "say which: ids, or",
        (waits, "--all", "--take", "crm"): "say which in one way",
        (waits, stage, "--value", "won"): "one --value for different fields: customer.city, customer.stage",
        (stage, "--value", "secret"): "--value has no counterpart on erp",
        ("--all", "--field", "town", "--take", "crm"): "no link has a field 'town'",
    }.items():
        result = log("conflicts", "resolve", *arguments)
        assert result.code == 2, arguments
        assert said in result.err, result.err
        assert "secret" not in result.err
        assert entry(log, waits) == (None, None, None, "open")
    assert log("conflicts", "resolve", stage, "--value", "won", "--dry-run").code == 0


def test_a_value_that_does_not_fit_the_column(log: Site) -> None:
    score = waiting(log, field="score", incoming="1", existing="2")
    result = log("conflicts", "resolve", score, "--value", "secret")
    assert result.code == 2
    assert "--value is not a value of type integer" in result.err
    assert "write it as crm has it, in crm.account.score" in result.err
    assert "secret" not in result.err
    on_erp = conflict(log, "erp", field="city", status="open", winner=None, rule="queue", existing_stamp=None)
    long = log("conflicts", "resolve", on_erp, "--value", "x" * 21)
    assert long.code == 2
    assert "--value is too long for character varying(20)" in long.err
    assert log("conflicts", "resolve", on_erp, "--value", "x" * 20).code == 0


def test_values_that_change_in_that_moment(log: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from replicator.runtime import settling

    one = waiting(log)
    real = settling.check

    def meanwhile(*arguments: Any) -> None:
        real(*arguments)
        log.db("crm").execute("UPDATE replicator.conflict SET incoming = 'Wels'")

    monkeypatch.setattr(settling, "check", meanwhile)
    result = log("conflicts", "resolve", one, "--take", "erp")
    assert result.code == 1
    assert result.one_line(f"changed in this moment and waiting on: {one}")
    assert entry(log, one)[0] is None


def test_a_running_replicator_carries_it_out(log: Site) -> None:
    crm, erp = log.db("crm"), log.db("erp")
    crm.execute("INSERT INTO crm.account (name, city) VALUES ('ACME', 'Wien'), ('Beta', 'Wien')")
    assert log("run", "--until-idle", "0.5").code == 0
    crm.execute("UPDATE crm.account SET city = 'Graz'")
    erp.execute("UPDATE erp.customer SET town = 'Linz'")
    with daemon(log):
        until(lambda: len(ids(log("conflicts", "list", "--open", "--json"))) == 2)
        acme, beta = log("conflicts", "list", "--open", "--json").document["conflicts"]
        shown = log("conflicts", "show", acme["id"])
        assert shown.one_line("a replicator is running: it carries this out within seconds")
        taken = log("conflicts", "resolve", acme["id"], "--take", "erp")
        assert taken.one_line("1 conflict to be settled; a replicator is running")
        assert log("conflicts", "resolve", beta["id"], "--value", "Steyr").code == 0
        until(lambda: ids(log("conflicts", "list", "--open", "--json")) == [])
        towns = {str(acme["keys"]["erp"]): "Linz", str(beta["keys"]["erp"]): "Steyr"}
        until(lambda: dict(log.rows("erp", "SELECT no::text, town FROM erp.customer")) == towns)
        until(lambda: dict(log.rows("crm", "SELECT erp_no, city FROM crm.account")) == towns)
    settled = log("conflicts", "show", acme["id"])
    assert settled.one_line("decided ", "erp's value, 'Linz'")
    assert log("conflicts", "show", beta["id"]).one_line("decided ", "another value, 'Steyr'")
    assert "settled it: erp's value" in log("conflicts", "list").one_line(acme["id"])


# -- replay ------------------------------------------------------------------------------------------------------------


def replayed(log: Site, *arguments: str) -> dict[str, Any]:
    result = log("conflicts", "replay", *arguments, "--json")
    assert result.code == 0, result.out
    [rule] = result.document["rules"]
    return {k: rule[k] for k in ("logged", "same", "otherwise", "would_wait", "not_known")}


def counts(logged: int, same: int = 0, otherwise: int = 0, would_wait: int = 0, not_known: int = 0) -> dict[str, int]:
    return {"logged": logged, "same": same, "otherwise": otherwise, "would_wait": would_wait, "not_known": not_known}


def test_replay(log: Site) -> None:
    recently = datetime.now(UTC) - timedelta(days=1)
    conflict(log, "crm", at=recently)
    conflict(log, "crm", at=recently, winner="crm", existing_stamp=made("crm", 9), source_key="2", target_key="a2")
    conflict(log, "crm", at=recently - timedelta(days=50), source_key="3", target_key="a3")
    assert replayed(log, "--rule", "name=owner:erp") == counts(3, same=2, otherwise=1)
    assert replayed(log, "--rule", "customer.name=owner:erp", "--since", "30d") == counts(2, same=1, otherwise=1)
    assert replayed(log, "--rule", "name=latest", "--link", "customer") == counts(3, same=3)
    assert replayed(log, "--rule", "name=queue") == counts(3, would_wait=3)
    merge = "name=merge:least(crm.name, erp.company)"
    assert replayed(log, "--rule", merge) == counts(3, same=1, otherwise=2)
    text = log("conflicts", "replay", "--rule", "name=owner:crm", "--since", "30d")
    assert text.code == 0
    assert text.one_line("customer.name", "latest", "owner:crm").split()[-5:] == ["2", "1", "1", "0", "0"]
    assert text.one_line("crm:1", "crm a1 = erp 1: 'from erp' stood, 'from crm' would have")


def test_replay_says_what_it_cannot_know(log: Site) -> None:
    conflict(log, "erp", field="note", winner="erp", rule="owner erp", existing_stamp=None)
    assert replayed(log, "--rule", "note=latest") == counts(1, not_known=1)
    assert replayed(log, "--rule", "note=owner:crm") == counts(1, otherwise=1)
    waiting(log)
    assert replayed(log, "--rule", "city=queue") == counts(1, same=1)
    assert replayed(log, "--rule", "city=owner:crm") == counts(1, otherwise=1)
    waiting(log, source_key="5", status="gone")
    assert replayed(log, "--rule", "city=owner:crm") == counts(2, otherwise=1, not_known=1)
    waiting(log, source_key="6", status="resolved", wanted="value", wanted_value="Steyr", written="Steyr")
    assert replayed(log, "--rule", "city=merge:'Steyr' || left(crm.city, 0) || left(erp.town, 0)")["same"] == 1


def test_replay_of_a_merge_that_fails_for_some(log: Site) -> None:
    for number, (incoming, existing) in enumerate([("4", "2"), ("4", "0"), ("9", "3")]):
        conflict(
            log, "crm", field="score", source_key=str(number), incoming=incoming, existing=existing,
            written="2", winner="both", rule="merge",
        )  # fmt: skip
    assert replayed(log, "--rule", "score=merge:erp.points / crm.score") == counts(3, same=1, otherwise=1, not_known=1)


def test_replay_changes_nothing_and_refuses_nonsense(log: Site) -> None:
    identity = waiting(log)
    before = log.rows("crm", "SELECT * FROM replicator.conflict")
    for rule, said in {
        "name": "--rule must be written FIELD=RULE",
        "zipcode=latest": "no link has a field 'zipcode'",
        "name=owner:shop": "owner must be a node of the link",
        "name=newest": "'newest' is not a rule",
        "name=delta": "delta cannot be replayed",
        "name=merge:crm.name": "customer.name: ",
        "name=merge:crm.name || erp.company || pg_sleep(1)": "customer.name: ",
        "name=merge:(select 1)": "customer.name: ",
        "stage=merge:greatest(crm.stage, erp.state)": "merge needs a field that both nodes have as a plain copy",
        "score=merge:crm.score || erp.points || 'x'": "",
    }.items():
        result = log("conflicts", "replay", "--rule", rule)
        assert result.code == 2 or not said, (rule, result.out)
        assert said in result.err
    assert log("conflicts", "replay").code == 2
    twice = log("conflicts", "replay", "--rule", "name=latest", "--rule", "customer.name=queue")
    assert twice.code == 2
    assert "two rules are given for customer.name" in twice.err
    assert log("conflicts", "replay", "--rule", "city=merge:crm.city || erp.town").code == 0
    assert log.rows("crm", "SELECT * FROM replicator.conflict") == before
    assert entry(log, identity)[0] is None


def test_times() -> None:
    now = datetime.now(UTC)
    assert abs(moment("30d") - (now - timedelta(days=30))) < timedelta(seconds=5)
    assert abs(moment("45m") - (now - timedelta(minutes=45))) < timedelta(seconds=5)
    assert moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment("2026-01-31T12:00+01:00") == datetime(2026, 1, 31, 11, tzinfo=UTC)
    for wrong in ("", "d", "-3d", "31.1.2026", "999999w"):
        with pytest.raises(ConfigurationError):
            moment(wrong)
