"""People at the CRM: customers, products, what was agreed, quotes; and what they see of the factories."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from tests.pack.desk import Desk, Row


@dataclass(frozen=True)
class Line:
    product: UUID
    quantity: float = 1
    price: float = 100
    factory: str | None = "NORTH"
    discount: float = 0
    configuration: UUID | None = None


class Sales(Desk):
    def knows_factory(self, code: str) -> None:
        self.do("INSERT INTO crm.factory (code, name) VALUES (%s, %s)", code, f"Factory {code.title()}")

    # -- customers

    def account(self, name: str, vat: str | None = None, **columns: Any) -> UUID:
        return self._new("crm.account", name=name, vat_number=vat, **columns)

    def contact(self, account: UUID, last_name: str, **columns: Any) -> UUID:
        return self._new("crm.contact", account_id=account, last_name=last_name, **columns)

    def address(
        self, account: UUID, kind: str, street: str, zip_code: str, city: str, country: str = "AT", **columns: Any
    ) -> UUID:
        return self._new(
            "crm.address", account_id=account, kind=kind, street=street, zip=zip_code, city=city, country_code=country, **columns
        )

    def edit(self, table: str, key: Any, **columns: Any) -> int:
        """`table` without its schema."""
        sets = ", ".join(f"{name} = %s" for name in columns)
        return self.do(f"UPDATE crm.{table} SET {sets} WHERE id = %s", *columns.values(), key)

    def closes(self, account: UUID) -> None:
        self.do("UPDATE crm.account SET deleted_at = now() WHERE id = %s", account)

    def account_of(self, name: str) -> UUID | None:
        """Of that name, not deleted."""
        return self.value("SELECT id FROM crm.account WHERE name = %s AND deleted_at IS NULL", name)  # type: ignore[no-any-return]

    def knows(self, name: str) -> bool:
        return self.account_of(name) is not None

    def sees(self, table: str, key: Any, *columns: str) -> Any:
        """The columns of a record; only the value, if it is one column."""
        found = self.row(f"SELECT {', '.join(columns)} FROM crm.{table} WHERE id = %s", key)
        return found[0] if found and len(columns) == 1 else found

    # -- products

    def product(self, sku: str, *made_in: str, **columns: Any) -> UUID:
        given = {"name": f"The {sku}", "list_price": 100, **columns}
        return self._new("crm.product", sku=sku, made_in=list(made_in), **given)

    def agrees(self, account: UUID, product: UUID, packaging: str, **columns: Any) -> UUID:
        return self._new("crm.product_configuration", account_id=account, product_id=product, packaging=packaging, **columns)

    def prices(self, product: UUID, price: float, account: UUID | None = None, **columns: Any) -> UUID:
        return self._new("crm.price_book", product_id=product, account_id=account, price=price, **columns)

    # -- quotes

    def quotes(self, account: UUID, *lines: Line, **columns: Any) -> UUID:
        with self.connection.transaction():
            quote = self._new("crm.quote", account_id=account, **{"title": "As discussed", **columns})
            self.offers(quote, *lines)
        return quote

    def offers(self, quote: UUID, *lines: Line) -> None:
        for line in lines:
            position = self.value("SELECT coalesce(max(position), 0) + 1 FROM crm.quote_line WHERE quote_id = %s", quote)
            self._new(
                "crm.quote_line",
                quote_id=quote, position=position, product_id=line.product, quantity=line.quantity, unit_price=line.price,
                factory=line.factory, discount_percent=line.discount, configuration_id=line.configuration,
            )  # fmt: skip

    def negotiates(self, quote: UUID, reason: str, **columns: Any) -> None:
        """One more round: what was offered is noted, and the lines' price or quantity changes."""
        with self.connection.transaction():
            self.do(
                "INSERT INTO crm.quote_revision (quote_id, revision, offered, reason) SELECT q.id, q.revision,"
                " (SELECT coalesce(jsonb_agg(to_jsonb(l)), '[]') FROM crm.quote_line l WHERE l.quote_id = q.id), %s"
                " FROM crm.quote q WHERE q.id = %s",
                reason, quote,
            )  # fmt: skip
            self.do("UPDATE crm.quote SET stage = 'negotiation', revision = revision + 1, note = %s WHERE id = %s", reason, quote)
            if columns:
                sets = ", ".join(f"{name} = %s" for name in columns)
                self.do(f"UPDATE crm.quote_line SET {sets} WHERE quote_id = %s", *columns.values(), quote)

    def confirms(self, quote: UUID) -> None:
        self.do("UPDATE crm.quote SET stage = 'confirmed', confirmed_at = now() WHERE id = %s", quote)

    def steps_back(self, quote: UUID) -> None:
        self.do("UPDATE crm.quote SET cancelled_at = now() WHERE id = %s", quote)

    def sells(self, account: UUID, *lines: Line, **columns: Any) -> UUID:
        """A quote that the customer confirms at once."""
        quote = self.quotes(account, *lines, **columns)
        self.confirms(quote)
        return quote

    # -- what factories report

    def orders(self, quote: UUID) -> list[Row]:
        """(factory, status, net amount) of what became of a quote."""
        return self.rows("SELECT factory, status, net_amount FROM crm.sales_order WHERE quote_id = %s ORDER BY 1", quote)

    def status(self, quote: UUID) -> list[str]:
        return [status for _, status, _ in self.orders(quote)]

    def order_id(self, quote: UUID, factory: str = "NORTH") -> UUID | None:
        return self.value("SELECT id FROM crm.sales_order WHERE quote_id = %s AND factory = %s", quote, factory)  # type: ignore[no-any-return]

    def history(self, account: UUID) -> list[Row]:
        """(factory, order number, began as a quote) of all of a customer's orders."""
        return self.rows(
            "SELECT factory, order_no, quote_id IS NOT NULL FROM crm.sales_order WHERE account_id = %s ORDER BY 1, 2", account
        )

    def terms(self, account: UUID) -> list[Row]:
        """(factory, credit limit, payment terms, blocked)."""
        return self.rows(
            "SELECT factory, credit_limit, payment_terms, blocked FROM crm.account_terms WHERE account_id = %s ORDER BY 1",
            account,
        )

    def stock(self, product: UUID) -> dict[tuple[str, str], float]:
        """What is on hand, by factory and warehouse."""
        found = self.rows("SELECT factory, warehouse, on_hand FROM crm.stock WHERE product_id = %s", product)
        return {(factory, warehouse.strip()): float(on_hand) for factory, warehouse, on_hand in found}

    def stock_total(self, product: UUID) -> tuple[float, float, int] | None:
        """On hand, available, number of warehouses."""
        found = self.row("SELECT on_hand, available, warehouses FROM crm.stock_total WHERE product_id = %s", product)
        return None if found is None else (float(found[0]), float(found[1]), found[2])

    def today(self) -> date:
        return self.value("SELECT current_date")  # type: ignore[no-any-return]

    def _new(self, table: str, **columns: Any) -> UUID:
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        return self.value(f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id", *columns.values())  # type: ignore[no-any-return]
