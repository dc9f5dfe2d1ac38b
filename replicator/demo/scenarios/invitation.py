"""What a person may try while the demo is left running: type the first in one node's psql, look at the second in another's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Try:
    node: str
    types: str
    then: str
    looks: str


TRIES = (
    Try(
        "crm",
        "update crm.account set phone = '+44 20 7946 0999' where vat_number = 'GB811000001';",
        "erp_north",
        "select p.name, m.value from erp.party p join erp.contact_mechanism m using (party_no) "
        "where p.tax_id = 'GB811000001' and m.kind = 'phone';",
    ),
    Try(
        "erp_south",
        "update erp.credit set credit_limit = 75000 "
        "where party_no = (select party_no from erp.party where tax_id = 'GB811000001');",
        "crm",
        "select t.factory, t.credit_limit from crm.account_terms t join crm.account a on a.id = t.account_id "
        "where a.vat_number = 'GB811000001' order by t.factory desc;",
    ),
    Try(
        "erp_north",
        "insert into erp.stock_move (item_no, warehouse, qty, reason) "
        "select item_no, 'KIEL', -7, 'issue' from erp.item where code = 'PUMP-40';",
        "crm",
        "select s.warehouse, s.on_hand from crm.stock s join crm.product p on p.id = s.product_id "
        "where p.sku = 'PUMP-40' and s.warehouse = 'KIEL';",
    ),
)
