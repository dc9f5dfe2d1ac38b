"""What an ERP user of the demo does: keeps customers, their credit and their contacts, moves orders, sets prices."""

from __future__ import annotations

import dataclasses
from typing import LiteralString

from replicator.demo.people import Company
from replicator.demo.user import FRESH, Edits, User, Work
from replicator.demo.world import CLOSABLE_VAT, ONE_CUSTOMER

RANDOM_CUSTOMER: LiteralString = "SELECT 10001 + floor(random() * (max(customer_no) - 10000))::int FROM erp.customer"
ANY_CUSTOMER: LiteralString = f"""
    SELECT customer_no FROM erp.customer
    WHERE customer_no >= ({RANDOM_CUSTOMER}) AND closed_on IS NULL ORDER BY customer_no LIMIT 1"""
LASTING_CUSTOMER: LiteralString = f"""
    SELECT customer_no FROM erp.customer
    WHERE customer_no >= ({RANDOM_CUSTOMER}) AND closed_on IS NULL AND coalesce(tax_id, '') NOT LIKE %s
    ORDER BY customer_no LIMIT 1"""
CLOSABLE_CUSTOMER: LiteralString = f"""
    SELECT customer_no FROM erp.customer c
    WHERE customer_no >= ({RANDOM_CUSTOMER}) AND closed_on IS NULL AND tax_id LIKE %s
      AND NOT EXISTS (SELECT 1 FROM erp.sales_order o WHERE o.customer_no = c.customer_no)
    ORDER BY customer_no LIMIT 1"""
ANY_PERSON: LiteralString = """
    SELECT id FROM erp.contact_person
    WHERE id >= (SELECT 1 + floor(random() * max(id))::int FROM erp.contact_person) ORDER BY id LIMIT 1"""
ANY_ITEM: LiteralString = """
    SELECT item_no FROM erp.item
    WHERE item_no >= (SELECT 1 + floor(random() * max(item_no))::int FROM erp.item) ORDER BY item_no LIMIT 1"""
OPEN_ORDER: LiteralString = """
    SELECT order_id FROM erp.sales_order
    WHERE order_id >= (SELECT 1 + floor(random() * max(order_id))::bigint FROM erp.sales_order) AND state IN (10, 20)
    ORDER BY order_id LIMIT 1"""

NEW_CUSTOMER: LiteralString = f"{ONE_CUSTOMER} RETURNING customer_no"
NEW_PERSON: LiteralString = """
    INSERT INTO erp.contact_person (customer_no, given_name, family_name, mail, tel, function, newsletter)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
NEW_ITEM: LiteralString = """
    INSERT INTO erp.item (code, description, sales_price, uom, status, weight) VALUES (%s, %s, %s, 'pcs', 1, %s)"""
MOVE_ORDER: LiteralString = """
    UPDATE erp.sales_order SET state = CASE state WHEN 10 THEN 20 WHEN 20 THEN 30 ELSE state END,
           changed_on = localtimestamp WHERE order_id = %s"""
CANCEL_ORDER: LiteralString = """
    UPDATE erp.sales_order SET state = 90, changed_on = localtimestamp WHERE order_id = %s AND state = 10"""
SET_STATE: LiteralString = "UPDATE erp.customer SET state = %s WHERE customer_no = %s"
SET_CREDIT_LIMIT: LiteralString = "UPDATE erp.customer SET credit_limit = %s WHERE customer_no = %s"
SET_TERMS: LiteralString = """
    UPDATE erp.customer SET payment_term_id = (SELECT id FROM erp.payment_term ORDER BY random() LIMIT 1)
    WHERE customer_no = %s"""
CLOSE: LiteralString = "UPDATE erp.customer SET closed_on = current_date WHERE customer_no = %s AND closed_on IS NULL"
REPRICE: LiteralString = "UPDATE erp.item SET sales_price = round(sales_price * %s, 2) WHERE item_no = %s"
RAISE_PRICES: LiteralString = """
    UPDATE erp.item SET sales_price = round(sales_price * 1.02, 2)
    WHERE item_no IN (SELECT item_no FROM erp.item WHERE item_no >= %s ORDER BY item_no LIMIT 20 FOR UPDATE)"""
SET_ITEM_STATUS: LiteralString = "UPDATE erp.item SET status = %s WHERE item_no = %s"
TOGGLE_NEWSLETTER: LiteralString = "UPDATE erp.contact_person SET newsletter = NOT newsletter WHERE id = %s"

CUSTOMER_EDITS: Edits = (
    ("UPDATE erp.customer SET phone = %s WHERE customer_no = %s", ("phone",)),
    ("UPDATE erp.customer SET homepage = %s WHERE customer_no = %s", ("website",)),
    ("UPDATE erp.customer SET company_name = %s WHERE customer_no = %s", ("name",)),
    (
        """UPDATE erp.customer SET street = %s, postal_code = %s, town = %s,
           country_id = (SELECT id FROM erp.country WHERE iso2 = %s) WHERE customer_no = %s""",
        ("street", "zip", "city", "country"),
    ),
)
CONTESTED_EDITS: Edits = (  # field by field what the CRM's users edit too
    ("UPDATE erp.customer SET phone = %s WHERE tax_id = %s", ("phone",)),
    ("UPDATE erp.customer SET company_name = %s WHERE tax_id = %s", ("name",)),
    ("UPDATE erp.customer SET town = %s WHERE tax_id = %s", ("city",)),
)
PERSON_EDITS: Edits = (
    ("UPDATE erp.contact_person SET tel = coalesce(%s, '') WHERE id = %s", ("phone",)),
    ("UPDATE erp.contact_person SET mail = coalesce(%s, '') WHERE id = %s", ("email",)),
    ("UPDATE erp.contact_person SET given_name = %s, family_name = %s WHERE id = %s", ("first", "last")),
    ("UPDATE erp.contact_person SET function = %s WHERE id = %s", ("title",)),
)


class ErpUser(User):
    system = "erp"

    def begin(self) -> None:
        self.countries: dict[str, int] = dict(self.db.execute("SELECT iso2, id FROM erp.country").fetchall())
        self.terms = [row[0] for row in self.db.execute("SELECT id FROM erp.payment_term ORDER BY code")]

    def work(self) -> list[Work]:
        return [
            (16, "edit customer", self.edit_customer),
            (8, "edit contested customer", self.edit_contested),
            (8, "set credit limit", self.set_credit_limit),
            (4, "set payment terms", self.set_terms),
            (5, "create customer", self.create_customer),
            (2, "key a customer keyed in the CRM", self.key_again),
            (5, "create contact", self.create_contact),
            (12, "edit contact", self.edit_contact),
            (2, "try to change a consent", self.toggle_newsletter),
            (3, "delete contact", self.delete_contact),
            (1, "close customer", self.close_customer),
            (14, "move order", self.move_order),
            (6, "change a price", self.reprice),
            (1, "raise twenty prices", self.raise_prices),
            (1, "create item", self.create_item),
            (1, "change an item's status", self.set_item_status),
        ]

    # -- customers and contacts

    def edit_customer(self) -> bool:
        customer = self.one(ANY_CUSTOMER)
        if customer is None:
            return False
        if self.random.random() < 0.2:
            return self.changed(SET_STATE, [self.random.choice("AADP"), customer[0]])
        return self.edit(CUSTOMER_EDITS, self.company(), customer[0])

    def edit_contested(self) -> bool:
        """The same field of the same customer that the others, here and in the CRM, are editing right now."""
        target = self.office.target()
        if target is None:
            return False
        vat, which = target
        return self.edit((CONTESTED_EDITS[which % len(CONTESTED_EDITS)],), self.company(), vat)

    def set_credit_limit(self) -> bool:
        customer = self.one(ANY_CUSTOMER)
        return customer is not None and self.changed(SET_CREDIT_LIMIT, [self.random.randrange(100) * 500, *customer])

    def set_terms(self) -> bool:
        customer = self.one(ANY_CUSTOMER)
        return customer is not None and self.changed(SET_TERMS, customer)

    def create_customer(self) -> bool:
        company = self.company()
        company = dataclasses.replace(company, vat=self.new_vat(company.country))
        customer = self.one(NEW_CUSTOMER, self._row(company))
        if customer is None:
            return False
        for _ in range(self.random.randrange(3)):
            self._new_person(customer[0])
        return True

    def key_again(self) -> bool:
        """What a colleague has just keyed in the CRM, unless the replicator was faster."""
        try:
            company = self.office.just_keyed.pop()
        except IndexError:
            return False
        return self.one(NEW_CUSTOMER, self._row(company)) is not None

    def _row(self, c: Company) -> tuple[object, ...]:
        """In the order of ONE_CUSTOMER's columns."""
        address = (c.name, c.vat, c.street, c.zip, c.city, self.countries[c.country], c.phone, c.website)
        return (*address, "A", self.random.randrange(100) * 500, self.random.choice(self.terms), 0, self.name)

    def create_contact(self) -> bool:
        customer = self.one(LASTING_CUSTOMER, [CLOSABLE_VAT])
        if customer is None:
            return False
        self._new_person(customer[0])
        return True

    def _new_person(self, customer: int) -> None:
        p = self.person()
        newsletter = self.random.random() < 0.2
        self.db.execute(NEW_PERSON, [customer, p.first, p.last, p.email or "", p.phone or "", p.title, newsletter])

    def edit_contact(self) -> bool:
        person = self.one(ANY_PERSON)
        return person is not None and self.edit(PERSON_EDITS, self.person(), person[0])

    def toggle_newsletter(self) -> bool:
        """Consent is recorded in the CRM: the replicator is to put it back."""
        person = self.one(ANY_PERSON)
        return person is not None and self.changed(TOGGLE_NEWSLETTER, person)

    def delete_contact(self) -> bool:
        person = self.one(ANY_PERSON)
        return person is not None and self.changed("DELETE FROM erp.contact_person WHERE id = %s", person)

    def close_customer(self) -> bool:
        customer = self.one(CLOSABLE_CUSTOMER, [CLOSABLE_VAT])
        if customer is None:
            return False
        self.db.execute("DELETE FROM erp.contact_person WHERE customer_no = %s", customer)
        return self.changed(CLOSE, customer)

    # -- orders and items

    def move_order(self) -> bool:
        """Ordered, shipped, invoiced; now and then one is cancelled before it is shipped."""
        order = self.one(OPEN_ORDER)
        return order is not None and self.changed(CANCEL_ORDER if self.random.random() < 0.03 else MOVE_ORDER, order)

    def reprice(self) -> bool:
        item = self.one(ANY_ITEM)
        return item is not None and self.changed(REPRICE, [self.random.choice(("0.95", "0.98", "1.03", "1.05")), *item])

    def raise_prices(self) -> bool:
        item = self.one(ANY_ITEM)
        return item is not None and self.changed(RAISE_PRICES, item)

    def create_item(self) -> bool:
        number = FRESH.randrange(100_000_000, 1_000_000_000)
        price, weight = f"{self.random.uniform(1, 500):.2f}", f"{self.random.uniform(0.01, 20):.3f}"
        return self.changed(NEW_ITEM, [f"N-{number}", f"Part to drawing {number}", price, weight])

    def set_item_status(self) -> bool:
        item = self.one(ANY_ITEM)
        return item is not None and self.changed(SET_ITEM_STATUS, [self.random.choice((1, 1, 5, 9)), *item])
