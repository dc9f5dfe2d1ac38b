"""A complaint in the CRM finds the batch and its quality record in the factory; the factory's answer comes back."""

from __future__ import annotations

from replicator.demo.scenarios.sale import given_order, produced, shipped
from replicator.demo.scenarios.stage import Scenario, Stage

TITLE = "Pumps for York"
COMPLAINT = f"""
with ticket as (
    insert into crm.ticket (account_id, product_id, subject, description)
    select q.account_id, l.product_id, 'Pumps leak', 'Three of ten leak at the flange.'
    from crm.quote q join crm.quote_line l on l.quote_id = q.id where q.title = '{TITLE}' returning id)
insert into crm.complaint (id, sales_order_id, defect, quantity)
select ticket.id, s.id, 'quality', 3
from ticket, crm.sales_order s join crm.quote q on q.id = s.quote_id where q.title = '{TITLE}'"""
IN_THE_FACTORY = """
select c.complaint_no, i.code, c.defect, c.qty, c.batch_no, q.result, q.inspector, c.state
from erp.complaint c join erp.item i using (item_no) left join erp.quality_record q using (batch_no)
where c.subject = 'Pumps leak'"""
IN_THE_CRM = """
select t.number, t.status, c.complaint_no, c.batch_no, c.quality_result, c.resolution, c.cost
from crm.complaint c join crm.ticket t using (id) where t.subject = 'Pumps leak'"""


def play(stage: Stage) -> None:
    stage.say("An order was made in the north, inspected and shipped.")
    order = given_order(stage, TITLE, "GB811000001", [("PUMP-40", "NORTH", 10, 420)])
    stage.given("erp_north", produced(order["order_no"], 1500, 700))
    stage.given(
        "erp_north",
        f"""insert into erp.quality_record (batch_no, inspected_on, result, inspector, note)
            select b.batch_no, current_date, 'rework', 'K. Petersen', 'flange torque at the limit'
            from erp.batch b join erp.sales_order_line l using (line_id) join erp.sales_order o using (order_id)
            where o.order_no = '{order["order_no"]}'""",
    )
    stage.given("erp_north", shipped(order["order_no"]))
    stage.settled()
    stage.say("The customer complains. The service desk opens a ticket and names the order, nothing else.")
    stage.does("crm", COMPLAINT)
    stage.say("The factory has the complaint, and knows from which batch the goods came.")
    stage.sees("erp_north", IN_THE_FACTORY, defect="Q", result="rework")
    stage.say("The service desk sees batch and quality record in the ticket.")
    found = stage.sees("crm", IN_THE_CRM, quality_result="rework")
    stage.sees_nothing("erp_south", "select complaint_no from erp.complaint where subject = 'Pumps leak'")
    stage.say("The north decides.")
    stage.does(
        "erp_north",
        f"""update erp.complaint set state = 3, resolution = 'three pumps replaced', cost = 1260
            where complaint_no = '{found["complaint_no"]}'""",
    )
    stage.sees("crm", IN_THE_CRM, status="solved", resolution="three pumps replaced", cost=1260)


SCENARIO = Scenario("complaint", "a complaint finds its batch and quality record, and the factory's answer returns", play)
