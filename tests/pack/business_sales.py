"""What sales and the customer-service centre do in the CRM all day, see business.py."""

from __future__ import annotations

from random import Random
from typing import Any

import psycopg

from tests.pack.business import LASTING, Firm, Job, Person
from tests.pack.factory import PACKAGING
from tests.pack.sales import Line, Sales
from tests.pack.service import Service

OPEN = "deleted_at IS NULL"
SERVED = f"{OPEN} AND {LASTING.format('vat_number')}"
CUSTOMER = f"{SERVED} AND kind <> 'prospect'"


class SalesPerson(Person):
    def __init__(self, firm: Firm, connection: psycopg.Connection, seed: int) -> None:
        self.sales, self.service = Sales(connection), Service(connection)
        super().__init__(firm, self.sales, Random(f"sales {seed}"), "sales")

    def jobs(self) -> list[Job]:
        return [
            (4, self.new_customer), (2, self.keys_what_others_keyed), (8, self.edits_customer), (1, self.closes_customer),
            (3, self.new_contact), (4, self.edits_contact), (1, self.drops_contact),
            (3, self.new_address), (4, self.edits_address), (1, self.drops_address),
            (2, self.new_product), (5, self.edits_product), (3, self.agrees), (5, self.changes_agreement),
            (2, self.new_price), (4, self.edits_price),
            (6, self.new_quote), (8, self.negotiates), (6, self.confirms), (2, self.saves_again), (1, self.rejects), (2, self.steps_back),
            (3, self.new_complaint), (3, self.new_request), (4, self.uses_part), (3, self.corrects_part), (4, self.edits_ticket),
        ]  # fmt: skip

    # -- customers

    def new_customer(self) -> None:
        name, vat = self.firm.word("Customer"), self.firm.tax_id() if self.chance(0.8) else None
        kind = self.dice.choice(("customer", "customer", "customer", "dealer", "prospect"))
        phone, mail = (self.firm.word(what) if self.chance(0.5) else None for what in ("tel", "mail"))
        account = self.sales.account(name, vat, kind=kind, phone=phone, email=mail)
        if self.chance(0.3) and not (vat or "").endswith("9"):
            self.sales.contact(account, self.firm.word("Buyer"))
            self.sales.address(account, "billing", self.firm.word("Street"), "1010", "Wien")
        if vat and kind != "prospect" and not vat.endswith("9"):
            self.firm.keyed.append((name, vat))

    def keys_what_others_keyed(self) -> None:
        if self.firm.keyed:
            name, vat = self.dice.choice(self.firm.keyed)
            self.sales.account(self.firm.word(name), vat, phone=self.firm.word("tel"))

    def edits_customer(self) -> None:
        account = self.any("crm.account", "id", OPEN)
        columns: list[dict[str, Any]] = [
            {"name": self.firm.word("Customer")}, {"status": self.dice.choice(("active", "dormant"))},
            {"segment": self.dice.choice(("key", "small"))}, {"phone": self.firm.word("tel")}, {"phone": None},
            {"email": self.firm.word("mail")}, {"email": None}, {"website": self.firm.word("web")}, {"website": None},
            {"kind": self.dice.choice(("customer", "dealer"))}, {"parent_id": self.any("crm.account", "id", CUSTOMER)},
        ]  # fmt: skip
        self.sales.edit("account", account, **self.dice.choice(columns))

    def closes_customer(self) -> None:
        self.sales.closes(self.any("crm.account", "id", f"{OPEN} AND vat_number LIKE '%%9'"))

    def new_contact(self) -> None:
        if account := self.any("crm.account", "id", SERVED):
            self.sales.contact(account, self.firm.word("Person"), email=self.firm.word("mail"), opted_in=self.chance(0.5))

    def edits_contact(self) -> None:
        columns: list[dict[str, Any]] = [
            {"first_name": self.firm.word("F")},
            {"phone": None},
            {"phone": self.firm.word("tel")},
            {"opted_in": self.chance(0.5)},
        ]
        self.sales.edit("contact", self.any("crm.contact", "id", OPEN), **self.dice.choice(columns))

    def drops_contact(self) -> None:
        if self.firm.fights:
            self.sales.do(
                "UPDATE crm.contact SET deleted_at = now() WHERE id = %s",
                self.any("crm.contact", "id", f"{OPEN} AND last_name NOT LIKE 'Buyer%%'"),
            )

    def new_address(self) -> None:
        if account := self.any("crm.account", "id", SERVED):
            self.sales.address(account, self.dice.choice(("billing", "shipping")), self.firm.word("Street"), "1010", "Wien")

    def edits_address(self) -> None:
        columns: list[dict[str, Any]] = [
            {"street": self.firm.word("Street")},
            {"zip": "2020", "city": self.firm.word("City"), "country_code": self.dice.choice(("DE", "CH"))},
            {"instructions": self.firm.word("gate")},
        ]
        self.sales.edit("address", self.any("crm.address", "id"), **self.dice.choice(columns))

    def drops_address(self) -> None:
        self.sales.do("DELETE FROM crm.address WHERE id = %s", self.any("crm.address", "id"))

    # -- products

    def new_product(self) -> None:
        sku = self.dice.choice(self.firm.articles) if self.firm.articles and self.chance(0.3) else self.firm.word("Article")
        made_in = self.dice.choice((["NORTH"], ["SOUTH"], ["NORTH", "SOUTH"], ["NORTH", "SOUTH"]))
        self.sales.product(sku, *made_in, list_price=self.dice.randint(10, 99), spare_part=self.chance(0.3))
        self.firm.articles.append(sku)

    def edits_product(self) -> None:
        columns: list[dict[str, Any]] = [
            {"name": self.firm.word("Name")},
            {"list_price": self.dice.randint(10, 99)},
            {"active": self.chance(0.8)},
            {"family": self.firm.word("Family")},
            {"made_in": ["NORTH", "SOUTH"]},
        ]
        self.sales.edit("product", self.any("crm.product", "id"), **self.dice.choice(columns))

    def agrees(self) -> None:
        account, product = self.any("crm.account", "id", SERVED), self.any("crm.product", "id")
        if account and product:
            self.sales.agrees(account, product, self.dice.choice(PACKAGING), colour=self.firm.word("red"))

    def changes_agreement(self) -> None:
        columns: list[dict[str, Any]] = [
            {"packaging": self.dice.choice(PACKAGING)},
            {"colour": self.firm.word("blue")},
            {"label": self.firm.word("label")},
        ]
        self.sales.edit("product_configuration", self.any("crm.product_configuration", "id"), **self.dice.choice(columns))

    def new_price(self) -> None:
        account = self.any("crm.account", "id", CUSTOMER) if self.chance(0.6) else None
        if product := self.any("crm.product", "id"):
            day = f"2031-01-0{self.dice.randint(1, 3)}"
            self.sales.prices(product, self.dice.randint(10, 99), account, valid_from=day)

    def edits_price(self) -> None:
        self.sales.edit("price_book", self.any("crm.price_book", "id"), price=self.dice.randint(10, 99))

    # -- quotes

    def new_quote(self) -> None:
        if account := self.any("crm.account", "id", SERVED):
            contact = (
                self.any("crm.contact", "id", f"{OPEN} AND last_name LIKE 'Buyer%%' AND account_id = %s", account)
                if self.chance(0.5)
                else None
            )
            self.sales.quotes(account, *self._lines(account), title=self.firm.word("Quote"), contact_id=contact)

    def _lines(self, account: Any) -> list[Line]:
        lines = []
        for _ in range(self.dice.randint(1, 4)):
            made = self.sales.rows(
                "SELECT p.id, f.code, c.id FROM crm.product p JOIN crm.factory f ON f.code = ANY (p.made_in)"
                " LEFT JOIN crm.product_configuration c ON c.product_id = p.id AND c.account_id = %s ORDER BY random() LIMIT 1",
                account,
            )
            for product, factory, agreed in made:
                price, discount = self.dice.randint(5, 500), self.dice.choice((0, 0, 10, 12.5))
                lines.append(Line(product, self.dice.randint(1, 9), price, factory, discount, agreed))
        return lines

    def _drafts(self) -> Any:
        """One that nobody else has open."""
        sql = "SELECT id FROM crm.quote WHERE stage IN ('draft', 'negotiation') ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED"
        return self.sales.value(sql)

    def negotiates(self) -> None:
        if quote := self._drafts():
            self.sales.negotiates(quote, self.firm.word("Round"), quantity=self.dice.randint(1, 9))
            if self.chance(0.3):
                self.sales.offers(quote, *self._lines(self.sales.sees("quote", quote, "account_id"))[:1])

    def confirms(self) -> None:
        """A customer who orders is one, not a prospect."""
        if quote := self._drafts():
            self.sales.confirms(quote)
            self.sales.do(
                "UPDATE crm.account SET kind = 'customer' WHERE kind = 'prospect' AND id = (SELECT account_id FROM crm.quote WHERE id = %s)",
                quote,
            )

    def saves_again(self) -> None:
        if quote := self.any("crm.quote", "id", "stage = 'confirmed'"):
            self.sales.confirms(quote)
            self.sales.edit("quote", quote, note=self.firm.word("Note"))

    def rejects(self) -> None:
        self.sales.edit("quote", self._drafts(), stage="rejected")

    def steps_back(self) -> None:
        if quote := self.any("crm.quote", "id", "stage = 'confirmed'"):
            self.sales.steps_back(quote)

    # -- tickets

    def new_complaint(self) -> None:
        found = self.sales.rows(
            "SELECT o.account_id, l.product_id, o.id FROM crm.sales_order o JOIN crm.quote_line l"
            " ON l.quote_id = o.quote_id AND l.factory = o.factory ORDER BY random() LIMIT 1"
        )
        for account, product, order in found:
            defect = self.dice.choice(("damaged", "wrong", "quality", "late", "other"))
            self.service.complains(
                account, product, defect, order, subject=self.firm.word("Complaint"), quantity=self.dice.randint(1, 3)
            )

    def new_request(self) -> None:
        subject = self.firm.word("Request")
        if self.chance(0.5):
            found = self.sales.rows(
                "SELECT account_id, product_id, serial_no FROM crm.installed_product ORDER BY random() LIMIT 1"
            )
            for account, product, serial in found:
                self.service.requests(account, product, serial, subject=subject)
        else:
            account = self.any("crm.account", "id", CUSTOMER)
            site = self.sales.rows("SELECT product_id, factory FROM crm.product_site ORDER BY random() LIMIT 1")
            if account and site:
                self.service.requests(account, site[0][0], subject=subject, factory=site[0][1], technician="Lang")

    def uses_part(self) -> None:
        found = self.sales.rows(
            "SELECT r.id, s.product_id FROM crm.service_request r JOIN crm.ticket t USING (id) JOIN crm.product_site s"
            " ON s.factory = coalesce(t.factory, (SELECT i.factory FROM crm.installed_product i WHERE i.serial_no = r.serial_no))"
            " ORDER BY random() LIMIT 1"
        )
        for request, product in found:
            self.service.uses(request, product, self.dice.randint(1, 5))

    def corrects_part(self) -> None:
        part = self.any("crm.service_part", "id")
        if self.chance(0.3):
            self.sales.do("DELETE FROM crm.service_part WHERE id = %s", part)
        else:
            self.sales.edit("service_part", part, quantity=self.dice.randint(1, 5))

    def edits_ticket(self) -> None:
        columns: list[dict[str, Any]] = [
            {"status": self.dice.choice(("open", "waiting", "solved", "closed"))},
            {"subject": self.firm.word("Subject")},
            {"description": self.firm.word("Words")},
        ]
        self.sales.edit("ticket", self.any("crm.ticket", "id"), **self.dice.choice(columns))
