"""Ten warehouses in two factories: the CRM has the live sum, and the split."""

from __future__ import annotations

from replicator.demo.scenarios.stage import Scenario, Stage

SPLIT = """
select s.factory, s.warehouse, s.on_hand, s.reserved
from crm.stock s join crm.product p on p.id = s.product_id where p.sku = 'PUMP-40' order by s.factory, s.warehouse"""
TOTAL = """
select t.on_hand, t.available, t.warehouses
from crm.stock_total t join crm.product p on p.id = t.product_id where p.sku = 'PUMP-40'"""
PUMP = "(select item_no from erp.item where code = 'PUMP-40')"


def play(stage: Stage) -> None:
    stage.say("A hundred pumps in each of ten warehouses; sales sees them while on the phone.")
    stage.sees("crm", SPLIT, factory="NORTH", on_hand=100)
    stage.sees("crm", TOTAL, on_hand=1000, available=1000, warehouses=10)
    stage.say("Kiel sends 60 out, Graz takes 25 in and reserves 10.")
    stage.does(
        "erp_north",
        f"insert into erp.stock_move (item_no, warehouse, qty, reason) values ({PUMP}, 'KIEL', -60, 'issue')",
    )
    stage.does(
        "erp_south",
        f"""insert into erp.stock_move (item_no, warehouse, qty, reason) values ({PUMP}, 'GRAZ', 25, 'receipt');
            update erp.stock set reserved = 10 where warehouse = 'GRAZ' and item_no = {PUMP}""",
    )
    stage.sees("crm", TOTAL, on_hand=965, available=955)
    stage.say("In Rostock stock is moved to Leipzig: the sum does not change, the split does.")
    stage.does(
        "erp_north",
        f"""insert into erp.stock_move (item_no, warehouse, qty, reason) values
            ({PUMP}, 'ROST', -40, 'transfer'), ({PUMP}, 'LEIP', 40, 'transfer')""",
    )
    stage.sees("crm", f"select * from ({SPLIT}) s where warehouse = 'LEIP'", on_hand=140)
    stage.sees("crm", TOTAL, on_hand=965, available=955)


SCENARIO = Scenario("stock", "the stock of ten warehouses in the CRM, live, as sum and split", play)
