"""What a factory's office does in its ERP: parties, their credit and contacts, items and prices, orders by telephone, money."""

from __future__ import annotations

import dataclasses
from typing import LiteralString

from replicator.demo.factory_world import CLOSABLE_VAT, PARTY
from replicator.demo.people import Company
from replicator.demo.user import FRESH, Edits, User, Work

RANDOM_PARTY: LiteralString = "SELECT 10001 + floor(random() * (max(party_no) - 10000))::int FROM erp.party"
LASTING_PARTY: LiteralString = f"""
    SELECT party_no FROM erp.party
    WHERE party_no >= ({RANDOM_PARTY}) AND closed_on IS NULL AND coalesce(tax_id, '') NOT LIKE %s ORDER BY party_no LIMIT 1"""
CLOSABLE_PARTY: LiteralString = f"""
    SELECT party_no FROM erp.party p
    WHERE party_no >= ({RANDOM_PARTY}) AND closed_on IS NULL AND tax_id LIKE %s AND head_office IS NULL
      AND entered_on < localtimestamp - interval '20 seconds'
      AND NOT EXISTS (SELECT 1 FROM erp.party q WHERE q.head_office = p.party_no)
      AND NOT EXISTS (SELECT 1 FROM erp.sales_order o WHERE o.party_no = p.party_no)
    ORDER BY party_no LIMIT 1"""
ANY_PERSON: LiteralString = """
    SELECT contact_no FROM erp.contact_person
    WHERE contact_no >= (SELECT 1 + floor(random() * max(contact_no))::int FROM erp.contact_person) ORDER BY contact_no LIMIT 1"""
LASTING_ADDRESS: LiteralString = """
    SELECT address_no FROM erp.party_address JOIN erp.party p USING (party_no)
    WHERE address_no >= (SELECT 1 + floor(random() * max(address_no))::int FROM erp.party_address)
      AND coalesce(p.tax_id, '') NOT LIKE %s ORDER BY address_no LIMIT 1"""
ANY_ITEM: LiteralString = """
    SELECT item_no FROM erp.item
    WHERE item_no >= (SELECT 1 + floor(random() * max(item_no))::int FROM erp.item) ORDER BY item_no LIMIT 1"""
ANY_CONFIGURATION: LiteralString = "SELECT config_no FROM erp.item_configuration ORDER BY random() LIMIT 1"
ANY_PRICE: LiteralString = "SELECT price_no FROM erp.item_price ORDER BY random() LIMIT 1"
UNPAID: LiteralString = "SELECT invoice_no FROM erp.invoice WHERE paid_on IS NULL ORDER BY random() LIMIT 1"

NEW_PERSON: LiteralString = """
    INSERT INTO erp.contact_person (party_no, given_name, family_name, mail, tel, function, newsletter)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
NEW_ADDRESS: LiteralString = """
    INSERT INTO erp.party_address (party_no, usage, street, postal_code, town, country_id, remark)
    VALUES (%s, 'B', %s, %s, %s, %s, '')"""
NEW_NUMBER: LiteralString = """
    INSERT INTO erp.contact_mechanism (party_no, kind, value) VALUES (%s, 'phone', %s) ON CONFLICT DO NOTHING"""
NEW_ITEM: LiteralString = """
    INSERT INTO erp.item (code, description, item_group, uom, sales_price, status, spare, weight, standard_cost, lead_days)
    VALUES (%s, %s, 'drives', 'PCE', %s, 1, false, %s, %s, 14)"""
NEW_ORDER: LiteralString = """
    INSERT INTO erp.sales_order (party_no, subject, state, ordered_on, promised_on, currency, entered_by)
    VALUES (%s, 'by telephone', 10, current_date, current_date + 21, 'EUR', %s) RETURNING order_id"""
NEW_LINE: LiteralString = """
    INSERT INTO erp.sales_order_line (order_id, line_no, item_no, qty, price, rebate)
    SELECT %s, %s, item_no, %s, sales_price, 0 FROM erp.item WHERE item_no = %s"""
SET_STATE: LiteralString = "UPDATE erp.party SET state = %s WHERE party_no = %s"
SET_CREDIT_LIMIT: LiteralString = """
    UPDATE erp.credit SET credit_limit = %s, reviewed_on = current_date, blocked = %s WHERE party_no = %s"""
SET_TERMS: LiteralString = """
    UPDATE erp.credit SET payment_term_id = (SELECT id FROM erp.payment_term ORDER BY random() LIMIT 1) WHERE party_no = %s"""
CLOSE: LiteralString = "UPDATE erp.party SET closed_on = current_date WHERE party_no = %s AND closed_on IS NULL"
REPRICE: LiteralString = "UPDATE erp.item SET sales_price = round(sales_price * %s, 2) WHERE item_no = %s"
RECOST: LiteralString = "UPDATE erp.item SET standard_cost = round(standard_cost * %s, 4), lead_days = %s WHERE item_no = %s"
SET_ITEM_STATUS: LiteralString = "UPDATE erp.item SET status = %s WHERE item_no = %s"
SPECIAL_PRICE: LiteralString = "UPDATE erp.item_price SET price = round(price * %s, 2) WHERE price_no = %s"
TOGGLE_NEWSLETTER: LiteralString = "UPDATE erp.contact_person SET newsletter = NOT newsletter WHERE contact_no = %s"
INSTRUCT: LiteralString = "UPDATE erp.item_configuration SET instructions = %s WHERE config_no = %s"
RECOLOUR: LiteralString = "UPDATE erp.item_configuration SET colour = %s WHERE config_no = %s"
PAY: LiteralString = "UPDATE erp.invoice SET paid_on = current_date WHERE invoice_no = %s"

NUMBER: LiteralString = "UPDATE erp.contact_mechanism SET value = %s WHERE kind = 'phone' AND party_no = "
PARTY_EDITS: Edits = (
    (NUMBER + "%s", ("phone",)),
    ("UPDATE erp.party SET name = %s WHERE party_no = %s", ("name",)),
)
CONTESTED_EDITS: Edits = (  # field by field what the CRM's users edit too
    (NUMBER + "(SELECT party_no FROM erp.party WHERE tax_id = %s)", ("phone",)),
    ("UPDATE erp.party SET name = %s WHERE tax_id = %s", ("name",)),
)
ADDRESS_EDITS: Edits = (
    (
        """UPDATE erp.party_address SET street = %s, postal_code = %s, town = %s,
           country_id = (SELECT id FROM erp.country WHERE iso2 = %s) WHERE address_no = %s""",
        ("street", "zip", "city", "country"),
    ),
    ("UPDATE erp.party_address SET street = %s WHERE address_no = %s", ("street",)),
)
PERSON_EDITS: Edits = (
    ("UPDATE erp.contact_person SET tel = coalesce(%s, '') WHERE contact_no = %s", ("phone",)),
    ("UPDATE erp.contact_person SET mail = coalesce(%s, '') WHERE contact_no = %s", ("email",)),
    ("UPDATE erp.contact_person SET given_name = %s, family_name = %s WHERE contact_no = %s", ("first", "last")),
    ("UPDATE erp.contact_person SET function = %s WHERE contact_no = %s", ("title",)),
)


class OfficeUser(User):
    def begin(self) -> None:
        self.countries: dict[str, int] = dict(self.db.execute("SELECT iso2, id FROM erp.country").fetchall())

    def work(self) -> list[Work]:
        return [
            (14, "edit party", self.edit_party),
            (8, "edit contested party", self.edit_contested),
            (5, "edit address", self.edit_address),
            (8, "set credit limit", self.set_credit_limit),
            (4, "set payment terms", self.set_terms),
            (4, "create party", self.create_party),
            (2, "key a party keyed in the CRM", self.key_again),
            (4, "create contact", self.create_contact),
            (8, "edit contact", self.edit_contact),
            (2, "try to change a consent", self.toggle_newsletter),
            (2, "delete contact", self.delete_contact),
            (1, "close party", self.close_party),
            (5, "change an item's price", self.reprice),
            (4, "change an item's cost", self.recost),
            (1, "create item", self.create_item),
            (1, "change an item's status", self.set_item_status),
            (4, "change a customer's price", self.special_price),
            (2, "write instructions", self.instruct),
            (2, "try to change a colour", self.recolour),
            (6, "take an order by telephone", self.take_order),
            (8, "receive a payment", self.receive_payment),
        ]

    # -- parties and contacts

    def edit_party(self) -> bool:
        party = self.one(LASTING_PARTY, [CLOSABLE_VAT])
        if party is None:
            return False
        if self.random.random() < 0.2:
            return self.changed(SET_STATE, [self.random.choice("AAD"), party[0]])
        return self.edit(PARTY_EDITS, self.company(), party[0])

    def edit_contested(self) -> bool:
        """The same field of the same customer that the others, here and in the CRM, are editing right now."""
        target = self.office.target()
        if target is None:
            return False
        vat, which = target
        return self.edit((CONTESTED_EDITS[which % len(CONTESTED_EDITS)],), self.company(), vat)

    def edit_address(self) -> bool:
        address = self.one(LASTING_ADDRESS, [CLOSABLE_VAT])
        return address is not None and self.edit(ADDRESS_EDITS, self.company(), address[0])

    def set_credit_limit(self) -> bool:
        party = self.one(LASTING_PARTY, [CLOSABLE_VAT])
        granted = [self.random.randrange(100) * 500, self.random.random() < 0.05]
        return party is not None and self.changed(SET_CREDIT_LIMIT, [*granted, *party])

    def set_terms(self) -> bool:
        party = self.one(LASTING_PARTY, [CLOSABLE_VAT])
        return party is not None and self.changed(SET_TERMS, party)

    def create_party(self) -> bool:
        company = self.company()
        return self._new_party(dataclasses.replace(company, vat=self.new_vat(company.country)))

    def key_again(self) -> bool:
        """What a colleague has just keyed in the CRM, unless the replicator was faster."""
        try:
            company = self.office.just_keyed.pop()
        except IndexError:
            return False
        return self._new_party(company)

    def _new_party(self, c: Company) -> bool:
        party = self.one(PARTY, [c.name, c.vat, self.random.choice("CCCD"), "A", self.name])
        if party is None:
            return False
        self.db.execute(NEW_ADDRESS, [*party, c.street, c.zip, c.city, self.countries[c.country]])
        self.db.execute(NEW_NUMBER, [*party, c.phone])
        for _ in range(self.random.randrange(2)):
            self._new_person(party[0])
        return True

    def create_contact(self) -> bool:
        party = self.one(LASTING_PARTY, [CLOSABLE_VAT])
        if party is None:
            return False
        self._new_person(party[0])
        return True

    def _new_person(self, party: int) -> None:
        p = self.person()
        newsletter = self.random.random() < 0.2
        self.db.execute(NEW_PERSON, [party, p.first, p.last, p.email or "", p.phone or "", p.title, newsletter])

    def edit_contact(self) -> bool:
        person = self.one(ANY_PERSON)
        return person is not None and self.edit(PERSON_EDITS, self.person(), person[0])

    def toggle_newsletter(self) -> bool:
        """Consent is recorded in the CRM: the replicator is to put it back."""
        person = self.one(ANY_PERSON)
        return person is not None and self.changed(TOGGLE_NEWSLETTER, person)

    def delete_contact(self) -> bool:
        person = self.one(ANY_PERSON)
        return person is not None and self.changed("DELETE FROM erp.contact_person WHERE contact_no = %s", person)

    def close_party(self) -> bool:
        party = self.one(CLOSABLE_PARTY, [CLOSABLE_VAT])
        if party is None:
            return False
        self.db.execute("DELETE FROM erp.contact_person WHERE party_no = %s", party)
        return self.changed(CLOSE, party)

    # -- items, prices, configurations

    def reprice(self) -> bool:
        item = self.one(ANY_ITEM)
        return item is not None and self.changed(REPRICE, [self.random.choice(("0.95", "0.98", "1.03", "1.05")), *item])

    def recost(self) -> bool:
        item = self.one(ANY_ITEM)
        return item is not None and self.changed(
            RECOST, [self.random.choice(("0.97", "1.02")), self.random.randrange(3, 30), *item]
        )

    def create_item(self) -> bool:
        number = FRESH.randrange(100_000_000, 1_000_000_000)
        price, weight = f"{self.random.uniform(1, 500):.2f}", f"{self.random.uniform(0.01, 20):.3f}"
        return self.changed(NEW_ITEM, [f"N-{number}", f"Part to drawing {number}", price, weight, "0.50"])

    def set_item_status(self) -> bool:
        item = self.one(ANY_ITEM)
        return item is not None and self.changed(SET_ITEM_STATUS, [self.random.choice((1, 1, 9)), *item])

    def special_price(self) -> bool:
        price = self.one(ANY_PRICE)
        return price is not None and self.changed(SPECIAL_PRICE, [self.random.choice(("0.96", "1.01", "1.03")), *price])

    def instruct(self) -> bool:
        found = self.one(ANY_CONFIGURATION)
        return found is not None and self.changed(INSTRUCT, [self.random.choice(("two layers of foil", "label on top")), *found])

    def recolour(self) -> bool:
        """That was agreed with the customer, in the CRM: the replicator is to put it back."""
        found = self.one(ANY_CONFIGURATION)
        return found is not None and self.changed(RECOLOUR, [self.random.choice(("grey", "blue")), *found])

    # -- orders and money

    def take_order(self) -> bool:
        party = self.one(LASTING_PARTY, [CLOSABLE_VAT])
        if party is None or self.one(ANY_ITEM) is None:
            return False
        order = self.one(NEW_ORDER, [*party, self.name])
        assert order is not None
        for place in range(1, self.random.randint(1, 3) + 1):
            item = self.one(ANY_ITEM)
            if item is not None:
                self.db.execute(NEW_LINE, [*order, place, self.random.choice((1, 4, 25)), *item])
        return True

    def receive_payment(self) -> bool:
        invoice = self.one(UNPAID)
        return invoice is not None and self.changed(PAY, invoice)
