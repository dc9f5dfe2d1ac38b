"""What is agreed with a customer about packaging reaches production, and production cannot change it."""

from __future__ import annotations

from replicator.demo.scenarios.stage import Scenario, Stage

OF_ALDRIDGE = "label = 'Aldridge 40'"
AGREED = """
insert into crm.product_configuration (account_id, product_id, packaging, colour, label, agreed_by)
select a.id, p.id, 'carton', 'white', 'Aldridge 40', 'A. Meier'
from crm.account a, crm.product p where a.vat_number = 'GB811000001' and p.sku = 'PUMP-40'"""
SHEET = """
select i.code, g.code as packaging, c.colour, c.label, c.instructions, c.version
from erp.item_configuration c join erp.item i using (item_no)
join erp.packaging g on g.id = c.packaging_id join erp.party p using (party_no)
where p.tax_id = 'GB811000001' and c.label = 'Aldridge 40'"""


def play(stage: Stage) -> None:
    stage.say("Sales agrees with a customer how the pumps are packed. Both factories make them.")
    stage.does("crm", AGREED)
    stage.sees("erp_north", SHEET, colour="white", version=1)
    stage.sees("erp_south", SHEET, colour="white", version=1)
    stage.say("The customer wants crates, in anthracite: production's sheet is a new version, in both factories.")
    stage.does("crm", f"update crm.product_configuration set packaging = 'crate', colour = 'anthracite' where {OF_ALDRIDGE}")
    stage.sees("erp_north", SHEET, colour="anthracite", version=2)
    stage.sees("erp_south", SHEET, colour="anthracite", version=2)
    stage.say("In the north somebody types another colour. That is not for production to decide: it is put back, and logged.")
    stage.does("erp_north", f"update erp.item_configuration set colour = 'blue', instructions = 'two layers' where {OF_ALDRIDGE}")
    stage.settled()
    stage.sees("erp_north", SHEET, colour="anthracite", instructions="two layers")
    stage.explains("configuration", "colour")


SCENARIO = Scenario("packaging", "a packaging that is agreed in the CRM is what production sees", play)
