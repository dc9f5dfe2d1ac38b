"""The demo's world: what is keyed where, with and without someone who carries it over."""

from __future__ import annotations

import psycopg

from replicator.demo.factories import FACTORIES
from replicator.demo.people import People
from replicator.demo.verify import verify
from replicator.demo.world import World, build, found
from replicator.runtime.demo_site import DemoSite

from .conftest import SMALL


def count(dsn: str, question: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def check(dsns: dict[str, str]) -> dict[str, int]:
    """Statement -> differences."""
    verdict = verify(dsns["crm"], {one.code: dsns[one.node] for one in FACTORIES})
    return {one.name: one.count for one in verdict.statements}


def test_a_world_that_is_carried_over_is_complete_and_the_same_on_all_sides(site: DemoSite, world: World) -> None:
    made = world
    assert made.complete
    assert made.of("products") + made.of("items") == 40
    assert made.of("quotes") == 50
    assert made.of("past orders") == 60
    assert set(check(site.dsns).values()) == {0}
    crm = site.dsns["crm"]
    assert count(crm, "SELECT count(*) FROM crm.quote WHERE stage = 'confirmed'") >= made.of("confirmed quotes")
    quoted = sum(
        count(site.dsns[one.node], "SELECT count(DISTINCT external_ref) FROM erp.sales_order WHERE external_ref IS NOT NULL")
        for one in FACTORIES
    )
    assert quoted >= made.of("confirmed quotes") > 0
    assert count(crm, "SELECT count(DISTINCT warehouse || factory) FROM crm.stock") == 10
    both = "SELECT count(*) FROM (SELECT FROM crm.product_site GROUP BY product_id HAVING count(*) = 2) p"
    assert count(crm, both) > 0
    closable = "SELECT id FROM crm.account WHERE vat_number LIKE '%9'"
    assert count(crm, f"SELECT count(*) FROM crm.quote WHERE account_id IN ({closable})") == 0
    assert count(crm, f"SELECT count(*) FROM crm.sales_order WHERE account_id IN ({closable})") == 0


def test_without_anyone_who_carries_over_the_world_is_smaller_and_says_so(databases: dict[str, str]) -> None:
    found(databases)
    steps: list[str] = []
    made = build(databases, SMALL, arrive=lambda: False, tell=steps.append)
    assert not made.complete
    assert steps[-1] == "quotes in the CRM"
    assert made.of("quotes") == 0
    assert count(databases["crm"], "SELECT count(*) FROM crm.account") == 30 + SMALL.keyed_twice
    assert count(databases["erp_north"], "SELECT count(*) FROM erp.party") == 15 + SMALL.keyed_twice // 2
    differences = check(databases)
    assert differences["customers"] > 0
    assert differences["products"] > 0
    assert differences["stock"] > 0
    assert differences["orders"] == 60


def test_the_same_seed_gives_the_same_people_and_another_seed_others() -> None:
    def sample(seed: int) -> list[object]:
        people = People(seed)
        return [(people.company(), people.person(), people.product(), people.note()) for _ in range(50)]

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_vat_numbers_are_unique_and_texts_keep_to_the_erps_lengths() -> None:
    people = People(3)
    companies = [people.company() for _ in range(2_000)]
    numbers = [company.vat for company in companies if company.vat]
    assert len(set(numbers)) == len(numbers) < len(companies)
    assert all(int(number[2:]) < 500_000_000 for number in numbers), "above are those of the traffic"
    assert max(len(company.zip) for company in companies) <= 12
    assert max(len(company.email or "") for company in companies) <= 120
    assert not any("\n" in company.street for company in companies)
