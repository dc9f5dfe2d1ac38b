"""What a dealer has bought, and when the warranty ends: in the CRM in time to call."""

from __future__ import annotations

from replicator.demo.scenarios.stage import Scenario, Stage

SOLD = """
insert into erp.warranty (serial_no, party_no, item_no, sold_on, ends_on)
select 'P40-' || n, p.party_no, i.item_no, date '2025-03-01' + n, date '2027-03-01' + n
from erp.party p, erp.item i, generate_series(1, 3) n where p.tax_id = 'ES811000003' and i.code = 'PUMP-40'"""
INSTALLED = """
select a.name, p.sku, i.factory, i.serial_no, i.sold_on, i.warranty_ends_on, i.call_on
from crm.installed_product i join crm.account a on a.id = i.account_id join crm.product p on p.id = i.product_id
where i.serial_no like 'P40-%' order by i.serial_no"""


def play(stage: Stage) -> None:
    stage.say("The north books three machines that went to a dealer, each with its warranty.")
    stage.does("erp_north", SOLD)
    stage.say("In the CRM they stand with the day to call: three months before the warranty ends.")
    stage.sees("crm", f"select serial_no, call_on::text from ({INSTALLED}) i", serial_no="P40-1", call_on="2026-12-02")
    stage.sees("crm", INSTALLED, serial_no="P40-1")
    stage.say("The dealer buys an extension for one of them.")
    stage.does("erp_north", "update erp.warranty set ends_on = date '2028-03-02' where serial_no = 'P40-1'")
    stage.sees("crm", f"select serial_no, call_on::text from ({INSTALLED}) i", serial_no="P40-1", call_on="2027-12-02")


SCENARIO = Scenario("warranty", "warranties are in the CRM in time to call three months before they end", play)
