"""What several scenarios need: a quote that is confirmed, and the factory's part of the order."""

from __future__ import annotations

from collections.abc import Sequence

from replicator.demo.scenarios.stage import Row, Stage


def quote(title: str, vat: str, lines: Sequence[tuple[str, str, int, float]]) -> str:
    """SQL that makes a draft. `lines`: product, factory, quantity, price."""
    values = ",\n    ".join(f"({n}, '{sku}', '{f}', {quantity}, {price})" for n, (sku, f, quantity, price) in enumerate(lines, 1))
    return f"""
insert into crm.quote (account_id, title) select id, '{title}' from crm.account where vat_number = '{vat}';
insert into crm.quote_line (quote_id, position, product_id, factory, quantity, unit_price)
select q.id, l.position, p.id, l.factory, l.quantity, l.price
from (values
    {values}
) as l (position, sku, factory, quantity, price)
join crm.product p using (sku) join crm.quote q on q.title = '{title}'"""


def confirm(title: str) -> str:
    return f"update crm.quote set stage = 'confirmed', confirmed_at = now() where title = '{title}'"


def order_at(title: str) -> str:
    """The factory's order, a row for each line."""
    return f"""
select o.order_no, p.name as party, o.state, l.line_no, i.code, l.qty, l.price, l.rebate, o.net_amount
from erp.sales_order o join erp.party p using (party_no)
join erp.sales_order_line l using (order_id) join erp.item i using (item_no)
where o.subject = '{title}' order by l.line_no"""


def sales_order(title: str) -> str:
    """What the CRM knows of it."""
    return f"""
select s.factory, s.order_no, q.number as quote, s.status, s.promised_on, s.net_amount
from crm.sales_order s join crm.quote q on q.id = s.quote_id
where q.title = '{title}' order by s.factory"""


def produced(order_no: object, material: float, labour: float) -> str:
    """A batch for each of the order's lines, at this cost."""
    return f"""
insert into erp.batch (item_no, line_id, qty, state, started_on, finished_on, material_cost, labour_cost, overhead_cost)
    select l.item_no, l.line_id, l.qty, 'F', current_date - 2, current_date, {material}, {labour}, 100
    from erp.sales_order_line l join erp.sales_order o using (order_id) where o.order_no = '{order_no}';
update erp.sales_order set state = 15, promised_on = current_date + 3 where order_no = '{order_no}'"""


def shipped(order_no: object) -> str:
    return f"""
insert into erp.delivery (order_id, shipped_on, carrier, tracking)
    select order_id, current_date, 'Kuehn Cargo', 'KC-2207' from erp.sales_order where order_no = '{order_no}';
update erp.sales_order set state = 20 where order_no = '{order_no}'"""


def given_order(stage: Stage, title: str, vat: str, lines: Sequence[tuple[str, str, int, float]]) -> Row:
    """A confirmed quote, and the order that came of it in the first line's factory."""
    stage.given("crm", quote(title, vat, lines))
    stage.does("crm", confirm(title))
    return stage.sees(f"erp_{lines[0][1].lower()}", order_at(title), line_no=1)
