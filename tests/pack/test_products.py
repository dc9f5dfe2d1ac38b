"""Product master, one version: products, bills of material, what was agreed with a customer, and prices."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.pack.factory import Factory
from tests.pack.office import BOTH, Office


def item(factory: Factory, sku: str, *columns: str) -> object:
    found = factory.row(f"SELECT {', '.join(columns)} FROM erp.item WHERE code = %s", sku)
    return found[0] if found and len(columns) == 1 else found


@pytest.mark.versions
def test_a_product_is_made_where_the_crm_says(office: Office) -> None:
    sku, found = office.product("NORTH", family="Pumps", list_price=80)
    assert item(office.north, sku, "description", "item_group", "uom", "sales_price", "status") == (
        f"The {sku}", "Pumps", "PCE", 80, 1,
    )  # fmt: skip
    office.settle()
    assert office.south.item(sku) is None
    office.sales.edit("product", found, made_in=["NORTH", "SOUTH"])
    office.eventually(lambda: item(office.south, sku, "description", "sales_price"), (f"The {sku}", 80))


def test_a_product_made_in_two_factories_is_one(office: Office) -> None:
    sku, found = office.product(*BOTH)
    office.north.edit("item", "code", sku, sales_price=120, standard_cost=55)
    office.south.edit("item", "code", sku, description="Renamed in the south", standard_cost=66)
    office.eventually(lambda: office.sales.sees("product", found, "name", "list_price"), ("Renamed in the south", 120))
    office.everywhere(lambda f: item(f, sku, "description", "sales_price"), ("Renamed in the south", 120))
    sites = "SELECT factory, item_no, standard_cost FROM crm.product_site WHERE product_id = %s ORDER BY 1"
    wanted = [(code, str(office.factories[code].item(sku)), cost) for code, cost in (("NORTH", 55), ("SOUTH", 66))]
    office.eventually(lambda: office.sales.rows(sites, found), wanted)
    office.sales.edit("product", found, active=False)
    office.everywhere(lambda f: item(f, sku, "status"), 9)


@pytest.mark.versions
def test_an_item_keyed_in_an_erp_is_a_product(office: Office) -> None:
    sku = office.word("Product")
    office.south.keys_item(sku, weight=1.25, spare=True)
    seen = "SELECT name, list_price, unit, weight_kg, active, spare_part FROM crm.product WHERE sku = %s"
    office.eventually(lambda: office.sales.row(seen, sku), (f"The {sku}", 50, "PCE", Decimal("1.25"), True, True))
    office.settle()
    assert office.north.item(sku) is None  # nobody has said that it is to be made there


def test_the_same_article_keyed_on_all_sides_at_once_is_one(office: Office) -> None:
    sku = office.word("Product")
    with office.at_once():
        office.sales.product(sku, *BOTH)
        for factory in office.factories.values():
            factory.keys_item(sku)
    office.settle()
    assert office.sales.value("SELECT count(*) FROM crm.product WHERE sku = %s", sku) == 1
    prices = {office.sales.value("SELECT list_price FROM crm.product WHERE sku = %s", sku)}
    prices |= {item(factory, sku, "sales_price") for factory in office.factories.values()}
    assert len(prices) == 1


@pytest.mark.versions
def test_a_bill_of_materials_is_seen_in_the_crm(office: Office) -> None:
    sku, whole = office.product(*BOTH)
    parts = [office.product(*BOTH) for _ in range(2)]
    for factory, quantities in ((office.north, (2, 0.5)), (office.south, (3,))):
        for line, quantity in enumerate(quantities, 1):
            factory.do(
                "INSERT INTO erp.bom_line (item_no, line_no, component_no, qty) VALUES (%s, %s, %s, %s)",
                factory.item(sku), line, factory.item(parts[line - 1][0]), quantity,
            )  # fmt: skip
    seen = (
        "SELECT factory, p.sku, quantity FROM crm.product_component c JOIN crm.product p ON p.id = component_id"
        " WHERE product_id = %s ORDER BY 1, 3 DESC"
    )
    first, second = (name for name, _ in parts)
    wanted = [("NORTH", first, 2), ("NORTH", second, Decimal("0.5")), ("SOUTH", first, 3)]
    office.eventually(lambda: office.sales.rows(seen, whole), wanted)
    office.north.do("DELETE FROM erp.bom_line WHERE item_no = %s AND line_no = 2", office.north.item(sku))
    office.north.do("UPDATE erp.bom_line SET qty = 4 WHERE item_no = %s", office.north.item(sku))
    office.eventually(lambda: office.sales.rows(seen, whole), [("NORTH", first, 4), ("SOUTH", first, 3)])


@pytest.mark.versions
def test_a_packaging_change_is_seen_by_production_in_every_factory(office: Office) -> None:
    name, account = office.customer()
    sku, found = office.product(*BOTH)
    agreed = office.sales.agrees(account, found, "carton", colour="red", label="ours")
    office.everywhere(lambda f: f.sheet(name, sku), ("carton", "red", "ours", None, 1))
    office.north.instructs(name, sku, "Wear gloves")
    office.sales.edit("product_configuration", agreed, packaging="crate")
    office.eventually(lambda: office.north.sheet(name, sku), ("crate", "red", "ours", "Wear gloves", 2))
    office.eventually(lambda: office.south.sheet(name, sku), ("crate", "red", "ours", None, 2))


def test_what_production_types_over_an_agreement_is_put_back(office: Office) -> None:
    name, account = office.customer()
    sku, found = office.product(*BOTH)
    agreed = office.sales.agrees(account, found, "carton", colour="red")
    office.everywhere(lambda f: f.sheet(name, sku) is not None)
    office.north.types_packaging(name, sku, "bulk")
    office.eventually(lambda: (office.north.sheet(name, sku) or ("",))[0], "carton")
    office.settle()
    assert office.sales.sees("product_configuration", agreed, "packaging") == "carton"
    assert (office.south.sheet(name, sku) or ("",))[0] == "carton"
    # Both at once: never two versions.
    with office.at_once():
        office.sales.edit("product_configuration", agreed, packaging="pallet")
        office.north.types_packaging(name, sku, "crate")
        office.south.types_packaging(name, sku, "bulk")
    office.settle()
    sheets = [(factory.sheet(name, sku) or ("",))[0] for factory in office.factories.values()]
    assert (office.sales.sees("product_configuration", agreed, "packaging"), sheets) == ("pallet", ["pallet", "pallet"])


def test_an_agreement_goes_only_where_the_product_is_made(office: Office) -> None:
    name, account = office.customer()
    sku, found = office.product("SOUTH")
    office.sales.agrees(account, found, "pallet")
    office.eventually(lambda: (office.south.sheet(name, sku) or ("",))[0], "pallet")
    office.settle()
    assert office.north.sheet(name, sku) is None
    assert office.parked() == []
    # It follows when the other factory is to make it too.
    office.sales.edit("product", found, made_in=list(BOTH))
    office.eventually(lambda: (office.north.sheet(name, sku) or ("",))[0], "pallet")


def test_prices_are_the_same_wherever_they_are_changed(office: Office) -> None:
    name, account = office.customer()
    sku, found = office.product(*BOTH)
    everybody = office.sales.prices(found, 90)
    theirs = office.sales.prices(found, 80, account)
    seen = (
        "SELECT party.name, price FROM erp.item_price JOIN erp.item USING (item_no) LEFT JOIN erp.party USING (party_no)"
        " WHERE code = %s ORDER BY 2 DESC"
    )
    office.everywhere(lambda f: f.rows(seen, sku), [(None, 90), (name, 80)])
    office.sales.edit("price_book", theirs, price=75)
    office.south.do("UPDATE erp.item_price SET price = 85 WHERE party_no IS NULL AND item_no = %s", office.south.item(sku))
    office.eventually(lambda: office.sales.sees("price_book", everybody, "price"), 85)
    office.everywhere(lambda f: f.rows(seen, sku), [(None, 85), (name, 75)])
    # Keyed in a factory, it holds in the CRM and in the other factory.
    office.north.do(
        "INSERT INTO erp.item_price (item_no, party_no, price, currency, valid_from) VALUES (%s, %s, 70, 'EUR', '2030-01-01')",
        office.north.item(sku), office.north.party(name),
    )  # fmt: skip
    office.eventually(lambda: office.south.rows(seen, sku), [(None, 85), (name, 75), (name, 70)])
    newest = "SELECT price FROM crm.price_book WHERE account_id = %s ORDER BY valid_from DESC LIMIT 1"
    office.eventually(lambda: office.sales.value(newest, account), 70)
