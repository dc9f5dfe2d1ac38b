"""Promise: where a batch happens to end, and what else is in it, makes no difference to what becomes of a row.

All moves of test_rows.py in random order, the flows stepping and dying in between. REPLICATOR_SHUFFLES=n plays n rounds
instead of the few of CI; REPLICATOR_SEED=s starts at seed s.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.apply.conftest import Fresh
from tests.apply.driving import parked
from tests.apply.test_rows import BIG, CRM, ERP, LINKS, MOVES, NAMES, ids, rows, statement
from tests.two_way.pair_of_nodes import Pair

ROUNDS = int(os.environ.get("REPLICATOR_SHUFFLES", "5"))
SEED = int(os.environ.get("REPLICATOR_SEED", "0"))


def play(pair: Pair, kind: str, seed: int) -> list[str]:
    """One round on rows of its own; gives what is wrong after it."""
    r, game = random.Random(seed), seed * 1000
    moves = list(NAMES)
    for move in moves:
        base, prefix = ids(move, game)
        listed = ", ".join(f"({base + row}, '{prefix}c{row}', 'old', {BIG}, 0)" for row in (1, 2))
        pair.crm.execute(f"INSERT INTO {kind} (id, code, name, big, n) VALUES {listed}")  # type: ignore[call-overload]
    if r.random() < 0.8:
        pair.settle()
    r.shuffle(moves)
    for move in moves:
        for text in MOVES[move]:
            pair.crm.execute(statement(kind, move, text, game))  # type: ignore[call-overload]
            fate = r.random()
            if fate < 0.2:
                pair.turn(0)
            elif fate < 0.3:
                pair.turn()
            elif fate < 0.31:
                pair.crash()
    pair.settle()
    wrong = [f"{key} of {link} is parked: {reason} {state}" for link, key, reason, state in parked(pair)]
    for move in moves:
        first, _ = ids(move, game)
        if rows(pair, "erp", kind, first) != rows(pair, "crm", kind, first):
            wrong.append(f"{move}: {rows(pair, 'erp', kind, first)} should be {rows(pair, 'crm', kind, first)}")
    return wrong


@pytest.mark.parametrize("kind", ["direct", "paired", "both_ways"])
def test_moves_in_any_order_and_any_batches(fresh: Fresh, kind: str) -> None:
    with fresh(CRM, ERP, *LINKS) as pair:
        for seed in range(SEED, SEED + ROUNDS):
            assert play(pair, kind, seed) == [], f"seed {seed}"
