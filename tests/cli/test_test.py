"""`replicator test`: what it says when a case fails, when a file is wrong, and that cases do not see each other."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from replicator_cli import test as command

from replicator.demo.servers import Server
from tests.conftest import FAST

from .conftest import CONTACT, CRM, CUSTOMER, ERP, Result, Site

DEFAULTS = "schema: {crm: crm.sql, erp: erp.sql}\n"
GOOD = """\
test: customer
cases:
  - case: keyed in the CRM
    do: {crm: {crm.account: {name: Acme, city: Berlin}}}
    expect:
      erp: {erp.customer: {no: 1, company: Acme, town: Berlin}}
      crm: {crm.account: {erp_no: 1}}
  - case: keyed again, nothing is left of the case before
    do: {crm: {crm.account: {name: Acme}}}
    expect: {erp: {erp.customer: {no: 1, town: null}}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(settings=FAST) as running:
        yield running


@pytest.fixture
def site(offline: Site, server: Server) -> Site:
    """With a server to use, so that not every test has to start one."""
    offline.environ["REPLICATOR_TEST_SERVER"] = server.dsn()
    offline.link("_test", DEFAULTS)
    for node, ddl in (("crm", CRM), ("erp", ERP)):
        (offline.folder / "links" / f"{node}.sql").write_text(ddl)
    return offline


def run(site: Site, text: str, *options: str) -> Result:
    site.link("customer_test", text)
    return site("test", *options)


def case(do: str, expect: str) -> str:
    return cases((do, expect))


def cases(*parts: tuple[str, str]) -> str:
    """Called 1, 2, 3, ...; the first is in line 3, and each has three lines."""
    text = (f"  - case: {number}\n    do: {do}\n    expect: {expect}\n" for number, (do, expect) in enumerate(parts, 1))
    return "test: customer\ncases:\n" + "".join(text)


def test_passes(site: Site, server: Server) -> None:
    result = run(site, GOOD)
    assert result.code == 0, result.out
    assert result.out.splitlines()[0] == "links/customer_test.yaml"
    assert result.one_line("ok", "keyed in the CRM")
    assert result.out.splitlines()[-1] == "2 cases in 1 file, 2 passed, 0 failed"
    with psycopg.connect(server.dsn()) as connection:
        for left in ("pg_replication_slots", "pg_replication_origin", "pg_database WHERE datname LIKE 'replicator_test%'"):
            assert connection.execute(f"SELECT FROM {left}").fetchall() == []


def test_server_of_its_own(site: Site) -> None:
    del site.environ["REPLICATOR_TEST_SERVER"]
    site.link(
        "customer_test", case("{crm: {crm.account: {name: ärger}}}", "{erp: {erp.customer: {company: {sql: lower('ÄRGER')}}}}")
    )
    (site.folder / "replicator.yaml").unlink()
    result = site("test", "links")
    assert result.code == 0, result.out


ONE, TWO = "{crm: {crm.account: {name: A}}}", "{crm: {crm.account: [{name: A, city: X}, {name: A, city: 'Y, Z'}]}}"
FAILURES = (  # what is done, what is expected, what is said of it (with the column of its place), and the line after that
    (ONE, "{erp: {erp.customer: []}}", "20: erp.customer on erp: not expected", "+ {no: 1, company: A}"),
    ("sync", "{erp: {erp.customer: {town: B}}}", "34: erp.customer on erp: not there, among 0 found", "- {town: B}"),
    (ONE, "{crm: {crm.account: 2}}", "20: crm.account on crm: 2 expected, 1 found", ""),
    (ONE, "{conflicts: [{field: name}]}", "26: conflicts: not there, among 0 found", "- {field: name}"),
    (ONE, "{crm: {crm.account: {name: {not: A}}}}", "33: crm.account on crm: not as expected", "- name  {not: A}"),
    (ONE, "{crm: {crm.account: {name: {sql: 1/0}}}}", "46: crm refuses this expression: operator does not exist", ""),
    (TWO, "{erp: {erp.customer: [{town: X}]}}", "20: erp.customer on erp: not ex", '+ {no: 2, company: A, town: "Y, Z"}'),
    (TWO, "{erp: {erp.customer: [{town: X}, {town: X}]}}", "46: erp.customer on erp: not as expected", "- town  X"),
    ("{crm: {crm.account: {}}}", "{}", "29: crm refuses this row of crm.account: null value in column", ""),
    ("{crm: delete from crm.acount}", "{}", '27: crm refuses this: relation "crm.acount" does not exist', ""),
    ("{crm: begin}", "{}", "15: this leaves a transaction open", ""),
)


def test_what_a_failure_says(site: Site) -> None:
    passing = (TWO, "{erp: {erp.customer: [{company: A}, {town: X}]}}"), (TWO, "{erp: {erp.customer: [{town: X}, ...]}}")
    result = run(site, cases(*((do, expect) for do, expect, *_ in FAILURES), *passing))
    assert result.code == 1
    told = result.out.split("  FAIL  ")[1:]
    assert len(told) == len(FAILURES)
    for number, (text, (_, expect, said, shown)) in enumerate(zip(told, FAILURES, strict=True)):
        place = f"links/customer_test.yaml:{3 * number + (4 if expect == '{}' else 5)}"
        _, first, second, *_ = [*text.splitlines(), ""]
        assert first.startswith(f"        {place}:{said}")
        assert not shown or second == f"          {shown}"
    assert result.out.splitlines()[-2] == "13 cases in 1 file, 2 passed, 11 failed"
    assert result.out.splitlines()[-1] == "to look into its databases: replicator test links/customer_test.yaml -k 1 --keep"


def test_failure_as_json(site: Site) -> None:
    text = case("{crm: {crm.account: {name: Acme, city: Berlin}}}", "{erp: {erp.customer: {company: Acme, town: Bonn, no: 1}}}")
    document = run(site, text, "--json").document
    assert (document["cases"], document["passed"], document["failed"]) == (1, 0, 1)
    (failure,) = document["results"][0]["failures"]
    assert (failure["line"], failure["column"]) == (5, 34)
    assert failure["expected"] == {"company": "Acme", "town": "Bonn", "no": "1"}
    assert failure["found"]["town"] == "Berlin"


def test_a_case_that_parks(site: Site) -> None:
    do = "{crm: {crm.account: {name: Acme}, crm.contact: {account_id: {sql: (select id from crm.account)}, name: a far too long name indeed}}}"
    site.link("contact_test", case(do, "{erp: {erp.person: []}}").replace("customer", "contact", 1))
    result = site("test", "links/contact.yaml")
    assert result.code == 1
    assert result.one_line("links/contact_test.yaml:5:13: parked: not expected")
    shown = result.one_line("+ {link: contact, reason: refused, sqlstate: 22001")
    assert "value too long for type character varying(20)" in shown
    expect = '{parked: [{link: contact, on: erp, sqlstate: "22001", says: too long}]}'
    site.link("contact_test", case(do, expect).replace("customer", "contact", 1))
    assert site("test", "links/contact_test.yaml").code == 0


def test_steps_without_sync_have_not_seen_each_other(site: Site) -> None:
    made = "{crm: {crm.account: {name: A}}}, sync"
    crm, erp = "{crm: update crm.account set note = 'c'}", "{erp: update erp.customer set note = 'e'}"
    logged = "conflicts: [{field: note, winner: %s, crm: c, erp: e}]"
    text = cases(
        (f"[{made}, {crm}, {erp}]", f"{{crm: {{crm.account: {{note: e}}}}, {logged % 'erp'}}}"),
        (f"[{made}, {erp}, {crm}]", f"{{erp: {{erp.customer: {{note: c}}}}, {logged % 'crm'}}}"),
        (f"[{made}, {crm}, sync, {erp}]", "{crm: {crm.account: {note: e}}}"),
    )
    result = run(site, text)
    assert result.code == 0, result.out


OFFICE = """\
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
match: {crm: name, erp: company}
route: {erp: "crm.stage"}
fields:
  - {crm: name, erp: company}
  - {crm: city, erp: town}
  - {crm: note, erp: note}
  - {crm: erp_no, code: erp}
"""
ROUTED = """\
test: customer
nodes: {crm: {}, north: {class: erp, code: N}, south: {class: erp}}
given: {erp: {erp.customer: {company: Old, town: Ulm}}}
before:
  - crm: {crm.account: {name: Old, city: Ulm, stage: none}}
cases:
  - case: made where it is routed, and edited there
    do:
      - crm: {crm.account: {name: Acme, city: Bonn, stage: south}}
      - sync
      - south: update erp.customer set note = 'by south' where company = 'Acme'
      - erp: update erp.customer set town = 'Linz' where company = 'Old'
    expect:
      crm: {crm.account: [{name: Old, city: Linz}, {name: Acme, city: Bonn, note: by south, erp_no: south}]}
      south: {erp.customer: [{company: Old}, {company: Acme, note: by south}]}
      north: {erp.customer: {company: Old, town: Linz}}
  - case: both are as they were
    do: [{crm: update crm.account set stage = 'N'}]
    expect: {erp: {erp.customer: {company: Old, town: Ulm}}}
"""


def test_nodes_of_a_class(site: Site) -> None:
    site.link("customer", OFFICE)
    result = run(site, ROUTED)
    assert result.code == 0, result.out + result.err
    wrong = run(site, ROUTED.replace("stage: south", "stage: N"), "-k", "made")
    assert wrong.code == 1
    assert wrong.one_line("erp.customer on north: not expected")


def test_nodes_of_a_test_that_cannot_be(site: Site) -> None:
    site.link("customer", OFFICE)
    for old, new, said in (
        ("south: {class: erp", "south: {class: erp, code: N", "C010 south has the code 'N', and so has north"),
        ("south: {class: erp", "south: {clas: erp", "L101 unknown key 'clas'"),
        ("crm: {}", "crm: {}, shop: {}", "T002 there is no schema for node shop"),
        ("- south: update", "- west: update", "T004 there is no node 'west'"),
        ("expect:\n", "expect:\n      conflicts: [{link: customer}]\n", "T001 no link 'customer' takes part in this test"),
    ):
        result = run(site, ROUTED.replace(old, new, 1))
        assert result.code == 2
        assert result.lines(said), result.out


def test_structure_changed_by_a_case_is_back_for_the_next(site: Site) -> None:
    changed = "{crm: alter table crm.account add unseen text not null default 'x'}"
    result = run(site, cases((changed, "{}"), ("{crm: select unseen from crm.account}", "{}")))
    assert result.one_line("ok    1")
    assert result.one_line('column "unseen" does not exist')


def test_given_and_before(site: Site) -> None:
    site.link("_test", DEFAULTS + "given: {erp: {erp.customer: [{company: Old}]}}\nbefore: {crm: {crm.account: {name: Acme}}}\n")
    text = case("{crm: update crm.account set city = 'Bonn'}", "{erp: {erp.customer: [{no: 1, company: Old}, {town: Bonn}]}}")
    again = "  - case: 2\n    given: {crm: {crm.account: {name: X}}}\n    do: sync\n    expect: {crm: {crm.account: 2}}\n"
    assert run(site, text + again).code == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("town: Berlin", "twon: Berlin", "links/customer_test.yaml:6:50: T102 erp: erp.customer has no column twon (did you mean 'town'?)"),
        ("erp.customer: {no", "erp.custmer: {no", ":6:13: T101 erp has no table erp.custmer (did you mean 'erp.customer'?)"),
        ("no: 1, company", "no: one, company", ":6:32: T103 'one' is not a value of type integer"),
        ("test: customer", "test: custmer", ":1:7: T001 there is no link 'custmer' in links (did you mean 'customer'?)"),
        ("crm: {crm.account: {name: Acme, city", "cmr: {crm.account: {name: Acme, city", ":4:10: T004 there is no node 'cmr'"),
        ("expect:", "expects:", ":5:5: L101 unknown key 'expects' (did you mean 'expect'?)"),
        ("expect:", "expect: [", ":7:7: L005 not YAML"),
        (GOOD, "", ":1:1: L006 the file is empty"),
    ],
)  # fmt: skip
def test_bad_file(site: Site, old: str, new: str, said: str) -> None:
    result = run(site, GOOD.replace(old, new, 1))
    assert result.code == 2, result.out
    assert result.one_line(said)
    assert result.out.splitlines()[-1].endswith("1 file not run")
    assert run(site, GOOD.replace(old, new, 1), "--json").document["findings"]


def test_a_bad_file_does_not_stop_the_others(site: Site) -> None:
    site.link("bad_test", "test: nobody\n")
    result = run(site, GOOD)
    assert result.code == 2
    assert result.out.splitlines()[-1] == "2 cases in 1 file, 2 passed, 0 failed, 1 file not run"


NO_MORE = """
create function no_more() returns event_trigger language plpgsql as $$ begin raise 'no more'; end $$;
create event trigger no_more on ddl_command_start when tag in ('CREATE TABLE') execute function no_more();
"""


@pytest.mark.parametrize(
    ("node", "old", "new", "said"),
    [
        ("crm", "create table crm.contact", "create tabel crm.contact", 'links/crm.sql:5:8: T104 the server refuses this: syntax error at or near "tabel"'),
        ("crm", "create schema crm;", "create schema crm;\nCOPY crm.account (id) FROM stdin;\n\\.\n", "T104 line 3 begins rows of a table"),
        ("crm", "city text,", "", "links/customer.yaml:7:5: L502"),
        ("crm", "account, name text);", "account, name text);" + NO_MORE, "T106"),
    ],
)  # fmt: skip
def test_schema_that_does_not_fit(site: Site, node: str, old: str, new: str, said: str) -> None:
    path = site.folder / "links" / f"{node}.sql"
    path.write_text(path.read_text().replace(old, new))
    result = run(site, GOOD)
    assert result.code == 2, result.out
    assert said in result.out


def test_refused_given_row(site: Site) -> None:
    result = run(site, "given: {erp: {erp.person: {customer_no: 7, nm: x}}}\n" + GOOD)
    assert result.code == 2
    assert "foreign key" in result.one_line(":1:27: T105 erp refuses this row of erp.person")


def test_a_file_of_pg_dump_and_a_broken_link_elsewhere(site: Site) -> None:
    """Words of psql in it, settings that only other versions know, and what a replicator had made."""
    path = site.folder / "links" / "crm.sql"
    made = "CREATE SCHEMA replicator;\nCREATE TABLE replicator.node (x int);\nCREATE PUBLICATION replicator_crm_to_erp;\n"
    head = "\\restrict a1\nSET transaction_timeout = 0;\nSET no_such_setting = 1;\nSELECT pg_catalog.set_config('search_path', '', false);\n"
    path.write_text(head + path.read_text() + made + "\\unrestrict a1\n")
    site.link("contact", CONTACT.replace("erp: nm", "erp: nm, rule: nobody"))  # no matter: it is another link
    result = run(site, GOOD, "-k", "AGAIN")
    assert result.out.splitlines()[-1] == "1 case in 1 file, 1 passed, 0 failed"
    site.link("contact_test", GOOD.replace("customer", "contact", 1))
    assert site("test", "links/contact_test.yaml").one_line("links/contact.yaml:7:32: L115")


def test_a_link_that_cannot_run(site: Site) -> None:
    site.link("customer", CUSTOMER.replace("{crm: note, erp: note}", '{erp: note, from: "crm.name * 2"}'))
    result = run(site, GOOD)
    assert result.code == 2
    assert result.one_line("links/customer.yaml:8:24: K060")


def test_not_found(site: Site) -> None:
    site.link("customer_test", GOOD)
    assert site("test", "-k", "nowhere").one_line("no case has 'nowhere' in its name or file")
    assert site("test", "links/nowhere_test.yaml").one_line(":1:1: L001 there is no such file")
    (site.folder / "empty").mkdir()
    none = site("test", "empty")
    assert none.code == 2
    assert none.one_line("there are no tests in empty")


def test_keep(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: command.Report) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.Report, "wait", interrupted)
    result = run(
        site, case("{crm: {crm.account: {name: A}}}", "{}") + GOOD.split("cases:\n")[1].replace("no: 1", "no: 9"), "--keep"
    )
    assert result.code == 1
    assert result.one_line("crm: psql '", "replicator_test_")
    assert result.out.splitlines()[-2].startswith("2 cases in 1 file, 1 passed")


def test_somebody_elses_slot(site: Site, server: Server) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        make = "SELECT pg_create_logical_replication_slot('replicator_crm_to_erp', 'pgoutput')"
        connection.execute(make)
        result = run(site, GOOD)
        assert result.code == 2
        assert result.one_line("the scratch server has a slot replicator_crm_to_erp already, of database postgres")
        connection.execute("SELECT pg_drop_replication_slot('replicator_crm_to_erp')")
        with psycopg.connect(server.create_database("replicator_test_killed"), autocommit=True) as killed:
            killed.execute(make)
        assert run(site, GOOD).code == 0
        assert connection.execute("SELECT FROM pg_database WHERE datname = 'replicator_test_killed'").fetchall() == []
