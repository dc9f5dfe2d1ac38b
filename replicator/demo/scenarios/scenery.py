"""What is there before any scenario: a few products that one factory makes or both, and three customers."""

from __future__ import annotations

from replicator.demo.factories import CRM, FACTORIES
from replicator.demo.scenarios.stage import Stage

PRODUCTS = """
insert into crm.product (sku, name, family, list_price, weight_kg, spare_part, made_in) values
    ('PUMP-40',   'Circulation pump 40',  'pumps', 420.00, 12.5,  false, '{NORTH,SOUTH}'),
    ('VALVE-12',  'Ball valve 12',        'seals',  36.50,  0.8,  false, '{NORTH}'),
    ('DRIVE-7',   'Servo drive 7',        'drives', 980.00, 21.0, false, '{SOUTH}'),
    ('SEAL-3',    'Shaft seal 3',         'seals',   9.80,  0.05, true,  '{NORTH,SOUTH}')"""
CUSTOMERS = """
insert into crm.account (name, kind, vat_number, phone, email) values
    ('Aldridge Appliances Ltd', 'customer', 'GB811000001', '+44 20 7946 0101', 'buying@aldridge.example'),
    ('Brenner Maschinen GmbH',  'customer', 'ATU81100002', '+43 732 555 0202', 'einkauf@brenner.example'),
    ('Costa Distribuidora SA',  'dealer',   'ES811000003', '+34 91 555 03 03', 'pedidos@costa.example')"""
COSTS = """
update erp.item set standard_cost = round(sales_price * 0.6, 4), lead_days = 12
where code in ('PUMP-40', 'VALVE-12', 'DRIVE-7', 'SEAL-3')"""
STOCK = """
insert into erp.stock_move (item_no, warehouse, qty, reason, reference)
select i.item_no, w.code, 100, 'receipt', 'opening' from erp.item i, erp.warehouse w
where i.code = 'PUMP-40' or (i.code = 'SEAL-3' and w.code = 'SERV')"""


def set_up(stage: Stage) -> None:
    stage.given(CRM, PRODUCTS)
    stage.given(CRM, CUSTOMERS)
    stage.settled()
    for factory in FACTORIES:
        stage.given(factory.node, COSTS)
        stage.given(factory.node, STOCK)
    stage.settled()
