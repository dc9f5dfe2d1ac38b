"""People at work in all three systems at once, at random: each a thread that does one small thing after another.

What a user must expect (somebody was faster, a row is gone, a deadlock) is counted as refused; anything else is kept in
`Firm.failures`. Customers whose tax number ends in 9 may be closed one day: nobody sells to them, and nothing belongs to them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
from psycopg import errors

from tests.pack.desk import Desk

EXPECTED = (errors.IntegrityError, errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
LASTING = "coalesce({}, '') NOT LIKE '%%9'"

Seat = tuple[str, Callable[[psycopg.Connection], "Person"]]  # the DSN of the database, and who sits there
Job = tuple[int, Callable[[], Any]]


@dataclass
class Firm:
    """`keyed`: companies that somebody has just keyed and that others may key as well; `articles`: the same of products.
    `fights`: people also make the same telephone number on two sides at once, and delete contacts that others edit."""

    pause: float
    fights: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    keyed: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=20))
    articles: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def number(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def word(self, kind: str) -> str:
        """Never the same twice, on any node."""
        return f"{kind} {self.number()}"

    def tax_id(self) -> str:
        return f"AT{self.number()}"


class Person:
    """At one desk. `jobs` lists what the person does, with weights."""

    def __init__(self, firm: Firm, desk: Desk, dice: Random, name: str) -> None:
        self.firm, self.desk, self.dice, self.name = firm, desk, dice, name

    def jobs(self) -> list[Job]:
        raise NotImplementedError

    def any(self, table: str, key: str, where: str = "true", *params: Any) -> Any:
        """The key of one of the records, or None."""
        return self.desk.value(f"SELECT {key} FROM {table} WHERE {where} ORDER BY random() LIMIT 1", *params)

    def chance(self, of: float) -> bool:
        return self.dice.random() < of

    def works(self) -> None:
        weights, jobs = zip(*self.jobs(), strict=True)
        while not self.firm.stop.is_set():
            job = self.dice.choices(jobs, weights)[0]
            what = f"{self.name}: {job.__name__}"
            try:
                with self.desk.connection.transaction():
                    job()
                self.firm.done[what] += 1
            except EXPECTED:
                self.firm.refused[what] += 1
            except Exception as error:  # noqa: BLE001 - the test shows it; the person goes on
                self.firm.failures.append(f"{what}: {type(error).__name__}: {error}")
            time.sleep(self.dice.random() * self.firm.pause)


def at_work(firm: Firm, seats: Sequence[Seat], seconds: float) -> None:
    """Everybody works for so long."""

    def day(dsn: str, person: Callable[[psycopg.Connection], Person]) -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                person(connection).works()
        except Exception as error:  # noqa: BLE001
            firm.failures.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=day, args=one) for one in seats]
    for thread in threads:
        thread.start()
    firm.stop.wait(seconds)
    firm.stop.set()
    for thread in threads:
        thread.join()
