"""`replicator lint` of queries, derived columns, restore, lookups and two-way expressions, with servers."""

from __future__ import annotations

import pytest

from .conftest import CONTACT, CUSTOMER, Site

DERIVED = """\
link: customer
crm:
  table: crm.account
  key: id
  derived:
    people: "select count(*) from crm.contact c where c.account_id = crm.id"
    first: "{}"
erp: {{table: erp.customer, key: no}}
fields:
  - {{crm: name, erp: company}}
  - {{crm: first, erp: note}}
"""
QUERY = """\
link: contact
flow: crm -> erp
crm:
  query: >-
    {}
  key: id
erp: {{table: erp.person, key: pid}}
fields:
  - {{crm: account_id, erp: customer_no, link: customer}}
  - {{crm: name, erp: nm}}
"""
GOOD = "select c.name from crm.contact c where c.account_id = crm.id order by c.id limit 1"


def test_good_kinds_have_nothing_to_say(site: Site) -> None:
    site.link("customer", DERIVED.format(GOOD))
    site.link("contact", QUERY.format("select c.id, c.account_id, left(c.name, 20)::varchar(20) as name from crm.contact c"))
    result = site("lint")
    assert result.code == 0, result.out
    assert not result.lines("K06")
    assert not result.lines("L516")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select c.nam from crm.contact c where c.account_id = crm.id", "column c.nam does not exist (SQLSTATE 42703)"),
        ("select c.name from crm.contact c where c.account_id = crm.idd", "column crm.idd does not exist (SQLSTATE 42703)"),
        ("select sum(c.name) from crm.contact c", "function sum(text) does not exist (SQLSTATE 42883)"),
        ("select c.id, c.name from crm.contact c limit 1", "subquery must return only one column (SQLSTATE 42601)"),
    ],
)
def test_a_derived_column_that_a_server_refuses(site: Site, query: str, said: str) -> None:
    site.link("customer", DERIVED.format(query))
    result = site("lint")
    assert result.code == 1
    assert "links/customer.yaml:7:12: K067 crm refuses the query of crm.first: " in result.one_line(said)
    for command in (["run", "--until-idle", "1"], ["init"], ["init", "--dry-run"], ["check"]):
        failed = site(*command)
        assert failed.code == (2 if command[0] == "run" else 1), failed
        assert "links/customer.yaml:7:12: " in failed.one_line(said)
    assert site("lint", "--json").document["findings"][0]["line"] == 7


def test_lint_goes_on_beside_a_query_that_is_refused(site: Site) -> None:
    site.link("contact", QUERY.format("select c.id, c.account_id, c.nme as name from crm.contact c"))
    site.link("customer", CUSTOMER.replace("crm.stage = 'won'", "crm.stage + 1 = 2"))
    result = site("lint")
    assert "links/contact.yaml:4:10: K067 crm refuses the query: column c.nme does not exist" in result.one_line("K067")
    assert result.one_line("links/customer.yaml:4:16: K060")
    site.link("contact", CONTACT)
    site.link("customer", DERIVED.format("select c.nme from crm.contact c limit 1"))
    result = site("lint")
    assert len(result.lines("customer.yaml:7:12: K067")) == 1
    assert result.out.splitlines()[-1].startswith("2 links, 4 fields, 1 error, ")


def test_a_table_of_a_query_is_gone(site: Site) -> None:
    site.link("customer", DERIVED.format("select c.name from crm.contacts c where c.account_id = crm.id limit 1"))
    result = site("lint")
    assert "links/customer.yaml:7:12: L501" in result.one_line("crm has no table crm.contacts (did you mean 'crm.contact' or")


def test_a_derived_column_of_several_rows(site: Site) -> None:
    site.link("customer", DERIVED.format("select c.name from crm.contact c where c.account_id = crm.id"))
    result = site("lint")
    assert result.code == 0
    assert result.one_line("links/customer.yaml:7:12: L516 warning: the query of crm.first may give several rows")
    site.link("customer", DERIVED.format("select a.name from crm.account a where a.id = crm.id"))
    assert not site("lint").lines("L516")


def test_a_table_that_nothing_joins_to_the_record(site: Site) -> None:
    site.link("customer", DERIVED.format("select max(c.name) from crm.contact c where c.id < 10"))
    result = site("lint")
    assert result.code == 0
    assert result.one_line(
        "links/customer.yaml:7:12: K068 warning: when a row of crm.contact changes, every record is read again"
    )
    site.link("customer", CUSTOMER)
    site.link("contact", QUERY.format("select c.id, c.account_id, a.city as name from crm.contact c, crm.account a limit 1"))
    assert site("lint").one_line("links/contact.yaml:4:10: K068 warning: when a row of crm.account changes")


def test_restore_and_lookups_are_planned(site: Site) -> None:
    site.db("erp").execute("ALTER TABLE erp.customer ADD active boolean NOT NULL DEFAULT true, ADD region_no int")
    site.db("erp").execute("CREATE TABLE erp.region (id int PRIMARY KEY, area int UNIQUE)")
    lines = 'delete: {erp: "set active = false"}\nrestore: {erp: "%s"}\ncreate:'
    lookup = '{erp: region_no, lookup: {table: erp.region, match: {area: "%s"}, missing: null%s}}'
    good = CUSTOMER.replace("create:", lines % "set active = true") + "  - " + lookup % ("cast(crm.note as int)", "") + "\n"
    site.link("customer", good)
    result = site("lint")
    assert result.code == 0, result.out
    for old, new, said in [
        ("set active = true", "set active = 'perhaps'", "5:30: K060 erp refuses what `restore` sets active to"),
        ("set active = true", "set actve = true", "5:"),
        (
            "missing: null",
            "missing: null, default: none",
            "K060 erp refuses the default of the lookup of field region_no, as integer",
        ),
        ("cast(crm.note as int)", "cast(crm.note as date)", "K060 erp refuses the lookup of field region_no by area"),
    ]:
        site.link("customer", good.replace(old, new))
        result = site("lint")
        assert result.code == 1
        assert result.lines(said) or result.lines("links/customer.yaml:5:", "L502"), result.out
        assert not result.lines("K062")


CONVERT = '{{crm: note, erp: note, convert: {{erp: "{}", crm: "{}"}}}}'


@pytest.mark.parametrize(
    ("columns", "to_erp", "to_crm", "said"),
    [
        (("text", "text"), "'x' || crm.note", "substr(erp.note, 2)", None),
        (("text", "text"), "upper(crm.note)", "lower(erp.note)", "'B' on crm becomes 'B' on erp, and that 'b' on crm"),
        (("integer", "numeric(9,2)"), "crm.note / 100.0", "erp.note * 100", None),
        (("numeric(9,2)", "numeric(4,2)"), "crm.note / 100", "erp.note * 100", "'0.50' on crm becomes '0.01' on erp, and that '1.00' on crm"),
        (("boolean NOT NULL", "text"), "case when crm.note then 'Y' else 'N' end", "erp.note = 'Y'", None),
        (("timestamptz", "date"), "cast(crm.note at time zone 'UTC' as date)", "cast(erp.note as timestamp) at time zone 'UTC'", "'2024-02-29 12:00:00"),
        (("text", "text"), "nullif(crm.note, '')", "coalesce(erp.note, '')", "NULL on crm becomes NULL on erp, and that '' on crm"),
        (("text NOT NULL", "text"), "nullif(crm.note, '')", "coalesce(erp.note, '')", None),
        (("text", "text"), "crm.note || crm.city", "erp.note", None),  # reads another column: not tried
    ],
)  # fmt: skip
def test_expressions_that_do_not_undo_each_other(
    site: Site, columns: tuple[str, str], to_erp: str, to_crm: str, said: str | None
) -> None:
    for node, place, kind in (("crm", "crm.account", columns[0]), ("erp", "erp.customer", columns[1])):
        site.db(node).execute(f"ALTER TABLE {place} DROP COLUMN note, ADD COLUMN note {kind}")
    field = CONVERT.format(to_erp, to_crm)
    site.link("customer", CUSTOMER.replace("{crm: note, erp: note}", field))
    result = site("lint")
    assert result.code == 0, result.out
    if said is None:
        assert not result.lines("K069"), result.out
        return
    assert f"links/customer.yaml:8:44: K069 warning: the two expressions of field note do not undo each other: {said}" in (
        result.one_line("K069")
    )
    one_way = field.replace(f', crm: "{to_crm}"', "").replace("convert:", "to: erp, convert:")
    site.link("customer", CUSTOMER.replace("{crm: note, erp: note}", one_way))
    assert not site("lint").lines("K069")
