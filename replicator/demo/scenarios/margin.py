"""What an order really cost, and what the customer is worth: from the batch's actual cost, not from standard cost."""

from __future__ import annotations

from replicator.demo.scenarios.sale import given_order, produced
from replicator.demo.scenarios.stage import Scenario, Stage

TITLE = "Pumps for Graz"
COST = f"""
select s.factory, s.order_no, c.revenue, c.standard_cost, c.actual_cost, c.margin
from crm.order_cost c join crm.sales_order s on s.id = c.sales_order_id join crm.quote q on q.id = s.quote_id
where q.title = '{TITLE}'"""
PROFIT = """
select a.name, p.factory, p.orders, p.revenue, p.actual_cost, p.margin
from crm.customer_profit p join crm.account a on a.id = p.account_id
where a.vat_number = 'ATU81100002' and p.factory = 'SOUTH'"""


def play(stage: Stage) -> None:
    stage.say("Ten pumps, made in the south, at a standard cost of 252 each.")
    order = given_order(stage, TITLE, "ATU81100002", [("PUMP-40", "SOUTH", 10, 420)])
    stage.say("Production ends, and it took more labour than planned. Sales sees what the order really earned.")
    stage.does("erp_south", produced(order["order_no"], 1800, 1400))
    stage.sees("crm", COST, revenue=4200, standard_cost=2520, actual_cost=3300, margin=900)
    stage.say("And what the customer is worth to that factory; campaigns go by it.")
    stage.sees("crm", PROFIT)
    stage.say("A late invoice for material is booked on the batch.")
    stage.does(
        "erp_south",
        f"""update erp.batch set material_cost = material_cost + 200
            where line_id in (select l.line_id from erp.sales_order_line l join erp.sales_order o using (order_id)
                              where o.order_no = '{order["order_no"]}')""",
    )
    stage.sees("crm", COST, actual_cost=3500, margin=700)


SCENARIO = Scenario("margin", "actual cost arrives, and with it the profit of an order and of a customer", play)
