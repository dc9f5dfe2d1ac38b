"""A user of one of the demo's systems: a thread that does one small piece of work after another.

Promises: never ends before it is told to. What a user must expect (someone was faster, a row is gone, a
deadlock) is counted as refused, a broken connection is made again, anything else is kept in `failures`.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import errors

from replicator.demo.bulk import Connection
from replicator.demo.people import Company, Person

EXPECTED = (errors.IntegrityError, errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
BROKEN = (psycopg.OperationalError, psycopg.InterfaceError)
FRESH = random.SystemRandom()
FAILURES_KEPT = 20
WINDOW = 0.25  # seconds for which all users agree on the customer they fight over

Work = tuple[int, str, Callable[[], bool]]
Edits = tuple[tuple[LiteralString, tuple[str, ...]], ...]  # statement, and the attributes whose values it takes


@dataclass(slots=True)
class Office:
    """What the users of all systems share: names to choose from, counters, and what two of them do at once.

    `contested` holds VAT numbers of customers that all systems have; `just_keyed` companies that someone has
    just keyed in the CRM and that someone else may now key in a factory.
    """

    companies: Sequence[Company]
    persons: Sequence[Person]
    stopping: threading.Event = field(default_factory=threading.Event)
    contested: list[str] = field(default_factory=list)
    just_keyed: list[Company] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)

    def failed(self, what: str) -> None:
        with self._lock:
            self._counts["failed"] += 1
            if len(self.failures) < FAILURES_KEPT:
                self.failures.append(what)

    def target(self) -> tuple[str, int] | None:
        """The VAT number everybody edits in this quarter of a second, and a number that says which field of it."""
        known = self.contested
        window = int(time.time() / WINDOW)
        return (known[window % len(known)], window // len(known)) if known else None


class User(threading.Thread):
    """Subclasses list what the user does as (weight, name, method); a method returns False if there was nothing to do.
    Each piece of work is one transaction."""

    def __init__(self, system: str, dsn: str, office: Office, seat: tuple[int, int], *, rate: float, seed: int) -> None:
        """`system`: what people call the database. `seat`: (number of this user from 0, how many there are on this system)."""
        super().__init__(name=f"{system} user {seat[0] + 1}", daemon=True)
        self.system = system
        self.seat = seat
        self.office = office
        self.random = random.Random(f"{seed} {self.name}")
        self._dsn = dsn
        self._rate = rate
        self._connection: Connection | None = None

    def work(self) -> list[Work]:
        raise NotImplementedError

    def begin(self) -> None:
        """What the user looks up before the first piece of work on a new connection."""

    def run(self) -> None:
        weights = [weight for weight, _, _ in self.work()]
        jobs = [(name, job) for _, name, job in self.work()]
        due = time.monotonic()
        while not self.office.stopping.is_set():
            due = max(due + self.random.expovariate(self._rate), time.monotonic() - 1)
            if self.office.stopping.wait(max(0.0, due - time.monotonic())):
                break
            name, job = self.random.choices(jobs, weights)[0]
            self._do(name, job)
        self._disconnect()

    def _do(self, name: str, job: Callable[[], bool]) -> None:
        try:
            if self._connection is None:
                self._connect()
            with self.db.transaction():
                done = job()
            if done:
                self.office.count(f"{self.system} {name}")
        except EXPECTED:
            self.office.count("refused")
        except BROKEN:
            self.office.count("disconnected")
            self._disconnect()
            self.office.stopping.wait(0.1)
        except Exception as error:  # noqa: BLE001 - shown by the caller; the user goes on working
            self.office.failed(f"{self.name}, {name}: {type(error).__name__}: {error}")

    @property
    def db(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _connect(self) -> None:
        name = f"demo {self.name}"
        self._connection = psycopg.connect(self._dsn, autocommit=True, application_name=name, connect_timeout=5)
        self.begin()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- for the work

    def one(self, question: LiteralString, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        return self.db.execute(question, parameters).fetchone()

    def changed(self, statement: LiteralString, parameters: Sequence[object] | Mapping[str, object]) -> bool:
        """Whether the statement changed any row."""
        return self.db.execute(statement, parameters).rowcount > 0

    def edit(self, edits: Edits, thing: Company | Person, key: object) -> bool:
        """One of the edits, with values of `thing`; its last parameter is the record's key."""
        statement, names = self.random.choice(edits)
        return self.changed(statement, [*(getattr(thing, name) for name in names), key])

    def company(self) -> Company:
        return self.random.choice(self.office.companies)

    def person(self) -> Person:
        return self.random.choice(self.office.persons)

    def new_vat(self, country: str) -> str:
        """Not one of the world's, which are below five hundred million, nor of earlier traffic with the same seed."""
        return f"{country}{FRESH.randrange(500_000_000, 1_000_000_000)}"
