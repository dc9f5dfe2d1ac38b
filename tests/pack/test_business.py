"""Everybody at work at once, at random; in the end the CRM and the factories say the same of everything, and nothing is parked.

PACK_SECONDS=600 lets them work for longer, PACK_SEED makes another day of it, and PACK_FIGHTS=1 lets them also make the same
telephone number on two sides at once and delete contacts that others edit. Of 20 such days of a minute one ended with a
number that one factory alone had, which `reconcile` told.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tests.pack.business import Firm, Seat, at_work
from tests.pack.business_factory import FactoryPerson
from tests.pack.business_sales import SalesPerson
from tests.pack.conftest import ONE
from tests.pack.judge import differences
from tests.pack.office import FACTORIES, running

SECONDS = float(os.environ.get("PACK_SECONDS", "30"))
FIGHTS = bool(os.environ.get("PACK_FIGHTS"))
SEED = int(os.environ.get("PACK_SEED", "1"))
PAUSE = 0.1  # seconds at most, between two things that somebody does


def test_a_day_of_business(tmp_path: Path) -> None:
    with running(tmp_path, ONE) as office:
        firm = Firm(PAUSE, FIGHTS)
        seats: list[Seat] = [(office.dsn("crm"), partial(SalesPerson, firm, seed=SEED + number)) for number in range(2)]
        for node, code in FACTORIES.items():
            seats += [(office.dsn(node), partial(FactoryPerson, firm, code=code, seed=SEED + number)) for number in range(2)]
        at_work(firm, seats, SECONDS)
        assert firm.failures == []
        office.settle(60 + SECONDS)
        assert office.parked() == []
        found = [line for factory in office.factories.values() for line in differences(office.sales, factory)]
        assert found == []
        office.agrees()
