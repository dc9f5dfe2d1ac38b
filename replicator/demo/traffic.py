"""People at work in the demo's CRM and in its factories: several in each, at the same time, for as long as wanted.

Promises: every user is a thread with a connection of its own and works at about `rate` transactions a
second, or as fast as the servers allow; `stop` returns when all of them have ended. What they do is what the
replicator has to cope with: creates, edits and deletes on all sides, edits of one field of one customer in all
systems within a quarter of a second, companies keyed twice, edits of what the other side owns, quotes negotiated
in rounds and confirmed, orders produced, shipped and invoiced, stock moved, complaints and repairs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from replicator.demo.crm_sales import SalesUser
from replicator.demo.crm_service import ServiceUser
from replicator.demo.erp_office import OfficeUser
from replicator.demo.erp_works import WorksUser
from replicator.demo.factories import CRM, FACTORIES
from replicator.demo.people import People
from replicator.demo.user import Office, User

COMPANIES, PERSONS = 300, 600  # in the pools of names that edits and new records take from
REFUSED = ("refused", "disconnected", "failed")


class Traffic:
    """Users of all systems. As a context manager: at work inside the block."""

    def __init__(
        self, dsns: Mapping[str, str], *, sales_users: int = 2, service_users: int = 1, rate: float = 6.0, seed: int = 1
    ) -> None:
        """`dsns`: node -> how to connect. Each factory has one in the office and one in the works."""
        people = People(seed)
        office = self._office = Office(
            companies=[people.company() for _ in range(COMPANIES)],
            persons=[people.person() for _ in range(PERSONS)],
        )
        crm = dsns[CRM]
        self._users: list[User] = [
            SalesUser(CRM, crm, office, (n, sales_users), rate=rate, seed=seed) for n in range(sales_users)
        ]
        seats = range(sales_users, sales_users + service_users)
        self._users += [ServiceUser(CRM, crm, office, (n, 1), rate=rate, seed=seed) for n in seats]
        for factory in FACTORIES:
            dsn = dsns[factory.node]
            self._users.append(OfficeUser(factory.code.lower(), dsn, office, (0, 1), rate=rate, seed=seed))
            self._users.append(WorksUser(factory, dsn, office, (1, 1), rate=rate, seed=seed))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        for user in self._users:
            user.start()

    def stop(self) -> None:
        """Tells all users to end after what they are doing, and waits until they have."""
        self._office.stopping.set()
        for user in self._users:
            if user.ident is not None:
                user.join()

    def run(self, seconds: float, until: threading.Event | None = None) -> None:
        """Works for that long, or until the event is set, and stops."""
        with self:
            (until or threading.Event()).wait(seconds)

    def work(self) -> set[str]:
        """Everything that somebody may do ("crm edit account")."""
        return {f"{user.system} {name}" for user in self._users for _, name, _ in user.work()}

    def snapshot(self) -> dict[str, int]:
        """How often each piece of work was committed so far ("crm edit account": 120), and under `refused`,
        `disconnected` and `failed` what was not."""
        return self._office.counts()

    @property
    def committed(self) -> int:
        return sum(count for name, count in self.snapshot().items() if name not in REFUSED)

    @property
    def failures(self) -> list[str]:
        """The first errors that no user should meet, in words."""
        return list(self._office.failures)
