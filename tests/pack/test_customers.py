"""Customer master, entered once: a customer keyed in either system exists in both at once."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from statistics import median
from uuid import UUID

import pytest

from tests.pack.factory import Factory
from tests.pack.office import Office


def known(name: str, factory: Factory) -> bool:
    return factory.party(name) is not None


def fields(factory: Factory, name: str, *columns: str) -> object:
    found = factory.row(f"SELECT {', '.join(columns)} FROM erp.party WHERE name = %s", name)
    return found[0] if found and len(columns) == 1 else found


@pytest.mark.versions
def test_keyed_in_the_crm_finance_of_every_factory_sees_it(office: Office) -> None:
    name = office.word("Customer")
    account = office.sales.account(name, f"DE-{name}", kind="dealer", status="dormant", phone="+43 1 2", website="x.example.com")
    office.everywhere(lambda f: fields(f, name, "tax_id", "role", "state"), (f"DE-{name}", "D", "D"))
    office.everywhere(lambda f: f.mechanisms(f.party(name)), {"phone": "+43 1 2", "web": "x.example.com"})
    # Finance has opened its accounts by itself, and sales sees on which terms.
    office.eventually(lambda: office.sales.terms(account), [("NORTH", 0, "NET30", False), ("SOUTH", 0, "NET30", False)])


@pytest.mark.versions
def test_keyed_in_one_factory_sales_and_the_other_factory_see_it(office: Office) -> None:
    name = office.word("Customer")
    number = office.north.keys_party(name, f"FR-{name}")
    office.eventually(lambda: office.sales.account_of(name) is not None)
    office.eventually(lambda: fields(office.south, name, "tax_id", "role"), (f"FR-{name}", "C"))
    account = office.sales.account_of(name)
    assert office.sales.sees("account", account, "vat_number", "kind", "status") == (f"FR-{name}", "customer", "active")
    numbers = "SELECT customer_no FROM crm.account_terms WHERE account_id = %s AND factory = 'NORTH'"
    office.eventually(lambda: office.sales.value(numbers, account), str(number))


def test_finance_sees_the_customer_within_a_second(office: Office) -> None:
    seconds = []
    for _ in range(5):
        here, there = office.word("Customer"), office.word("Customer")
        office.sales.account(here)
        seconds.append(office.everywhere(partial(known, here)))
        office.south.keys_party(there)
        seconds.append(office.eventually(partial(office.sales.knows, there)))
    assert median(seconds) < 1.0, seconds


def test_a_prospect_is_the_crms_own_until_it_is_a_customer(office: Office) -> None:
    name = office.word("Prospect")
    account = office.sales.account(name, kind="prospect", email="info@example.com")
    office.settle()
    assert [factory.party(name) for factory in office.factories.values()] == [None, None]
    office.sales.edit("account", account, kind="customer")
    office.everywhere(lambda f: f.mechanisms(f.party(name)), {"mail": "info@example.com"})


def test_the_same_company_keyed_everywhere_at_once_is_one(office: Office) -> None:
    vat, name = office.word("IT"), office.word("Customer")
    with office.at_once():
        account = office.sales.account(name, vat, phone="1")
        office.north.keys_party(name, vat)
        office.south.keys_party(name, vat)
    office.settle()
    assert office.sales.account_of(name) == account
    parties = [
        (f.value("SELECT count(*) FROM erp.party WHERE tax_id = %s", vat), f.party(name) is not None)
        for f in office.factories.values()
    ]
    assert parties == [(1, True), (1, True)]
    assert [factory for factory, *_ in office.sales.terms(account)] == ["NORTH", "SOUTH"]


def test_the_later_edit_of_a_field_wins_and_edits_of_others_stay(office: Office) -> None:
    name, account = office.customer()
    renamed = office.word("Customer")
    with office.at_once("erp_north", "erp_south", "crm"):
        office.north.edit("party", "name", name, name=office.word("Earlier"), state="D")
        office.south.edit("party", "name", name, name=office.word("Later"))
        office.sales.edit("account", account, name=renamed)
    office.everywhere(lambda f: fields(f, renamed, "state"), "D")
    office.eventually(lambda: office.sales.sees("account", account, "name", "status"), (renamed, "dormant"))


def test_the_credit_limit_is_finances_and_sales_sees_it(office: Office) -> None:
    name, account = office.customer()
    office.north.grants(office.north.party(name), 50_000, "NET60")
    office.south.edit("credit", "party_no", office.south.party(name), blocked=True)
    office.eventually(
        lambda: office.sales.terms(account), [("NORTH", Decimal(50_000), "NET60", False), ("SOUTH", 0, "NET30", True)]
    )


@pytest.mark.versions
def test_phone_mail_and_website_are_rows_in_the_erp(office: Office) -> None:
    name, account = office.customer(phone="1", email="a@example.com")
    north, south = office.north, office.south
    office.eventually(lambda: south.mechanisms(south.party(name)), {"phone": "1", "mail": "a@example.com"})
    office.eventually(lambda: north.mechanisms(north.party(name)), {"phone": "1", "mail": "a@example.com"})
    office.sales.edit("account", account, phone="2", email=None)
    office.eventually(lambda: north.mechanisms(north.party(name)), {"phone": "2"})
    # What one factory types is the CRM's and the other factory's as well.
    number = north.party(name)
    north.do("INSERT INTO erp.contact_mechanism (party_no, kind, value) VALUES (%s, 'web', 'w.example.com')", number)
    north.do("DELETE FROM erp.contact_mechanism WHERE party_no = %s AND kind = 'phone'", number)
    office.eventually(lambda: office.sales.sees("account", account, "phone", "email", "website"), (None, None, "w.example.com"))
    office.eventually(lambda: south.mechanisms(south.party(name)), {"web": "w.example.com"})


def test_addresses_go_both_ways(office: Office) -> None:
    name, account = office.customer()
    address = office.sales.address(account, "shipping", "Dock 4", "1010", "Wien", "AT", instructions="gate 3")
    seen = (
        "SELECT usage, street, postal_code, town, iso2, remark FROM erp.party_address"
        " JOIN erp.country ON country.id = country_id JOIN erp.party USING (party_no) WHERE party.name = %s ORDER BY 1"
    )
    office.everywhere(lambda f: f.rows(seen, name), [("S", "Dock 4", "1010", "Wien", "AT", "gate 3")])
    number = office.north.value(
        "SELECT address_no FROM erp.party_address JOIN erp.party USING (party_no) WHERE party.name = %s", name
    )
    germany = office.north.value("SELECT id FROM erp.country WHERE iso2 = 'DE'")
    office.north.edit("party_address", "address_no", number, street="Quay 5", country_id=germany)
    office.eventually(lambda: office.sales.sees("address", address, "street", "country_code"), ("Quay 5", "DE"))
    office.eventually(lambda: office.south.rows(seen, name), [("S", "Quay 5", "1010", "Wien", "DE", "gate 3")])
    office.sales.do("DELETE FROM crm.address WHERE id = %s", address)
    office.everywhere(lambda f: f.rows(seen, name), [])


def test_contacts_go_both_ways_and_their_consent_is_the_crms(office: Office) -> None:
    name, account = office.customer()
    contact = office.sales.contact(account, "Novak", first_name="Jana", email="jn@example.com", opted_in=True)
    seen = (
        "SELECT given_name, family_name, mail, tel, newsletter FROM erp.contact_person"
        " JOIN erp.party USING (party_no) WHERE party.name = %s ORDER BY 2"
    )
    office.everywhere(lambda f: f.rows(seen, name), [("Jana", "Novak", "jn@example.com", "", True)])
    office.south.do("UPDATE erp.contact_person SET newsletter = false, tel = '77' WHERE party_no = %s", office.south.party(name))
    office.eventually(lambda: office.sales.sees("contact", contact, "phone", "opted_in"), ("77", True))
    office.everywhere(lambda f: f.rows(seen, name), [("Jana", "Novak", "jn@example.com", "77", True)])
    # A contact of the ERP is not asked for its consent there.
    office.north.do(
        "INSERT INTO erp.contact_person (party_no, family_name, mail, tel, newsletter) VALUES (%s, 'Zeman', '', '', true)",
        office.north.party(name),
    )
    office.eventually(
        lambda: office.sales.rows("SELECT last_name, email, opted_in FROM crm.contact WHERE account_id = %s ORDER BY 1", account),
        [("Novak", "jn@example.com", True), ("Zeman", None, False)],
    )
    office.sales.edit("contact", contact, deleted_at=office.sales.today())
    office.everywhere(lambda f: [row[1] for row in f.rows(seen, name)], ["Zeman"])


def test_a_customer_that_is_closed_is_closed_everywhere(office: Office) -> None:
    name, account = office.customer()
    office.sales.closes(account)
    office.everywhere(lambda f: fields(f, name, "closed_on IS NOT NULL"), True)
    other, account = office.customer()
    office.south.edit("party", "name", other, closed_on=office.south.today())
    office.eventually(lambda: office.sales.account_of(other), None)
    office.eventually(lambda: fields(office.north, other, "closed_on IS NOT NULL"), True)


def test_a_group_and_its_head_office(office: Office) -> None:
    head, parent = office.customer()
    name, account = office.customer()
    office.sales.edit("account", account, parent_id=parent)
    office.everywhere(lambda f: fields(f, name, "head_office") == f.party(head))
    # Both keyed in the ERP, in one transaction.
    head, name = office.word("Head"), office.word("Branch")
    with office.north.connection.transaction():
        number = office.north.keys_party(head)
        office.north.keys_party(name, head_office=number)
    office.eventually(lambda: office.sales.account_of(name) is not None)
    branch = office.sales.account_of(name)
    office.eventually(lambda: office.sales.sees("account", branch, "parent_id"), office.sales.account_of(head))
    office.eventually(lambda: fields(office.south, name, "head_office") == office.south.party(head))


def brief(office: Office, name: str) -> UUID:
    """An account with everything that goes with it, closed by whoever keyed it."""
    account = office.sales.account(name, phone="1", email="a@example.com", website="w.example.com")
    office.sales.address(account, "billing", "Dock 4", "1010", "Wien", "AT")
    office.sales.contact(account, "Novak")
    office.sales.closes(account)
    return account


@pytest.mark.parametrize("how", ["in one transaction", "before it was read"])
def test_what_belongs_to_an_account_that_was_closed_before_anybody_heard_of_it_waits_for_nobody(office: Office, how: str) -> None:
    name = office.word("Customer")
    with office.sales.connection.transaction() if how == "in one transaction" else office.closed_for_lunch():
        account = brief(office, name)
    office.settle()
    assert office.parked() == []
    office.sales.edit("account", account, phone="2", name=f"{name} Ltd")
    office.settle()
    assert office.parked() == []
    assert [f.value("SELECT count(*) FROM erp.party WHERE name LIKE %s", f"{name}%") for f in office.factories.values()] == [0, 0]


def test_the_terms_of_a_closed_customer_go_on(office: Office) -> None:
    name, account = office.customer()
    number = office.south.party(name)
    office.north.edit("party", "name", name, closed_on=office.north.today())
    office.south.edit("credit", "party_no", number, credit_limit=7)
    office.settle()
    office.south.edit("credit", "party_no", number, blocked=True)
    office.eventually(lambda: office.sales.terms(account), [("NORTH", 0, "NET30", False), ("SOUTH", 7, "NET30", True)])
    # One that was keyed and closed in the ERP in one go has terms as well.
    name = office.word("Customer")
    with office.north.connection.transaction():
        number = office.north.keys_party(name, closed_on=office.north.today())
        office.north.edit("credit", "party_no", number, credit_limit=5)
    office.settle()
    assert office.parked() == []


@pytest.mark.parametrize("nodes", [("crm", "erp_north"), ("erp_north", "crm")], ids=lambda nodes: f"{nodes[0]} first")
def test_a_prospect_that_a_factory_keys_at_the_same_moment(office: Office, nodes: tuple[str, str]) -> None:
    vat, name = office.word("IT"), office.word("Customer")
    with office.at_once(*nodes):
        account = office.sales.account(name, vat, phone="1", kind="prospect")
        number = office.north.keys_party(name, vat)
    office.settle()
    assert office.parked() == []
    assert office.sales.account_of(name) == account
    assert fields(office.north, name, "party_no", "role") == (number, "C")


def test_sales_calls_a_customer_a_prospect_again(office: Office) -> None:
    name, account = office.customer(phone="1")
    office.everywhere(lambda f: f.mechanisms(f.party(name)), {"phone": "1"})
    office.sales.edit("account", account, kind="prospect")
    office.sales.edit("account", account, phone="2")
    office.everywhere(lambda f: f.mechanisms(f.party(name)), {"phone": "2"})
    assert [fields(factory, name, "role") for factory in office.factories.values()] == ["C", "C"]
    assert office.sales.sees("account", account, "kind") == "prospect"
