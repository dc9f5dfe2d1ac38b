"""What the customer service of the demo does in the CRM: complaints, service requests and their parts, products, prices,
what customers want packed how, and campaigns."""

from __future__ import annotations

from typing import LiteralString

from replicator.demo.crm_world import COLOURS, PACKAGINGS
from replicator.demo.user import FRESH, User, Work

ANY_PRODUCT: LiteralString = "SELECT id FROM crm.product WHERE id >= (SELECT gen_random_uuid()) AND active ORDER BY id LIMIT 1"
ANY_CONFIGURATION: LiteralString = """
    SELECT id FROM crm.product_configuration WHERE id >= (SELECT gen_random_uuid()) ORDER BY id LIMIT 1"""
ANY_PRICE: LiteralString = "SELECT id FROM crm.price_book WHERE id >= (SELECT gen_random_uuid()) ORDER BY id LIMIT 1"
OPEN_REQUEST: LiteralString = """
    SELECT r.id, i.factory FROM crm.service_request r
    JOIN crm.ticket t ON t.id = r.id JOIN crm.installed_product i ON i.serial_no = r.serial_no
    WHERE r.service_no IS NOT NULL AND t.status IN ('open', 'waiting') ORDER BY random() LIMIT 1"""
SHIPPED_ORDER: LiteralString = """
    SELECT o.id, o.account_id, l.product_id, l.quantity
    FROM crm.sales_order o JOIN crm.quote_line l ON l.quote_id = o.quote_id AND l.factory = o.factory
    WHERE o.id >= (SELECT gen_random_uuid()) AND o.status IN ('shipped', 'invoiced') ORDER BY o.id LIMIT 1"""
INSTALLED: LiteralString = """
    SELECT account_id, product_id, serial_no FROM crm.installed_product
    WHERE id >= (SELECT gen_random_uuid()) ORDER BY id LIMIT 1"""
SPARE_PART: LiteralString = """
    SELECT p.id FROM crm.product p JOIN crm.stock s ON s.product_id = p.id
    WHERE p.spare_part AND s.factory = %s AND s.warehouse = 'SERV' ORDER BY random() LIMIT 1"""

NEW_TICKET: LiteralString = """
    INSERT INTO crm.ticket (account_id, product_id, subject, description, priority) VALUES (%s, %s, %s, %s, %s) RETURNING id"""
NEW_COMPLAINT: LiteralString = "INSERT INTO crm.complaint (id, sales_order_id, defect, quantity) VALUES (%s, %s, %s, %s)"
NEW_REQUEST: LiteralString = "INSERT INTO crm.service_request (id, serial_no) VALUES (%s, %s)"
NEW_PART: LiteralString = "INSERT INTO crm.service_part (service_request_id, product_id, quantity) VALUES (%s, %s, %s)"
NEW_PRODUCT: LiteralString = """
    INSERT INTO crm.product (sku, name, family, list_price, weight_kg, made_in) VALUES (%s, %s, 'drives', %s, %s, %s)"""
REPACK: LiteralString = """
    UPDATE crm.product_configuration SET packaging = %s, colour = %s, agreed_on = current_date WHERE id = %s"""
REPRICE: LiteralString = "UPDATE crm.price_book SET price = round(price * %s, 2) WHERE id = %s"
RENAME: LiteralString = "UPDATE crm.product SET name = split_part(name, ', ', 1) || ', ' || %s WHERE id = %s"
LIST_PRICE: LiteralString = "UPDATE crm.product SET list_price = round(list_price * %s, 2) WHERE id = %s"
VISIT: LiteralString = "UPDATE crm.service_request SET visit_on = current_date + %s::int, technician = %s WHERE id = %s"
RESPOND: LiteralString = """
    UPDATE crm.campaign_member SET response = %s
    WHERE account_id = (SELECT account_id FROM crm.campaign_member ORDER BY random() LIMIT 1)"""
NOTE: LiteralString = """
    INSERT INTO crm.activity (account_id, kind, subject)
    SELECT id, 'call', 'asked for the state of the order' FROM crm.account
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL ORDER BY id LIMIT 1"""


class ServiceUser(User):
    def work(self) -> list[Work]:
        return [
            (6, "change a packaging", self.repack),
            (6, "change a customer's price", self.reprice),
            (4, "edit product", self.edit_product),
            (1, "create product", self.create_product),
            (4, "open complaint", self.complain),
            (5, "open service request", self.ask_for_service),
            (5, "use a spare part", self.use_part),
            (4, "plan a visit", self.plan_visit),
            (3, "note a call", self.note),
            (2, "note a campaign's response", self.respond),
        ]

    # -- what was agreed

    def repack(self) -> bool:
        """What production must do from the next batch on."""
        found = self.one(ANY_CONFIGURATION)
        return found is not None and self.changed(REPACK, [self.random.choice(PACKAGINGS), self.random.choice(COLOURS), *found])

    def reprice(self) -> bool:
        found = self.one(ANY_PRICE)
        return found is not None and self.changed(REPRICE, [self.random.choice(("0.97", "1.02", "1.04")), *found])

    def edit_product(self) -> bool:
        found = self.one(ANY_PRODUCT)
        if found is None:
            return False
        if self.random.random() < 0.5:
            return self.changed(RENAME, [self.random.choice(("new series", "improved", "CE")), *found])
        return self.changed(LIST_PRICE, [self.random.choice(("0.95", "1.03")), *found])

    def create_product(self) -> bool:
        number = FRESH.randrange(100_000_000, 1_000_000_000)
        made_in = self.random.choice((["NORTH"], ["SOUTH"], ["NORTH", "SOUTH"]))
        price, weight = f"{self.random.uniform(1, 500):.2f}", f"{self.random.uniform(0.01, 20):.3f}"
        return self.changed(NEW_PRODUCT, [f"C-{number}", f"Drive to order {number}", price, weight, made_in])

    # -- tickets

    def complain(self) -> bool:
        order = self.one(SHIPPED_ORDER)
        if order is None:
            return False
        key, account, product, quantity = order
        ticket = self.one(NEW_TICKET, [account, product, "Goods damaged", "two of them are bent", self.random.randrange(1, 6)])
        assert ticket is not None
        return self.changed(NEW_COMPLAINT, [*ticket, key, self.random.choice(("damaged", "quality", "wrong")), quantity])

    def ask_for_service(self) -> bool:
        installed = self.one(INSTALLED)
        if installed is None:
            return False
        account, product, serial_no = installed
        ticket = self.one(NEW_TICKET, [account, product, "Does not start", None, self.random.randrange(1, 6)])
        assert ticket is not None
        return self.changed(NEW_REQUEST, [*ticket, serial_no])

    def use_part(self) -> bool:
        """It leaves the service store of the factory whose product it is."""
        request = self.one(OPEN_REQUEST)
        part = self.one(SPARE_PART, [request[1]]) if request else None
        return (
            request is not None
            and part is not None
            and self.changed(NEW_PART, [request[0], *part, self.random.choice((1, 1, 2))])
        )

    def plan_visit(self) -> bool:
        request = self.one(OPEN_REQUEST)
        if request is None:
            return False
        return self.changed(VISIT, [self.random.randrange(1, 10), self.random.choice(("H. Olsen", "M. Huber")), request[0]])

    # -- what stays in the CRM

    def note(self) -> bool:
        return self.changed(NOTE, [])

    def respond(self) -> bool:
        return self.changed(RESPOND, [self.random.choice(("interested", "ordered", "declined"))])
