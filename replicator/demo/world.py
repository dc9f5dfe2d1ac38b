"""Fills the demo's CRM and the ERPs of its factories as their users would, each with what is keyed there.

Promises: writes through ordinary transactions that the replicator, already running, carries over; the same seed gives the
same world. Companies and products are keyed in all three, a few companies in two at once. What takes up what another node
has keyed (stock, prices, orders, quotes) is written after `arrive` says that all of that is there: where nobody carries
anything over the world is smaller, not an error.
"""

from __future__ import annotations

import importlib.resources
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path

import psycopg

from replicator.demo.crm_world import CrmWorld
from replicator.demo.factories import CRM, FACTORIES
from replicator.demo.factory_world import FactoryWorld
from replicator.demo.people import Company, People

Dsns = Mapping[str, str]  # node -> how to connect


@dataclass(frozen=True, slots=True)
class Sizes:
    """`keyed_twice`: companies, beyond `accounts`, that are typed into the CRM and a factory's ERP at about the same time."""

    accounts: int = 400
    contacts: int = 600
    products: int = 150
    agreements: int = 150
    past_orders: int = 150  # of each factory
    quotes: int = 200
    lines_per_quote: int = 3
    keyed_twice: int = 10

    @classmethod
    def of(cls, accounts: int) -> Sizes:
        """A world in proportion to the number of companies."""
        return cls(
            accounts=accounts,
            contacts=accounts * 3 // 2,
            products=max(accounts * 3 // 8, 24),
            agreements=accounts * 3 // 8,
            past_orders=accounts * 3 // 8,
            quotes=accounts // 2,
        )


@dataclass(slots=True)
class World:
    """`made`: (node, what) -> how many were written there. `complete`: everything asked for could be made."""

    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    complete: bool = True
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return self.made.total()

    def of(self, what: str) -> int:
        """On all nodes."""
        return sum(count for (_, kind), count in self.made.items() if kind == what)


def schema_files() -> Traversable:
    """The folder of crm.sql and erp.sql as installed."""
    return importlib.resources.files("replicator_sql") / "demo"


def install_schemas(dsns: Dsns, folder: Path | Traversable | None = None) -> None:
    """Makes the demo's tables in empty databases."""
    source = folder or schema_files()
    for node, dsn in dsns.items():
        with psycopg.connect(dsn) as connection:
            name = "crm.sql" if node == CRM else "erp.sql"
            connection.execute(source.joinpath(name).read_text(encoding="utf-8").encode())


def found(dsns: Dsns, seed: int = 1) -> None:
    """What is there before the first record: factories, countries, payment terms, packagings, warehouses."""
    people = People(seed)
    with psycopg.connect(dsns[CRM], autocommit=True) as crm:
        CrmWorld(crm, people).factories()
    for factory in FACTORIES:
        with psycopg.connect(dsns[factory.node], autocommit=True) as erp:
            FactoryWorld(erp, factory, people).reference_tables()


def build(
    dsns: Dsns,
    sizes: Sizes | None = None,
    *,
    seed: int = 1,
    arrive: Callable[[], bool] = lambda: True,
    tell: Callable[[str], None] = lambda _: None,
) -> World:
    """Writes the whole world into databases that `found` was called for. `tell` hears each step as it begins; `arrive` waits
    until everything has arrived everywhere, and says whether it has."""
    started = time.monotonic()
    sizes = sizes or Sizes()
    people = People(seed)
    world = World()
    with ExitStack() as stack:

        def connect(node: str) -> psycopg.Connection:
            return stack.enter_context(psycopg.connect(dsns[node], autocommit=True))

        crm = CrmWorld(connect(CRM), people)
        factories = [FactoryWorld(connect(factory.node), factory, people) for factory in FACTORIES]
        _masters(crm, factories, people, sizes, tell)
        tell("waiting until all of them know each other's customers and products")
        world.complete = arrive()
        crm.make_elsewhere()
        world.complete = arrive() and world.complete
        _business(crm, factories, sizes, tell)
        tell("waiting until that has arrived")
        world.complete = arrive() and world.complete
        tell("quotes in the CRM")
        world.complete = crm.quotes(sizes.quotes, sizes.lines_per_quote) and world.complete
        made = {CRM: crm.made} | {part.factory.node: part.made for part in factories}
        world.made = Counter({(node, what): count for node, counts in made.items() for what, count in counts.items()})
    world.seconds = time.monotonic() - started
    return world


def _masters(crm: CrmWorld, factories: list[FactoryWorld], people: People, sizes: Sizes, tell: Callable[[str], None]) -> None:
    """Half of the companies and products in the CRM, the other half in the factories."""
    products = [people.product() for _ in range(sizes.products)]
    companies = [people.company() for _ in range(sizes.accounts)]
    half = len(products) // 2
    tell("products, in the CRM and in the factory that makes them")
    crm.products(products[:half])
    for place, factory in enumerate(factories):
        factory.items(products[half + place :: len(factories)])
    tell("companies and their people, in all three systems")
    half = len(companies) // 2
    crm.accounts(companies[:half], sizes.contacts // 2)
    for place, factory in enumerate(factories):
        factory.parties(companies[half + place :: len(factories)], sizes.contacts // (2 * len(factories)))
    for number in range(sizes.keyed_twice):
        company = _with_vat(people)
        crm.key_again(company)
        factory = factories[number % len(factories)]
        with factory.erp.transaction():
            factory.parties([company], 0)


def _with_vat(people: People) -> Company:
    """By its VAT number it will be known that the two are one."""
    while True:
        company = people.company()
        if company.vat is not None:
            return company


def _business(crm: CrmWorld, factories: list[FactoryWorld], sizes: Sizes, tell: Callable[[str], None]) -> None:
    tell("stock in ten warehouses, parts lists, credit, and the orders of the past year")
    for factory in factories:
        factory.production_data()
        factory.stock(share=0.5)
        factory.finance()
        factory.history(sizes.past_orders)
    factories[0].prices()
    tell("what was agreed with customers about prices and packaging")
    crm.agreements(sizes.agreements)
