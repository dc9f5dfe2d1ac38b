"""What people do in a shop and in its ERP, at random and at the same time; and what both must agree on afterwards."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

from tests.apps.oscar_shop import add_address, model, place_order, sign_up, user_model
from tests.two_way.pair_of_nodes import Pair

Facts = dict[str, list[tuple[Any, ...]]]
ROUND = {"Pending": 10, "Being processed": 20, "Complete": 30, "Cancelled": 90}


class Business:
    def __init__(self, pair: Pair, dice: Random) -> None:
        self.pair, self.dice = pair, dice
        self.closed: set[str] = set()  # addresses of customers the ERP closed: their accounts are out of the game
        self._words = (f"{word} {n}" for n in itertools.count() for word in ("Oak", "Elm", "Ash", "Fir"))

    def word(self) -> str:
        """Never the same twice, so that nothing is equal by chance."""
        return next(self._words)

    def work(self) -> None:
        shop = [
            (self.sign_up, 3), (self.rename, 3), (self.lock, 1), (self.move, 4), (self.other_address, 2),
            (self.forget_address, 1), (self.buy, 3), (self.handle, 3), (self.retitle, 2), (self.misprice, 2), (self.leave, 1),
        ]  # fmt: skip
        erp = [
            (self.erp_customer, 2), (self.erp_move, 4), (self.erp_contact, 3), (self.erp_state, 1), (self.erp_item, 1),
            (self.erp_edit_item, 4), (self.erp_handle, 4), (self.erp_close, 1),
        ]  # fmt: skip
        replicator = [(self.pair.turn, 12), (self.pair.settle, 2), (self.pair.crash, 1)]
        actions, weights = zip(*shop, *erp, *replicator, strict=True)
        self.dice.choices(actions, weights)[0]()

    def any(self, records: Any) -> Any:
        keys = list(records.order_by("pk").values_list("pk", flat=True))
        return records.get(pk=self.dice.choice(keys)) if keys else None

    def account(self) -> Any:
        return self.any(user_model().objects.exclude(email__in=self.closed))

    def address(self) -> Any:
        return self.any(model("address", "UserAddress").objects.exclude(user__email__in=self.closed))

    def erp(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        cursor = self.pair.erp.execute(sql, params or None)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    def key(self, column: str, table: str) -> Any:
        keys = [row[0] for row in self.erp(f"SELECT {column} FROM {table} ORDER BY 1")]
        return self.dice.choice(keys) if keys else None

    # -- in the shop

    def sign_up(self) -> None:
        word = self.word()
        user = sign_up("New", word, f"{word.replace(' ', '')}@example.com")
        if self.dice.random() < 0.7:
            add_address(user, self.word())

    def rename(self) -> None:
        if user := self.account():
            user.last_name = self.word()
            user.save(update_fields=["last_name"])

    def lock(self) -> None:
        if user := self.account():
            user_model().objects.filter(pk=user.pk).update(is_active=not user.is_active)

    def move(self) -> None:
        if address := self.address():
            address.line1, address.postcode, address.country_id = self.word(), "75001", self.dice.choice(["DE", "FR"])
            address.save()

    def other_address(self) -> None:
        if user := self.account():
            add_address(user, self.word())

    def forget_address(self) -> None:
        if address := self.address():
            address.delete()

    def buy(self) -> None:
        user, product = self.account(), self.any(model("catalogue", "Product").objects)
        if user and product.has_stockrecords:
            place_order(user, [(product, self.dice.randint(1, 5))])

    def handle(self) -> None:
        order = self.any(model("order", "Order").objects)
        if order and order.available_statuses():
            order.set_status(self.dice.choice(order.available_statuses()))

    def retitle(self) -> None:
        product = self.any(model("catalogue", "Product").objects)
        product.title = self.word()
        product.is_public = self.dice.random() < 0.8
        product.save()

    def misprice(self) -> None:
        if record := self.any(model("partner", "StockRecord").objects):
            record.price = self.dice.randint(1, 99)
            record.save()

    def leave(self) -> None:
        if user := self.account():
            user.delete()

    # -- in the ERP

    def erp_customer(self) -> None:
        word = self.word()
        with self.pair.erp.transaction():
            ((number,),) = self.erp(
                "INSERT INTO erp.customer (company_name, state, dunning_level, entered_by, street, postal_code, country_id)"
                " SELECT %s, 'A', 0, 'clerk', %s, '75001', min(id) FROM erp.country RETURNING customer_no",
                word, f"{word} street",
            )  # fmt: skip
            self.erp(
                "INSERT INTO erp.contact_person (customer_no, family_name, mail, tel, function, newsletter)"
                " VALUES (%s, %s, %s, '', 'webshop', false)",
                number, word, f"{word.replace(' ', '')}@example.com",
            )  # fmt: skip

    def erp_move(self) -> None:
        where = "street IS NOT NULL AND closed_on IS NULL"
        number = self.key("customer_no", f"erp.customer WHERE {where}")
        column = self.dice.choice(["street", "town"])
        self.erp(f"UPDATE erp.customer SET {column} = %s WHERE customer_no = %s AND {where}", self.word(), number)

    def erp_contact(self) -> None:
        column = self.dice.choice(["given_name", "family_name"])
        self.erp(f"UPDATE erp.contact_person SET {column} = %s WHERE id = %s", self.word(), self.key("id", "erp.contact_person"))

    def erp_state(self) -> None:
        number = self.key("customer_no", "erp.customer WHERE closed_on IS NULL")
        self.erp("UPDATE erp.customer SET state = CASE state WHEN 'A' THEN 'D' ELSE 'A' END WHERE customer_no = %s", number)

    def erp_item(self) -> None:
        word = self.word()
        self.erp("INSERT INTO erp.item (code, description, sales_price, uom, status) VALUES (%s, %s, 1, 'pc', 1)", word, word)

    def erp_edit_item(self) -> None:
        column, value = self.dice.choice(
            [("description", self.word()), ("sales_price", self.dice.randint(1, 99)), ("status", self.dice.choice([1, 9]))]
        )
        self.erp(f"UPDATE erp.item SET {column} = %s WHERE item_no = %s", value, self.key("item_no", "erp.item"))

    def erp_handle(self) -> None:
        state = self.dice.choice([20, 30, 90])
        self.erp("UPDATE erp.sales_order SET state = %s WHERE order_id = %s", state, self.key("order_id", "erp.sales_order"))

    def erp_close(self) -> None:
        """Closed, with its contacts gone: what the ERP's own screen does."""
        number = self.key("customer_no", "erp.customer WHERE closed_on IS NULL")
        with self.pair.erp.transaction():
            gone = self.erp("DELETE FROM erp.contact_person WHERE customer_no = %s RETURNING mail", number)
            self.closed |= {mail for (mail,) in gone}
            self.erp("UPDATE erp.customer SET closed_on = current_date WHERE customer_no = %s", number)

    # -- in the end

    def shop_side(self) -> Facts:
        known = "SELECT shop_id FROM replicator.crosswalk_customer"  # an account outlives its customer
        return {
            "customers": self.pair.rows(
                "crm",
                "SELECT email, u.first_name, u.last_name, is_active, line1, postcode, line4, country_id FROM auth_user u"
                " LEFT JOIN address_useraddress a ON a.user_id = u.id AND a.is_default_for_billing"
                f" WHERE u.id IN ({known}) ORDER BY 1, 2, 3",
            ),
            "goods": self.pair.rows(
                "crm",
                "SELECT upc, title, is_public, price FROM catalogue_product p"
                " LEFT JOIN partner_stockrecord s ON s.product_id = p.id ORDER BY 1",
            ),
            "orders": [
                (number, ROUND[status], code, quantity)
                for number, status, code, quantity in self.pair.rows(
                    "crm",
                    "SELECT number, o.status, l.upc, quantity FROM order_order o JOIN order_line l ON l.order_id = o.id"
                    f" WHERE user_id IN ({known}) ORDER BY number",
                )
            ],
        }

    def erp_side(self) -> Facts:
        return {
            "customers": self.pair.rows(
                "erp",
                "SELECT mail, coalesce(given_name, ''), family_name, state = 'A', street, CASE WHEN street IS NOT NULL"
                " THEN coalesce(postal_code, '') END, CASE WHEN street IS NOT NULL THEN coalesce(town, '') END,"
                " CASE WHEN street IS NOT NULL THEN iso2 END FROM erp.customer c JOIN erp.contact_person USING (customer_no)"
                " LEFT JOIN erp.country k ON k.id = country_id WHERE closed_on IS NULL ORDER BY 1, 2, 3",
            ),
            "goods": self.pair.rows("erp", "SELECT code, description, status < 9, sales_price FROM erp.item ORDER BY 1"),
            "orders": self.pair.rows(
                "erp",
                "SELECT external_ref, o.state, code, qty::integer FROM erp.sales_order o JOIN erp.sales_order_line USING (order_id)"
                " JOIN erp.item USING (item_no) JOIN erp.customer c USING (customer_no) WHERE closed_on IS NULL ORDER BY 1",
            ),
        }
