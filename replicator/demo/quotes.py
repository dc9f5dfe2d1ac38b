"""Writes the quotes of the demo's world into the CRM: drafts, offers under negotiation, confirmed ones.

Promises: a quote and its lines are one transaction; a line of a confirmed quote names a factory that makes its product; half
of those to be confirmed are first committed as under negotiation and confirmed later, the others arrive confirmed.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import LiteralString

from replicator.demo.bulk import Connection, batches, copy
from replicator.demo.people import People

STAGES = ("draft", "negotiation", "confirmed", "rejected")
WEIGHTS = (25, 25, 45, 5)
TITLES = ("Spare parts", "Annual contract", "Pilot series", "Replacement", "New line", "Trial order")
START = datetime(2025, 1, 1, tzinfo=UTC)
QUOTES_OF_A_TRANSACTION = 20

Sold = tuple[uuid.UUID, Decimal, list[str]]  # a product, its list price, the factories that make it

QUOTES: LiteralString = "COPY crm.quote (id, account_id, title, stage, currency, wanted_on, note, confirmed_at) FROM STDIN"
LINES: LiteralString = (
    "COPY crm.quote_line (quote_id, position, product_id, factory, quantity, unit_price, discount_percent) FROM STDIN"
)
CONFIRM: LiteralString = "UPDATE crm.quote SET stage = 'confirmed', confirmed_at = now() WHERE id = ANY(%s)"


@dataclass(slots=True)
class QuotesMade:
    quotes: int = 0
    lines: int = 0
    confirmed: int = 0


def write_quotes(
    crm: Connection,
    people: People,
    accounts: list[uuid.UUID],
    products: Sequence[Sequence[object]],
    *,
    count: int,
    lines_per_quote: int,
) -> QuotesMade:
    """Makes `count` quotes for `accounts` with lines of `products`."""
    made = QuotesMade(quotes=count)
    confirm_later: list[uuid.UUID] = []
    for batch in batches(range(count), QUOTES_OF_A_TRANSACTION):
        quotes, lines = [], []
        for _ in batch:
            key = random_uuid(people.random)
            stage = people.random.choices(STAGES, WEIGHTS)[0]
            made.confirmed += stage == "confirmed"
            settled = stage == "confirmed"
            if settled and people.random.random() < 0.5:
                stage = "negotiation"
                confirm_later.append(key)
            quotes.append((key, people.random.choice(accounts), *_quote(people, stage)))
            lines += [(key, *line) for line in _lines(people.random, lines_per_quote, products, settled)]
        with crm.transaction():
            copy(crm, QUOTES, quotes)
            copy(crm, LINES, lines)
        made.lines += len(lines)
    for some in batches(confirm_later, QUOTES_OF_A_TRANSACTION):
        crm.execute(CONFIRM, [list(some)])
    return made


def _quote(people: People, stage: str) -> tuple[object, ...]:
    made = START + timedelta(minutes=people.random.randrange(400_000))
    title = f"{people.random.choice(TITLES)} {made.year}-{people.random.randrange(10_000):04d}"
    currency = people.random.choice(("EUR", "EUR", "EUR", "USD", "CHF"))
    wanted_on = (made + timedelta(days=30)).date()
    return (title, stage, currency, wanted_on, people.note(), made if stage == "confirmed" else None)


def _lines(chance: random.Random, average: int, products: Sequence[Sequence[object]], settled: bool) -> list[tuple[object, ...]]:
    """`settled`: it is known who makes what."""
    lines: list[tuple[object, ...]] = []
    for position in range(1, chance.randint(1, 2 * average - 1) + 1):
        product, price, factories = chance.choice(products)
        assert isinstance(factories, list)
        factory = chance.choice(factories) if settled or chance.random() < 0.3 else None
        quantity = f"{chance.choice((1, 2, 5, 10, 12, 100, 2.5, 0.75)):.2f}"
        lines.append((position, product, factory, quantity, price, chance.choice(("0", "0", "5", "12.50"))))
    return lines


def random_uuid(chance: random.Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128), version=4)
