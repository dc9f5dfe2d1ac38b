"""A row costs us no more than it did, in rows of PostgreSQL's own subscription: guard.py says what that means.

It failed when a sleep, or work for Python, of twice a row's time was put into every row's way, and did not with eight processes
at work beside it on two processors. After a change that is meant to cost, or to save: `python -m tests.bench.guard --store`.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from replicator.demo.servers import installation
from tests.bench import guard


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="what processes do is told by Linux only")
def test_a_row_costs_what_it_did() -> None:
    shown = io.StringIO()
    stored = json.loads(guard.STORED.read_text())
    slow: list[str] = []
    for _ in range(2):  # once may be chance
        slow = guard.too_slow(guard.costs(installation(None), Console(file=shown, width=120)), stored)
        if not slow:
            return
    pytest.fail("\n".join((*slow, shown.getvalue())))


def test_three_times_as_slow_is_too_slow() -> None:
    stored = json.loads(guard.STORED.read_text())
    assert len(stored) == 4
    assert guard.too_slow({name: 3 * cost for name, cost in stored.items()}, stored)
    assert not guard.too_slow(stored, stored)
