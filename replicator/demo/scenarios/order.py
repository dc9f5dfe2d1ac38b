"""A quote goes through its rounds in the CRM; confirmed, it is an order in the factory, and comes back."""

from __future__ import annotations

from replicator.demo.scenarios.sale import confirm, order_at, produced, quote, sales_order, shipped
from replicator.demo.scenarios.stage import Scenario, Stage

TITLE = "Pumps for the Leeds line"
ROUND = f"""
insert into crm.quote_revision (quote_id, revision, offered, reason)
    select q.id, q.revision, jsonb_agg(to_jsonb(l)), 'wants eight percent off'
    from crm.quote q join crm.quote_line l on l.quote_id = q.id where q.title = '{TITLE}' group by q.id;
update crm.quote set revision = revision + 1, stage = 'negotiation' where title = '{TITLE}';
update crm.quote_line set discount_percent = 8 where quote_id = (select id from crm.quote where title = '{TITLE}')"""
MORE = f"""
update crm.quote set revision = revision + 1 where title = '{TITLE}';
update crm.quote_line set quantity = 60
where position = 1 and quote_id = (select id from crm.quote where title = '{TITLE}')"""
DELIVERY = f"""
select s.order_no, s.status, d.delivery_no, d.shipped_on, d.carrier, d.tracking
from crm.delivery d join crm.sales_order s on s.id = d.sales_order_id join crm.quote q on q.id = s.quote_id
where q.title = '{TITLE}'"""
INVOICE = f"""
select s.order_no, s.status, i.invoice_no, i.due_on, i.net_amount, i.gross_amount
from crm.invoice i join crm.sales_order s on s.id = i.sales_order_id join crm.quote q on q.id = s.quote_id
where q.title = '{TITLE}'"""


def play(stage: Stage) -> None:
    stage.say("Sales offers 40 pumps and 120 valves, made in the north.")
    stage.does("crm", quote(TITLE, "GB811000001", [("PUMP-40", "NORTH", 40, 420), ("VALVE-12", "NORTH", 120, 36.5)]))
    stage.say("The customer wants eight percent off, and then more pumps. These rounds are the CRM's: no factory hears of them.")
    stage.does("crm", ROUND)
    stage.does("crm", MORE)
    stage.sees_nothing("erp_north", order_at(TITLE))
    stage.say("The customer confirms.")
    stage.does("crm", confirm(TITLE))
    stage.say("The order is in the north, once, with its lines and what they come to. Nobody typed it.")
    order = stage.sees("erp_north", order_at(TITLE), line_no=1, qty=60, net_amount=27_213.6)
    stage.say("Sales has the number while the customer is still on the phone.")
    stage.sees("crm", sales_order(TITLE), order_no=order["order_no"], status="ordered")
    stage.sees_nothing("erp_south", order_at(TITLE))
    stage.say("The north produces; then it ships.")
    stage.does("erp_north", produced(order["order_no"], 7000, 4000))
    stage.sees("crm", sales_order(TITLE), status="produced")
    stage.does("erp_north", shipped(order["order_no"]))
    stage.sees("crm", DELIVERY, status="shipped", tracking="KC-2207")
    stage.say("The invoice.")
    stage.does("erp_north", _invoiced(order["order_no"]))
    stage.sees("crm", INVOICE, status="invoiced")


def _invoiced(order_no: object) -> str:
    return f"""
insert into erp.invoice (order_id, invoiced_on, due_on, net, tax)
    select order_id, current_date, current_date + 30, net_amount, round(net_amount * 0.2, 2)
    from erp.sales_order where order_no = '{order_no}';
update erp.sales_order set state = 30 where order_no = '{order_no}'"""


SCENARIO = Scenario("order", "a quote's rounds, its confirmation, and the order's way from production to the invoice", play)
