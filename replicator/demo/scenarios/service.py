"""A repair booked in the CRM takes its parts from the stock of the factory whose product it is, and its cost returns."""

from __future__ import annotations

from replicator.demo.scenarios.stage import Scenario, Stage

SERIAL = "S-2026-0815"
SOLD = f"""
insert into erp.warranty (serial_no, party_no, item_no, sold_on, ends_on)
select '{SERIAL}', p.party_no, i.item_no, current_date - 100, current_date + 630
from erp.party p, erp.item i where p.tax_id = 'ATU81100002' and i.code = 'DRIVE-7'"""
REQUEST = f"""
with ticket as (
    insert into crm.ticket (account_id, product_id, subject)
    select account_id, product_id, 'Drive does not start' from crm.installed_product where serial_no = '{SERIAL}' returning id)
insert into crm.service_request (id, serial_no) select id, '{SERIAL}' from ticket"""
PART = f"""
insert into crm.service_part (service_request_id, product_id, quantity)
select r.id, p.id, 2 from crm.service_request r, crm.product p where r.serial_no = '{SERIAL}' and p.sku = 'SEAL-3'"""
IN_THE_CRM = f"""
select t.number, t.status, r.service_no, r.under_warranty, r.parts_cost, r.labour_cost
from crm.service_request r join crm.ticket t using (id) where r.serial_no = '{SERIAL}'"""
IN_THE_FACTORY = f"""
select service_no, serial_no, subject, state, under_warranty, parts_cost from erp.service_order where serial_no = '{SERIAL}'"""
COST = "select code, round(2 * standard_cost, 2) as of_two from erp.item where code = 'SEAL-3'"
STOCK = """
select i.code, s.warehouse, s.on_hand from erp.stock s join erp.item i using (item_no)
where i.code = 'SEAL-3' and s.warehouse = 'SERV'"""


def play(stage: Stage) -> None:
    stage.say("A drive was sold with a warranty, by the south.")
    stage.given("erp_south", SOLD)
    stage.settled()
    stage.say("It does not start. The service desk knows the serial number, and not which factory that is.")
    stage.does("crm", REQUEST)
    stage.sees("erp_south", IN_THE_FACTORY, under_warranty=True)
    stage.sees("crm", IN_THE_CRM, under_warranty=True)
    stage.sees_nothing("erp_north", IN_THE_FACTORY)
    stage.say("The technician uses two seals, and books them in the CRM: they leave the south's service store, not the north's.")
    before = stage.sees("erp_south", STOCK)
    north = stage.sees("erp_north", STOCK)
    stage.does("crm", PART)
    stage.sees("erp_south", STOCK, on_hand=_number(before["on_hand"]) - 2)
    stage.sees("erp_north", STOCK, on_hand=north["on_hand"])
    stage.say("What the parts cost is known to the factory, and then to the service desk.")
    cost = stage.sees("erp_south", COST)
    stage.sees("crm", IN_THE_CRM, parts_cost=cost["of_two"])


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


SCENARIO = Scenario("service", "a repair takes its parts from the right factory's stock, and its cost returns", play)
