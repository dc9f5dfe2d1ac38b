"""What a factory's works do in its ERP: produce, inspect, ship, invoice, count stock, and answer complaints and service calls."""

from __future__ import annotations

from typing import LiteralString

from replicator.demo.factories import SERVICE_WAREHOUSE, Factory
from replicator.demo.user import Office, User, Work

ORDER_IN: LiteralString = """
    SELECT order_id FROM erp.sales_order
    WHERE order_id >= (SELECT 1 + floor(random() * max(order_id))::bigint FROM erp.sales_order) AND state = %s
    ORDER BY order_id LIMIT 1"""
ANY_ITEM: LiteralString = """
    SELECT item_no, spare FROM erp.item
    WHERE item_no >= (SELECT 1 + floor(random() * max(item_no))::int FROM erp.item) ORDER BY item_no LIMIT 1"""
ANY_STOCK: LiteralString = "SELECT item_no, warehouse FROM erp.stock WHERE on_hand > 40 ORDER BY random() LIMIT 1"
BATCH_UNSEEN: LiteralString = """
    SELECT batch_no FROM erp.batch b WHERE NOT EXISTS (SELECT 1 FROM erp.quality_record q WHERE q.batch_no = b.batch_no)
    ORDER BY random() LIMIT 1"""
UNDER_WAY: LiteralString = "SELECT delivery_no FROM erp.delivery WHERE delivered_on IS NULL ORDER BY random() LIMIT 1"
OPEN_COMPLAINT: LiteralString = "SELECT complaint_no FROM erp.complaint WHERE state < 3 ORDER BY random() LIMIT 1"
OPEN_SERVICE: LiteralString = "SELECT service_no FROM erp.service_order WHERE state < 3 ORDER BY random() LIMIT 1"

PROMISE: LiteralString = """
    UPDATE erp.sales_order SET promised_on = current_date + 14 WHERE order_id = %s AND promised_on IS NULL"""
BATCHES: LiteralString = """
    INSERT INTO erp.batch (item_no, line_id, qty, state, started_on, finished_on, material_cost, labour_cost, overhead_cost)
    SELECT l.item_no, l.line_id, l.qty, 'F', current_date, current_date,
           round(l.price * l.qty::numeric * %(material)s::numeric, 2), round(l.price * l.qty::numeric * %(labour)s::numeric, 2),
           round(l.price * l.qty::numeric * 0.1, 2)
    FROM erp.sales_order_line l
    WHERE l.order_id = %(order)s AND NOT EXISTS (SELECT 1 FROM erp.batch b WHERE b.line_id = l.line_id)"""
INTO_STORE: LiteralString = """
    INSERT INTO erp.stock_move (item_no, warehouse, qty, reason, reference)
    SELECT b.item_no, %s, b.qty, 'receipt', b.batch_no
    FROM erp.batch b JOIN erp.sales_order_line l USING (line_id) WHERE l.order_id = %s"""
OUT_OF_STORE: LiteralString = """
    INSERT INTO erp.stock_move (item_no, warehouse, qty, reason, reference)
    SELECT l.item_no, %s, -l.qty, 'issue', o.order_no
    FROM erp.sales_order_line l JOIN erp.sales_order o USING (order_id) WHERE o.order_id = %s"""
TO_STATE: LiteralString = "UPDATE erp.sales_order SET state = %s WHERE order_id = %s AND state = %s"
SHIP: LiteralString = """
    INSERT INTO erp.delivery (order_id, shipped_on, carrier, tracking)
    VALUES (%(order)s, current_date, 'Kuehn Cargo', 'KC' || 900000 + %(order)s)"""
INVOICE: LiteralString = """
    INSERT INTO erp.invoice (order_id, invoiced_on, due_on, net, tax)
    SELECT order_id, current_date, current_date + 30, net_amount, round(net_amount * 0.19, 2)
    FROM erp.sales_order WHERE order_id = %s"""
ARRIVED: LiteralString = "UPDATE erp.delivery SET delivered_on = current_date + 1 WHERE delivery_no = %s"
INSPECT: LiteralString = """
    INSERT INTO erp.quality_record (batch_no, inspected_on, result, inspector) VALUES (%s, current_date, %s, %s)"""
MOVE: LiteralString = "INSERT INTO erp.stock_move (item_no, warehouse, qty, reason, reference) VALUES (%s, %s, %s, %s, %s)"
RESERVE: LiteralString = "UPDATE erp.stock SET reserved = %s WHERE item_no = %s AND warehouse = %s"
ANSWER: LiteralString = "UPDATE erp.complaint SET state = %s, resolution = %s, cost = %s WHERE complaint_no = %s"
REPAIRED: LiteralString = "UPDATE erp.service_order SET state = %s, labour_cost = labour_cost + %s WHERE service_no = %s"


class WorksUser(User):
    def __init__(self, factory: Factory, dsn: str, office: Office, seat: tuple[int, int], *, rate: float, seed: int) -> None:
        super().__init__(factory.code.lower(), dsn, office, seat, rate=rate, seed=seed)
        self._stores = [code for code, _ in factory.warehouses if code != SERVICE_WAREHOUSE]

    def work(self) -> list[Work]:
        return [
            (12, "produce an order", self.produce),
            (10, "ship an order", self.ship),
            (8, "invoice an order", self.invoice),
            (5, "hear of an arrival", self.arrived),
            (5, "inspect a batch", self.inspect),
            (8, "receive goods", self.receive),
            (4, "count stock", self.count),
            (3, "move stock", self.transfer),
            (4, "reserve stock", self.reserve),
            (4, "answer a complaint", self.answer),
            (4, "repair", self.repair),
        ]

    # -- an order's way

    def produce(self) -> bool:
        order = self.one(ORDER_IN, [10])
        if order is None:
            return False
        self.db.execute(PROMISE, order)
        costs = {"material": self.random.uniform(0.28, 0.4), "labour": self.random.uniform(0.1, 0.3), "order": order[0]}
        self.db.execute(BATCHES, costs)
        self.db.execute(INTO_STORE, [self._stores[0], *order])
        return self.changed(TO_STATE, [15, *order, 10])

    def ship(self) -> bool:
        order = self.one(ORDER_IN, [15])
        if order is None or not self.changed(TO_STATE, [20, *order, 15]):
            return False
        self.db.execute(OUT_OF_STORE, [self._stores[0], *order])
        return self.changed(SHIP, {"order": order[0]})

    def invoice(self) -> bool:
        order = self.one(ORDER_IN, [20])
        if order is None or not self.changed(TO_STATE, [30, *order, 20]):
            return False
        return self.changed(INVOICE, order)

    def arrived(self) -> bool:
        delivery = self.one(UNDER_WAY)
        return delivery is not None and self.changed(ARRIVED, delivery)

    def inspect(self) -> bool:
        batch = self.one(BATCH_UNSEEN)
        result = self.random.choices(("pass", "rework", "fail"), (85, 10, 5))[0]
        return batch is not None and self.changed(INSPECT, [*batch, result, self.name])

    # -- stock

    def receive(self) -> bool:
        item = self.one(ANY_ITEM)
        if item is None:
            return False
        store = SERVICE_WAREHOUSE if item[1] else self.random.choice(self._stores)
        return self.changed(MOVE, [item[0], store, self.random.randrange(1, 200), "receipt", "purchase"])

    def count(self) -> bool:
        found = self.one(ANY_STOCK)
        return found is not None and self.changed(MOVE, [*found, self.random.choice((-3, -1, 2)), "count", "stocktaking"])

    def transfer(self) -> bool:
        found = self.one(ANY_STOCK)
        if found is None:
            return False
        quantity, target = self.random.randrange(1, 40), self.random.choice(self._stores)
        self.db.execute(MOVE, [*found, -quantity, "transfer", target])
        return self.changed(MOVE, [found[0], target, quantity, "transfer", found[1]])

    def reserve(self) -> bool:
        found = self.one(ANY_STOCK)
        return found is not None and self.changed(RESERVE, [self.random.randrange(0, 30), *found])

    # -- what customers bring back

    def answer(self) -> bool:
        complaint = self.one(OPEN_COMPLAINT)
        words = self.random.choice(("replaced", "credit note", "repaired in the works"))
        return complaint is not None and self.changed(
            ANSWER, [self.random.choice((2, 3)), words, self.random.randrange(20, 400), *complaint]
        )

    def repair(self) -> bool:
        service = self.one(OPEN_SERVICE)
        return service is not None and self.changed(
            REPAIRED, [self.random.choice((1, 2, 3)), self.random.randrange(40, 200), *service]
        )
