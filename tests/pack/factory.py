"""People at one factory's ERP: finance, the storekeeper, production, dispatch, quality and service."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.pack.desk import Desk, Row

COUNTRIES = ("AT", "DE", "CH", "FR", "IT")
TERMS = {"PREPAID": 0, "NET10": 10, "NET30": 30, "NET60": 60}
PACKAGING = ("carton", "crate", "pallet", "bulk")
WAREHOUSES = (*(f"W{number:03}" for number in range(1, 11)), "SERV")


class Factory(Desk):
    def __init__(self, connection: psycopg.Connection, code: str) -> None:
        super().__init__(connection)
        self.code = code

    def opens(self, number: int) -> None:
        """What an installation has before the first customer; `number` lets its keys differ from the others'."""
        turn = number + 1
        for code in COUNTRIES[turn:] + COUNTRIES[:turn]:
            self.do("INSERT INTO erp.country (iso2, name) VALUES (%s, %s)", code, f"Country {code}")
        terms = list(TERMS.items())
        for code, days in terms[turn:] + terms[:turn]:
            self.do("INSERT INTO erp.payment_term (code, days) VALUES (%s, %s)", code, days)
        for code in PACKAGING[turn:] + PACKAGING[:turn]:
            self.do("INSERT INTO erp.packaging (code, name) VALUES (%s, %s)", code, f"In a {code}")
        for code in WAREHOUSES:
            self.do("INSERT INTO erp.warehouse (code, name) VALUES (%s, %s)", code, f"Warehouse {code}")
        for table, column in (("party", "party_no"), ("item", "item_no")):  # no number means the same in two factories
            self.value(
                "SELECT setval(pg_get_serial_sequence(%s, %s), %s)", f"erp.{table}", column, 10_000 * (number + 1) + 7 * number
            )

    # -- parties

    def keys_party(self, name: str, tax_id: str | None = None, **columns: Any) -> int:
        given = {"role": "C", "state": "A", "entered_by": "finance", **columns}
        return self._new("erp.party", "party_no", name=name, tax_id=tax_id, **given)  # type: ignore[no-any-return]

    def party(self, name: str) -> int | None:
        """Of that name, not closed. Two are an error."""
        return self.value("SELECT party_no FROM erp.party WHERE name = %s AND closed_on IS NULL", name)  # type: ignore[no-any-return]

    def edit(self, table: str, key: str, number: Any, **columns: Any) -> int:
        """`table` without its schema."""
        sets = ", ".join(f"{name} = %s" for name in columns)
        return self.do(f"UPDATE erp.{table} SET {sets} WHERE {key} = %s", *columns.values(), number)

    def mechanisms(self, party: int | None) -> dict[str, str]:
        return dict(self.rows("SELECT kind, value FROM erp.contact_mechanism WHERE party_no = %s", party))

    def grants(self, party: int | None, limit: float, terms: str = "NET30") -> None:
        self.do(
            "UPDATE erp.credit SET credit_limit = %s, payment_term_id = (SELECT id FROM erp.payment_term WHERE code = %s)"
            " WHERE party_no = %s",
            limit, terms, party,
        )  # fmt: skip

    # -- items

    def keys_item(self, code: str, **columns: Any) -> int:
        given = {"description": f"The {code}", "uom": "PCE", "sales_price": 50, "status": 1, "spare": False, "standard_cost": 30}
        return self._new("erp.item", "item_no", code=code, **{**given, **columns})  # type: ignore[no-any-return]

    def item(self, code: str) -> int | None:
        return self.value("SELECT item_no FROM erp.item WHERE code = %s", code)  # type: ignore[no-any-return]

    def costs(self, code: str, standard_cost: float) -> None:
        self.do("UPDATE erp.item SET standard_cost = %s WHERE code = %s", standard_cost, code)

    def sheet(self, party: str, item: str) -> Row | None:
        """What production prints for a customer and an item: (packaging, colour, label, instructions, version)."""
        return self.row(
            "SELECT k.code, c.colour, c.label, c.instructions, c.version FROM erp.item_configuration c"
            " JOIN erp.packaging k ON k.id = c.packaging_id JOIN erp.party p USING (party_no) JOIN erp.item i USING (item_no)"
            " WHERE p.name = %s AND i.code = %s",
            party, item,
        )  # fmt: skip

    def types_packaging(self, party: str, item: str, packaging: str) -> int:
        return self.do(
            "UPDATE erp.item_configuration SET packaging_id = (SELECT id FROM erp.packaging WHERE code = %s)"
            " WHERE party_no = (SELECT party_no FROM erp.party WHERE name = %s)"
            " AND item_no = (SELECT item_no FROM erp.item WHERE code = %s)",
            packaging, party, item,
        )  # fmt: skip

    def instructs(self, party: str, item: str, instructions: str) -> int:
        return self.do(
            "UPDATE erp.item_configuration SET instructions = %s"
            " WHERE party_no = (SELECT party_no FROM erp.party WHERE name = %s)"
            " AND item_no = (SELECT item_no FROM erp.item WHERE code = %s)",
            instructions, party, item,
        )  # fmt: skip

    # -- stock

    def moves(self, code: str, quantity: float, warehouse: str = "W001", reason: str = "receipt") -> None:
        self.do(
            "INSERT INTO erp.stock_move (item_no, warehouse, qty, reason) SELECT item_no, %s, %s, %s FROM erp.item WHERE code = %s",
            warehouse, quantity, reason, code,
        )  # fmt: skip

    def reserves(self, code: str, quantity: float, warehouse: str = "W001") -> None:
        self.do(
            "UPDATE erp.stock SET reserved = reserved + %s WHERE warehouse = %s"
            " AND item_no = (SELECT item_no FROM erp.item WHERE code = %s)",
            quantity, warehouse, code,
        )  # fmt: skip

    def on_hand(self, code: str, warehouse: str | None = None) -> float:
        """In all warehouses, or in one."""
        return self.value(  # type: ignore[no-any-return]
            "SELECT coalesce(sum(on_hand), 0) FROM erp.stock JOIN erp.item USING (item_no)"
            " WHERE code = %s AND warehouse = coalesce(%s, warehouse)",
            code, warehouse,
        )  # fmt: skip

    # -- orders

    def keys_order(self, party: int | None, *lines: tuple[str, float, float], **columns: Any) -> int:
        """An order that came by telephone; lines are (item code, quantity, price)."""
        given = {"subject": "By telephone", "ordered_on": self.today(), "currency": "EUR", "entered_by": "office", **columns}
        with self.connection.transaction():
            order: int = self._new("erp.sales_order", "order_id", party_no=party, **given)
            for number, (code, quantity, price) in enumerate(lines, 1):
                self.do(
                    "INSERT INTO erp.sales_order_line (order_id, line_no, item_no, qty, price, rebate)"
                    " SELECT %s, %s, item_no, %s, %s, 0 FROM erp.item WHERE code = %s",
                    order, number, quantity, price, code,
                )  # fmt: skip
        return order

    def order(self, quote: Any) -> int | None:
        """What became of a quote. Two are an error."""
        return self.value("SELECT order_id FROM erp.sales_order WHERE external_ref = %s", str(quote))  # type: ignore[no-any-return]

    def order_no(self, order: int | None) -> str | None:
        return self.value("SELECT order_no FROM erp.sales_order WHERE order_id = %s", order)  # type: ignore[no-any-return]

    def lines(self, order: int | None) -> list[Row]:
        """(item, quantity, price, rebate, packaging)."""
        return self.rows(
            "SELECT i.code, l.qty, l.price, l.rebate, k.code FROM erp.sales_order_line l JOIN erp.item i USING (item_no)"
            " LEFT JOIN erp.item_configuration USING (config_no) LEFT JOIN erp.packaging k ON k.id = packaging_id"
            " WHERE order_id = %s ORDER BY line_no",
            order,
        )

    def produces(self, order: int | None, material: float, labour: float = 0, overhead: float = 0) -> list[str]:
        """A batch for every line; their numbers."""
        with self.connection.transaction():
            made = self.values(
                "INSERT INTO erp.batch (item_no, line_id, qty, state, started_on, finished_on, material_cost, labour_cost,"
                " overhead_cost) SELECT item_no, line_id, qty, 'F', current_date, current_date, %s, %s, %s"
                " FROM erp.sales_order_line WHERE order_id = %s ORDER BY line_no RETURNING batch_no",
                material, labour, overhead, order,
            )  # fmt: skip
            self.do("UPDATE erp.sales_order SET state = 15 WHERE order_id = %s", order)
        return made

    def ships(self, order: int | None, carrier: str = "By rail") -> str:
        """The number of the delivery note."""
        with self.connection.transaction():
            note: str = self._new("erp.delivery", "delivery_no", order_id=order, shipped_on=self.today(), carrier=carrier)
            self.do("UPDATE erp.sales_order SET state = 20 WHERE order_id = %s", order)
        return note

    def delivers(self, note: str, on: Any) -> None:
        self.do("UPDATE erp.delivery SET delivered_on = %s WHERE delivery_no = %s", on, note)

    def invoices(self, order: int | None) -> str:
        with self.connection.transaction():
            invoice: str = self.value(
                "INSERT INTO erp.invoice (order_id, invoiced_on, due_on, net, tax) SELECT order_id, current_date, current_date + 30,"
                " net_amount, round(net_amount * 0.2, 2) FROM erp.sales_order WHERE order_id = %s RETURNING invoice_no",
                order,
            )
            self.do("UPDATE erp.sales_order SET state = 30 WHERE order_id = %s", order)
        return invoice

    def state(self, order: int | None) -> int | None:
        return self.value("SELECT state FROM erp.sales_order WHERE order_id = %s", order)  # type: ignore[no-any-return]

    # -- quality, warranties, service

    def inspects(self, batch: str, result: str) -> None:
        self.do(
            "INSERT INTO erp.quality_record (batch_no, inspected_on, result, inspector) VALUES (%s, current_date, %s, 'Lindner')",
            batch, result,
        )  # fmt: skip

    def warrants(self, serial: str, party: int | None, code: str, sold_on: Any, ends_on: Any) -> None:
        self.do(
            "INSERT INTO erp.warranty (serial_no, party_no, item_no, sold_on, ends_on) SELECT %s, %s, item_no, %s, %s"
            " FROM erp.item WHERE code = %s",
            serial, party, sold_on, ends_on, code,
        )  # fmt: skip

    def complaint(self, ticket: Any) -> Row | None:
        """(order, batch, defect, quantity, state)."""
        return self.row("SELECT order_id, batch_no, defect, qty, state FROM erp.complaint WHERE external_ref = %s", str(ticket))

    def resolves(self, ticket: Any, resolution: str, cost: float, state: int = 3) -> int:
        return self.do(
            "UPDATE erp.complaint SET resolution = %s, cost = %s, state = %s WHERE external_ref = %s",
            resolution, cost, state, str(ticket),
        )  # fmt: skip

    def service_no(self, ticket: Any) -> str | None:
        return self.value("SELECT service_no FROM erp.service_order WHERE external_ref = %s", str(ticket))  # type: ignore[no-any-return]

    def parts(self, service_no: str | None) -> list[Row]:
        """(item, warehouse, quantity)."""
        return self.rows(
            "SELECT i.code, rtrim(warehouse), qty FROM erp.service_part JOIN erp.item i USING (item_no)"
            " WHERE service_no = %s ORDER BY 1, 3",
            service_no,
        )

    def today(self) -> Any:
        return self.value("SELECT current_date")

    def _new(self, table: str, key: str, /, **columns: Any) -> Any:
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        return self.value(f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING {key}", *columns.values())
