"""What is parked for a flow, in memory: so that later changes of the same record, and records that refer to it,
keep their place behind it. The state table is the truth; this follows it after every commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern

from replicator.capture.batch import Key, RowChange
from replicator.capture.block import Block
from replicator.model.failure import KEPT, NOT_BY_ONE, POLICIES
from replicator.ports.state import Parked

LOCKED = POLICIES["locked"].reason

Wait = tuple[str, str]  # link, raw key of the record that is missing


@dataclass(slots=True)
class Parking:
    """`retry`: ids to be tried in the next batch. `locked`: of those that were parked for somebody's lock."""

    retry: set[int] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    _stuck: set[int] = field(default_factory=set)
    _kept: set[int] = field(default_factory=set)
    _by_key: dict[tuple[str, Key], int] = field(default_factory=dict)
    _keys: dict[int, tuple[str, Key]] = field(default_factory=dict)
    _waits: dict[Wait, set[int]] = field(default_factory=dict)
    _wait_of: dict[int, Wait] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def stuck(self) -> int:
        """How many wait for a person."""
        return len(self._stuck)

    def of_links(self, links: Collection[str]) -> set[int]:
        """Ids of all that is parked of these links."""
        return {number for number, (name, _) in self._keys.items() if name in links} if links else set()

    def kept_links(self) -> set[str]:
        """Links of which changes are kept because they were paused."""
        return {self._keys[number][0] for number in self._kept}

    def load(self, rows: Iterable[tuple[int, str, list[str], Wait | None, str]]) -> None:
        self._by_key.clear()
        self._keys.clear()
        self._waits.clear()
        self._wait_of.clear()
        self._stuck.clear()
        self._kept.clear()
        self.locked.clear()
        for number, link, key, wait, reason in rows:
            self._add(number, link, key, wait, reason)

    def behind(self, changes: Mapping[str, Sequence[RowChange]]) -> set[int]:
        """Ids of parked changes of records that have changed again."""
        if not self._by_key:
            return set()
        lists = ((link, rows) for link, rows in changes.items() if not isinstance(rows, Block))  # those have been asked
        found = (self._by_key.get((link, row.first_key)) for link, rows in lists for row in rows)
        return {number for number in found if number is not None}

    @property
    def waits(self) -> bool:
        """Whether any change waits for a record."""
        return bool(self._waits)

    def concerns(self, link: str, block: Sequence[RowChange]) -> bool:
        """Whether a record of which a change is parked has changed again in this block."""
        parked = [key for name, key in self._by_key if name == link]
        return bool(parked) and isinstance(block, Block) and block.has_any(parked)

    def holds(self, link: str, key: Key) -> bool:
        return (link, key) in self._by_key

    def waiting_for(self, made: Iterable[Wait]) -> set[int]:
        """Ids of changes that wait for any of these records."""
        if not self._waits:
            return set()
        return {number for wait in made for number in self._waits.get(wait, ())}

    def wake(self, link: str, keys: Iterable[Sequence[str]]) -> None:
        """What waits for these records of the link is to be tried again, and what is parked of them."""
        for key in keys:
            self.retry |= self._waits.get((link, key[0]), set())
            number = self._by_key.get((link, tuple(part.encode() for part in key)))
            if number is not None:
                self.retry.add(number)

    def gone(self, unparked: Iterable[int], parked: Iterable[Parked]) -> list[int]:
        """The ids that really go: a change that is parked anew keeps its row, with its age and its count of attempts."""
        again = {(row.link, tuple(part.encode() for part in row.key)) for row in parked}
        return [number for number in unparked if self._keys.get(number) not in again]

    def new(self, parked: Iterable[Parked]) -> list[Parked]:
        """Those whose records were not parked before."""
        return [row for row in parked if (row.link, tuple(part.encode() for part in row.key)) not in self._by_key]

    def settle(self, unparked: Iterable[int], parked: Iterable[Parked]) -> None:
        """The transaction that did this has committed."""
        for number in unparked:
            self._drop(number)
        for row in parked:
            self._drop(row.id)
            self._add(row.id, row.link, row.key, row.waits, row.reason)

    def forget(self, ids: Iterable[int]) -> None:
        """They are no longer in the state table."""
        for number in ids:
            self._drop(number)

    def _add(self, number: int, link: str, key: Sequence[str], wait: Wait | None, reason: str) -> None:
        if reason == LOCKED:
            self.locked.add(number)
        if reason == KEPT:
            self._kept.add(number)
        if reason not in NOT_BY_ONE:
            self._stuck.add(number)
        place = (intern(link), tuple(part.encode() for part in key))  # there may be very many, of few links
        self._by_key[place] = number
        self._keys[number] = place
        if wait is not None:
            wait = intern(wait[0]), intern(wait[1])
            self._waits.setdefault(wait, set()).add(number)
            self._wait_of[number] = wait

    def _drop(self, number: int) -> None:
        self.retry.discard(number)
        self.locked.discard(number)
        self._stuck.discard(number)
        self._kept.discard(number)
        place = self._keys.pop(number, None)
        if place is not None:
            self._by_key.pop(place, None)
        wait = self._wait_of.pop(number, None)
        if wait is not None:
            self._waits[wait].discard(number)
            if not self._waits[wait]:
                del self._waits[wait]
