"""People at work in the demo's CRM and ERP: several users of each, at the same time, for as long as wanted.

Promises: every user is a thread with a connection of its own and works at about `rate` transactions a
second, or as fast as the servers allow; `stop` returns when all of them have ended. What they do is what the
replicator has to cope with: creates, edits and deletes on both sides, edits of one field of one customer
in both systems within a quarter of a second, companies keyed twice, edits of what the other side owns,
quotes negotiated in rounds and confirmed, orders moved on.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from replicator.demo.crm_user import CrmUser
from replicator.demo.erp_user import ErpUser
from replicator.demo.people import People
from replicator.demo.user import Office, User

COMPANIES, PERSONS = 300, 600  # in the pools of names that edits and new records take from


class Traffic:
    """Users of both systems. As a context manager: at work inside the block."""

    def __init__(
        self,
        crm_dsn: str,
        erp_dsn: str,
        *,
        crm_users: int = 3,
        erp_users: int = 3,
        rate: float = 30.0,
        seed: int = 1,
    ) -> None:
        people = People(seed)
        self._office = Office(
            companies=[people.company() for _ in range(COMPANIES)],
            persons=[people.person() for _ in range(PERSONS)],
        )
        self._users: list[User] = []
        for system, dsn, count in ((CrmUser, crm_dsn, crm_users), (ErpUser, erp_dsn, erp_users)):
            self._users += [system(dsn, self._office, (n, count), rate=rate, seed=seed) for n in range(count)]

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

    def snapshot(self) -> dict[str, int]:
        """How often each piece of work was committed so far ("crm edit account": 120), and under `refused`,
        `disconnected` and `failed` what was not."""
        return self._office.counts()

    @property
    def committed(self) -> int:
        return sum(count for name, count in self.snapshot().items() if name.startswith(("crm ", "erp ")))

    @property
    def failures(self) -> list[str]:
        """The first errors that no user should meet, in words."""
        return list(self._office.failures)
