"""What people do in a factory's ERP all day, see business.py."""

from __future__ import annotations

from random import Random
from typing import Any

import psycopg

from tests.pack.business import LASTING, Firm, Job, Person
from tests.pack.factory import PACKAGING, TERMS, WAREHOUSES, Factory

OPEN = "closed_on IS NULL"
SERVED = f"{OPEN} AND {LASTING.format('tax_id')}"
NEXT = {10: 15, 15: 20, 20: 30}


class FactoryPerson(Person):
    def __init__(self, firm: Firm, connection: psycopg.Connection, code: str, seed: int) -> None:
        self.erp = Factory(connection, code)
        super().__init__(firm, self.erp, Random(f"{code} {seed}"), code.lower())

    def jobs(self) -> list[Job]:
        return [
            (2, self.new_party), (2, self.keys_what_others_keyed), (6, self.edits_party), (1, self.closes_party),
            (5, self.edits_mechanism), (2, self.new_person), (3, self.edits_person), (1, self.drops_person),
            (1, self.new_address), (3, self.edits_address), (2, self.grants),
            (1, self.new_item), (4, self.edits_item), (1, self.costs), (1, self.composes), (1, self.decomposes),
            (2, self.new_price), (3, self.edits_price), (3, self.instructs), (2, self.types_packaging),
            (8, self.moves_stock), (4, self.transfers), (2, self.reserves),
            (3, self.keys_order), (2, self.edits_own_order), (14, self.goes_on), (3, self.promises), (3, self.delivers), (2, self.is_paid),
            (2, self.corrects_cost), (2, self.inspects), (3, self.resolves), (2, self.books_labour), (2, self.uses_part),
            (2, self.new_warranty), (1, self.extends_warranty),
        ]  # fmt: skip

    def edit(self, table: str, key: str, number: Any, columns: list[dict[str, Any]]) -> None:
        self.erp.edit(table, key, number, **self.dice.choice(columns))

    # -- parties

    def new_party(self) -> None:
        name, tax_id = self.firm.word("Party"), self.firm.tax_id() if self.chance(0.8) else None
        number = self.erp.keys_party(name, tax_id, role=self.dice.choice("CCD"))
        if self.firm.fights and self.chance(0.5):
            self._mechanism(number, "phone")
        if tax_id and not tax_id.endswith("9"):
            self.firm.keyed.append((name, tax_id))

    def keys_what_others_keyed(self) -> None:
        if self.firm.keyed:
            name, tax_id = self.dice.choice(self.firm.keyed)
            number = self.erp.keys_party(self.firm.word(name), tax_id)
            if self.firm.fights:
                self._mechanism(number, "phone")

    def _mechanism(self, number: Any, kind: str) -> None:
        sql = "INSERT INTO erp.contact_mechanism (party_no, kind, value) VALUES (%s, %s, %s)"
        self.erp.do(sql, number, kind, self.firm.word(kind))

    def edits_party(self) -> None:
        head = self.any("erp.party", "party_no", SERVED)
        columns: list[dict[str, Any]] = [
            {"name": self.firm.word("Party")},
            {"state": self.dice.choice("AD")},
            {"role": self.dice.choice("CD")},
            {"head_office": head},
        ]
        self.edit("party", "party_no", self.any("erp.party", "party_no", OPEN), columns)

    def closes_party(self) -> None:
        number = self.any("erp.party", "party_no", f"{OPEN} AND tax_id LIKE '%%9'")
        self.erp.edit("party", "party_no", number, closed_on=self.erp.today())

    def edits_mechanism(self) -> None:
        kind, dice = self.dice.choice(("phone", "mail", "web")), self.dice.random() if self.firm.fights else 0.5
        number = self.any("erp.party", "party_no", SERVED)
        if dice < 0.4 and number:
            self._mechanism(number, kind)
        elif dice < 0.8:
            self.erp.edit("contact_mechanism", "id", self.any("erp.contact_mechanism", "id"), value=self.firm.word(kind))
        else:
            self.erp.do("DELETE FROM erp.contact_mechanism WHERE id = %s", self.any("erp.contact_mechanism", "id"))

    def new_person(self) -> None:
        if number := self.any("erp.party", "party_no", SERVED):
            self.erp.do(
                "INSERT INTO erp.contact_person (party_no, family_name, mail, tel, newsletter) VALUES (%s, %s, '', '', %s)",
                number, self.firm.word("Person"), self.chance(0.5),
            )  # fmt: skip

    def edits_person(self) -> None:
        columns: list[dict[str, Any]] = [
            {"given_name": self.firm.word("G")},
            {"tel": self.firm.word("tel")},
            {"mail": ""},
            {"newsletter": self.chance(0.5)},
        ]
        self.edit("contact_person", "contact_no", self.any("erp.contact_person", "contact_no"), columns)

    def drops_person(self) -> None:
        """Nobody whom orders name."""
        if not self.firm.fights:
            return
        person = self.any("erp.contact_person", "contact_no", "family_name NOT LIKE 'Buyer%%'")
        self.erp.do("DELETE FROM erp.contact_person WHERE contact_no = %s", person)

    def new_address(self) -> None:
        number, country = self.any("erp.party", "party_no", SERVED), self.any("erp.country", "id")
        if number:
            self.erp.do(
                "INSERT INTO erp.party_address (party_no, usage, street, postal_code, town, country_id, remark) VALUES (%s, 'S', %s, '1', 'X', %s, '')",
                number, self.firm.word("Street"), country,
            )  # fmt: skip

    def edits_address(self) -> None:
        columns: list[dict[str, Any]] = [
            {"street": self.firm.word("Street")},
            {"town": self.firm.word("Town"), "country_id": self.any("erp.country", "id")},
            {"remark": self.firm.word("gate")},
        ]
        self.edit("party_address", "address_no", self.any("erp.party_address", "address_no"), columns)

    def grants(self) -> None:
        self.erp.grants(self.any("erp.party", "party_no", SERVED), self.dice.randint(1, 99) * 100, self.dice.choice(list(TERMS)))

    # -- items

    def new_item(self) -> None:
        code = self.dice.choice(self.firm.articles) if self.firm.articles and self.chance(0.5) else self.firm.word("Article")
        self.erp.keys_item(code, standard_cost=self.dice.randint(1, 20))
        self.firm.articles.append(code)

    def edits_item(self) -> None:
        columns: list[dict[str, Any]] = [
            {"description": self.firm.word("Item")},
            {"sales_price": self.dice.randint(10, 99)},
            {"status": self.dice.choice((1, 1, 9))},
            {"weight": self.dice.randint(1, 99) / 8},
        ]
        self.edit("item", "item_no", self.any("erp.item", "item_no"), columns)

    def costs(self) -> None:
        self.erp.edit(
            "item",
            "item_no",
            self.any("erp.item", "item_no"),
            standard_cost=self.dice.randint(1, 20),
            lead_days=self.dice.randint(1, 9),
        )

    def composes(self) -> None:
        self.erp.do(
            "INSERT INTO erp.bom_line (item_no, line_no, component_no, qty) VALUES (%s, %s, %s, %s)",
            self.any("erp.item", "item_no"), self.dice.randint(1, 5), self.any("erp.item", "item_no"), self.dice.randint(1, 9) / 4,
        )  # fmt: skip

    def decomposes(self) -> None:
        line = self.erp.row("SELECT item_no, line_no FROM erp.bom_line ORDER BY random() LIMIT 1")
        if line:
            self.erp.do("DELETE FROM erp.bom_line WHERE item_no = %s AND line_no = %s", *line)

    def new_price(self) -> None:
        party = self.any("erp.party", "party_no", SERVED) if self.chance(0.6) else None
        self.erp.do(
            "INSERT INTO erp.item_price (item_no, party_no, price, currency, valid_from) VALUES (%s, %s, %s, 'EUR', %s)",
            self.any("erp.item", "item_no"), party, self.dice.randint(10, 99), f"2031-01-0{self.dice.randint(1, 3)}",
        )  # fmt: skip

    def edits_price(self) -> None:
        self.erp.edit("item_price", "price_no", self.any("erp.item_price", "price_no"), price=self.dice.randint(10, 99))

    def instructs(self) -> None:
        config = self.any("erp.item_configuration", "config_no")
        self.erp.edit("item_configuration", "config_no", config, instructions=self.firm.word("Gloves"))

    def types_packaging(self) -> None:
        self.erp.do(
            "UPDATE erp.item_configuration SET packaging_id = (SELECT id FROM erp.packaging WHERE code = %s) WHERE config_no = %s",
            self.dice.choice(PACKAGING), self.any("erp.item_configuration", "config_no"),
        )  # fmt: skip

    # -- stock

    def moves_stock(self) -> None:
        code = self.any("erp.item", "code")
        if code:
            self.erp.moves(code, self.dice.randint(-5, 20), self.dice.choice(WAREHOUSES))

    def transfers(self) -> None:
        code, (one, other) = self.any("erp.item", "code"), sorted(self.dice.sample(WAREHOUSES, 2))
        if code:
            self.erp.moves(code, -1, one, "transfer")
            self.erp.moves(code, 1, other, "transfer")

    def reserves(self) -> None:
        if code := self.any("erp.item", "code"):
            self.erp.reserves(code, self.dice.randint(1, 3), self.dice.choice(WAREHOUSES))

    # -- orders

    def keys_order(self) -> None:
        party = self.any("erp.party", "party_no", SERVED)
        codes = self.erp.values("SELECT code FROM erp.item ORDER BY random() LIMIT %s", self.dice.randint(1, 3))
        if party and codes:
            lines = [(code, self.dice.randint(1, 9), self.dice.randint(5, 99)) for code in codes]
            self.erp.keys_order(party, *lines, subject=self.firm.word("Telephone"))

    def edits_own_order(self) -> None:
        line = self.any(
            "erp.sales_order_line JOIN erp.sales_order USING (order_id)", "line_id", "external_ref IS NULL AND state < 30"
        )
        if self.chance(0.7):
            self.erp.edit(
                "sales_order_line", "line_id", line, rebate=self.dice.choice((0, 0.1, 0.25)), qty=self.dice.randint(1, 9)
            )
        else:
            order = self.any("erp.sales_order", "order_id", "external_ref IS NULL AND state = 10")
            self.erp.edit("sales_order", "order_id", order, state=90)

    def goes_on(self) -> None:
        order = self.any("erp.sales_order", "order_id", "state < 30")
        state = NEXT.get(self.erp.state(order) or 0)
        if state == 15:
            self.erp.produces(order, self.dice.randint(1, 50), self.dice.randint(1, 50), 1)
        elif state == 20:
            self.erp.ships(order)
        elif state == 30:
            self.erp.invoices(order)

    def promises(self) -> None:
        order = self.any("erp.sales_order", "order_id", "state < 20")
        self.erp.edit("sales_order", "order_id", order, promised_on=f"2031-02-0{self.dice.randint(1, 9)}")

    def delivers(self) -> None:
        note = self.any("erp.delivery", "delivery_no", "delivered_on IS NULL")
        self.erp.edit(
            "delivery", "delivery_no", note, delivered_on=f"2031-02-0{self.dice.randint(1, 9)}", tracking=self.firm.word("T")
        )

    def is_paid(self) -> None:
        self.erp.edit("invoice", "invoice_no", self.any("erp.invoice", "invoice_no", "paid_on IS NULL"), paid_on="2031-03-01")

    def corrects_cost(self) -> None:
        self.erp.edit("batch", "batch_no", self.any("erp.batch", "batch_no"), material_cost=self.dice.randint(1, 99))

    # -- quality and service

    def inspects(self) -> None:
        if batch := self.any("erp.batch", "batch_no"):
            self.erp.inspects(batch, self.dice.choice(("pass", "rework", "fail")))

    def resolves(self) -> None:
        columns: list[dict[str, Any]] = [
            {"resolution": self.firm.word("Done")},
            {"cost": self.dice.randint(1, 50)},
            {"state": self.dice.choice((2, 3, 4))},
        ]
        self.edit("complaint", "complaint_no", self.any("erp.complaint", "complaint_no"), columns)

    def books_labour(self) -> None:
        columns: list[dict[str, Any]] = [
            {"labour_cost": self.dice.randint(1, 99)},
            {"state": self.dice.choice((2, 3, 4))},
            {"visit_on": "2031-01-15"},
        ]
        self.edit("service_order", "service_no", self.any("erp.service_order", "service_no"), columns)

    def uses_part(self) -> None:
        part, service = self.any("erp.service_part", "part_no"), self.any("erp.service_order", "service_no")
        if self.chance(0.5) and service:
            self.erp.do(
                "INSERT INTO erp.service_part (service_no, item_no, warehouse, qty) VALUES (%s, %s, 'SERV', %s)",
                service, self.any("erp.item", "item_no"), self.dice.randint(1, 5),
            )  # fmt: skip
        elif self.chance(0.5):
            self.erp.edit("service_part", "part_no", part, qty=self.dice.randint(1, 5))
        else:
            self.erp.do("DELETE FROM erp.service_part WHERE part_no = %s", part)

    def new_warranty(self) -> None:
        party, code = self.any("erp.party", "party_no", SERVED), self.any("erp.item", "code")
        if party and code:
            self.erp.warrants(self.firm.word("SN"), party, code, "2029-01-01", self.dice.choice(("2030-01-01", "2032-05-31")))

    def extends_warranty(self) -> None:
        self.erp.edit("warranty", "serial_no", self.any("erp.warranty", "serial_no"), ends_on="2033-06-30")
