"""Promise: links that make records where another one reads do not feed each other, and hear of each other."""

from __future__ import annotations

from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked

LINK = """
link: {0}
flow: {1}
crm: {{table: public.lead, key: id}}
erp: {{table: public.prospect, key: no}}
fields:
  - {{crm: {2}, erp: {2}}}
"""


def test_two_links_in_a_circle(fresh: Fresh) -> None:
    """Each makes records where the other reads; heard of, they would go on for ever."""
    crm = "CREATE TABLE lead (id serial PRIMARY KEY, name text, town text)"
    erp = "CREATE TABLE prospect (no serial PRIMARY KEY, name text, town text)"
    with fresh(crm, erp, LINK.format("there", "crm -> erp", "name"), LINK.format("back", "erp -> crm", "town")) as pair:
        pair.crm.execute("INSERT INTO lead (name) VALUES ('A')")
        pair.erp.execute("INSERT INTO prospect (town) VALUES ('Ulm')")
        pair.settle()
        assert (column(pair, "crm", "SELECT count(*) FROM lead"), column(pair, "erp", "SELECT count(*) FROM prospect")) == (
            [2],
            [2],
        )


def test_a_record_comes_to_take_part_by_what_another_link_has_written(fresh: Fresh) -> None:
    """A company's telephone number goes to the ERP once it is a customer; that it is one is typed in the ERP."""
    crm = "CREATE TABLE account (id serial PRIMARY KEY, name text, kind text NOT NULL DEFAULT 'prospect', phone text)"
    erp = "CREATE TABLE party (no serial PRIMARY KEY, name text, kind text); CREATE TABLE phone (id serial PRIMARY KEY, number text)"
    party = "link: party\ncrm: {table: account, key: id}\nerp: {table: party, key: no}\nfields:\n  - {crm: name, erp: name}\n  - {crm: kind, erp: kind}\n"
    phone = (
        "link: phone\ncrm: {table: account, key: id, where: \"crm.phone <> ''\"}\nerp: {table: phone, key: id}\n"
        "create: {erp: \"crm.kind = 'customer'\", crm: never}\nfields:\n  - {crm: phone, erp: number}\n"
    )
    with fresh(crm, erp, party, phone) as pair:
        pair.crm.execute("INSERT INTO account (name, phone) VALUES ('Adler', '1'), ('Bauer', '2')")
        pair.settle()
        assert column(pair, "erp", "SELECT number FROM phone") == []
        pair.erp.execute("UPDATE party SET kind = 'customer' WHERE name = 'Adler'")
        pair.settle()
        assert column(pair, "erp", "SELECT number FROM phone") == ["1"]
        pair.erp.execute("UPDATE party SET kind = 'prospect'")
        pair.erp.execute("UPDATE phone SET number = '3'")
        pair.settle()
        assert column(pair, "crm", "SELECT phone FROM account ORDER BY name") == ["3", "2"]
        assert column(pair, "erp", "SELECT number FROM phone") == ["3"]
        assert parked(pair) == []
