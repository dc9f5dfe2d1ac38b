"""Three databases that are full before the replicator comes: paired, copied, and nothing doubled."""

from __future__ import annotations

from pathlib import Path

from replicator.runtime.setup import init
from tests.pack.conftest import ONE
from tests.pack.office import Office, databases
from tests.pack.sales import Line


def fill(office: Office) -> None:
    """Customers: c0 and c1 everywhere, c2 in the CRM and the north, the rest in one place; products alike."""
    sales, north, south = office.sales, office.north, office.south
    for name in ("c0", "c1", "c2", "c3"):
        account = sales.account(f"{name} as sales spells it", f"VAT-{name}", phone=f"+43 {name}")
        sales.contact(account, f"Mr {name}")
        sales.address(account, "billing", f"Street {name}", "1010", "Wien")
    for factory, names in ((north, ("c0", "c1", "c2", "c4")), (south, ("c0", "c1", "c5"))):
        for name in names:
            number = factory.keys_party(f"{name} as finance spells it", f"VAT-{name}")
            factory.grants(number, 1000)
    for sku, made_in in (("p0", ["NORTH", "SOUTH"]), ("p1", ["NORTH"]), ("p2", ["SOUTH"])):
        sales.product(sku, *made_in, list_price=70)
    for factory, codes in ((north, ("p0", "p1", "p3")), (south, ("p0", "p4"))):
        for code in codes:
            factory.keys_item(code, standard_cost=10)
            factory.moves(code, 25, "W001")
    accounts = {row[0][:2]: row[1] for row in sales.rows("SELECT name, id FROM crm.account")}
    p0 = sales.value("SELECT id FROM crm.product WHERE sku = 'p0'")
    sales.agrees(accounts["c0"], p0, "crate")
    sales.quotes(accounts["c0"], Line(p0))
    for name in ("c0", "c4"):
        number = north.value("SELECT party_no FROM erp.party WHERE tax_id = %s", f"VAT-{name}")
        order = north.keys_order(number, ("p0", 2, 60))
        north.produces(order, 50)
        north.invoices(order)
        north.warrants(f"SN-{name}", number, "p0", "2030-01-01", "2032-01-01")


def test_match_and_backfill(tmp_path: Path) -> None:
    with databases(tmp_path, ONE) as office:
        fill(office)
        init(office.config, office.environ, False, lambda action: None)
        office.start()
        # Somebody works on while it goes on.
        office.sales.do("UPDATE crm.account SET website = 'new.example.com' WHERE vat_number = 'VAT-c3'")
        matched = office.command("match", "--apply", "--prefer", "crm")
        assert matched.code == 0, matched.out + matched.err
        for node in ("crm", "erp_north", "erp_south"):
            copied = office.command("backfill", "--from", node)
            assert copied.code == 0, copied.out + copied.err
        office.settle(60)
        parties = "SELECT tax_id FROM erp.party WHERE closed_on IS NULL ORDER BY 1"
        everybody = [f"VAT-c{n}" for n in range(6)]
        assert office.sales.values("SELECT vat_number FROM crm.account ORDER BY 1") == everybody
        assert [factory.values(parties) for factory in office.factories.values()] == [everybody, everybody]
        # Both have a name: what was preferred stands, in all three.
        named = [factory.value("SELECT name FROM erp.party WHERE tax_id = 'VAT-c0'") for factory in office.factories.values()]
        assert named == ["c0 as sales spells it"] * 2
        phones = "SELECT value FROM erp.contact_mechanism JOIN erp.party USING (party_no) WHERE tax_id = 'VAT-c3' ORDER BY kind"
        assert [factory.values(phones) for factory in office.factories.values()] == [["+43 c3", "new.example.com"]] * 2
        assert office.sales.values("SELECT sku FROM crm.product ORDER BY 1") == ["p0", "p1", "p2", "p3", "p4"]
        items = "SELECT code FROM erp.item ORDER BY 1"
        assert [factory.values(items) for factory in office.factories.values()] == [["p0", "p1", "p3"], ["p0", "p2", "p4"]]
        # Whatever the factories had reported before, sales sees it.
        assert (
            office.sales.rows("SELECT factory, quote_id, status, net_amount FROM crm.sales_order")
            == [("NORTH", None, "invoiced", 120)] * 2
        )
        assert office.sales.values("SELECT margin FROM crm.order_cost") == [70, 70]
        assert office.sales.value("SELECT count(*) FROM crm.invoice") == 2
        assert office.sales.value("SELECT count(*) FROM crm.installed_product") == 2
        assert office.sales.value("SELECT count(*) FROM crm.account_terms") == 12
        assert office.sales.value("SELECT sum(on_hand) FROM crm.stock") == 125
        sheets = [factory.sheet("c0 as sales spells it", "p0") for factory in office.factories.values()]
        assert [sheet and sheet[0] for sheet in sheets] == ["crate", "crate"]
        assert office.parked() == []
        answer = office.command("reconcile")
        assert answer.code == 0, answer.out + answer.err
        # And from here on it lives.
        account = office.sales.value("SELECT id FROM crm.account WHERE vat_number = 'VAT-c4'")
        quote = office.sales.sells(account, Line(office.sales.value("SELECT id FROM crm.product WHERE sku = 'p3'"), 1, 9))
        office.eventually(lambda: office.sales.orders(quote), [("NORTH", "ordered", 9)])
