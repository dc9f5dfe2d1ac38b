"""The demo's world: what is keyed where, with and without someone who carries it over."""

from __future__ import annotations

from contextlib import AbstractContextManager

import psycopg

from replicator.demo.people import People
from replicator.demo.verify import verify
from replicator.demo.world import Sizes, build

SMALL = Sizes(accounts=60, contacts=100, products=40, quotes=50, lines_per_quote=3, keyed_twice=5)


def count(dsn: str, question: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def test_a_world_that_is_carried_over_is_complete_and_the_same_on_both_sides(
    databases: tuple[str, str], ferry: AbstractContextManager[object]
) -> None:
    crm, erp = databases
    steps: list[str] = []
    with ferry:
        made = build(crm, erp, SMALL, wait_seconds=20, tell=steps.append)
    assert made.complete
    assert steps[-1] == "quotes in the CRM"
    assert (made.products, made.quotes) == (40, 50)
    assert made.crm_contacts + made.erp_contacts == 100
    verdict = verify(crm, erp)
    assert verdict.differences == []
    assert set(verdict.compared) == {"customer", "contact", "product", "order", "order line"}
    assert verdict.rows_compared > made.rows
    assert count(crm, "SELECT count(*) FROM crm.quote WHERE stage = 'confirmed'") == made.confirmed
    assert count(erp, "SELECT count(*) FROM erp.sales_order") == made.confirmed
    assert count(crm, "SELECT count(*) FROM crm.quote_line") == made.quote_lines
    assert count(crm, "SELECT count(DISTINCT xmin::text) FROM crm.quote") > 1
    closable = "SELECT id FROM crm.account WHERE vat_number LIKE '%9'"
    assert count(crm, f"SELECT count(*) FROM crm.quote WHERE account_id IN ({closable})") == 0


def test_without_anyone_who_carries_over_the_world_is_smaller_and_says_so(databases: tuple[str, str]) -> None:
    crm, erp = databases
    made = build(crm, erp, SMALL, wait_seconds=0.1)
    assert not made.complete
    assert (made.quotes, made.keyed_twice, made.products) == (0, 5, 40)
    assert count(crm, "SELECT count(*) FROM crm.account") == made.crm_accounts == 35
    assert count(erp, "SELECT count(*) FROM erp.customer") == made.erp_customers == 35
    with psycopg.connect(crm) as one, psycopg.connect(erp) as other:
        here = {row[0] for row in one.execute("SELECT vat_number FROM crm.account")}
        there = {row[0] for row in other.execute("SELECT tax_id FROM erp.customer")}
    assert len((here & there) - {None}) == 5
    verdict = verify(crm, erp)
    assert verdict.by_kind["customer"] == 70
    assert verdict.by_kind["product"] == 40


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
    assert not any("\n" in company.street for company in companies)
