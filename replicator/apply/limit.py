"""How much may be parked before the flow stops: what is wrong with so many changes is wrong with something else.

    parked_limit     changes of a flow that wait for a person, over all
    parked_percent   of the changes of one batch, if it has at least BATCH of them

Both checks raise TooManyParked. Promises: what goes on by itself (it waits for a record, or for somebody's lock) does not
count, nor does what was parked before and is tried once more. When the limit is met nothing of the batch is written, so
nothing is parked either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from replicator.apply.parking import Parking
from replicator.errors import TooManyParked
from replicator.model.failure import BY_ITSELF
from replicator.ports.state import Parked

BATCH = 100


class Limit:
    """`most`: settings.parked_limit; `percent`: settings.parked_percent."""

    def __init__(self, flow: str, most: int, percent: int, parking: Parking) -> None:
        self._flow = flow
        self._most = most
        self._percent = percent
        self._parking = parking
        self.begun()

    def begun(self) -> None:
        """A transaction has begun on the target."""
        self._changes = 0
        self._reasons: Counter[tuple[str, str]] = Counter()

    def coming(self, changes: int) -> None:
        """So many are to be written in it."""
        self._changes += changes

    def check_all(self, parked: Sequence[Parked]) -> None:
        """What is to be parked of everything that came so far is this."""
        self._reasons.clear()
        self.check(parked)

    def check(self, parked: Sequence[Parked]) -> None:
        """These are to be parked, too."""
        for one in self._parking.new(parked):
            if one.reason not in BY_ITSELF:
                self._reasons[one.link, f"{one.reason} (SQLSTATE {one.sqlstate})" if one.sqlstate else one.reason] += 1
        count = sum(self._reasons.values())
        if not count:
            return
        (link, reason), most = self._reasons.most_common(1)[0]
        what = f"{most:,} of link {link}: {reason}"
        if self._changes >= BATCH and count * 100 > self._changes * self._percent:
            raise TooManyParked(
                f"{self._flow} stands still: of {self._changes:,} changes more than {self._percent} % would be parked, {what}",
                "mend the cause, and it goes on by itself; if they are to be parked, raise `parked_percent` under `settings`",
            )
        if self._parking.stuck + count > self._most:
            raise TooManyParked(
                f"{self._flow} stands still: more than {self._most:,} changes would be parked, lately {what}",
                "mend the cause, then `replicator parked retry` or `discard`; or raise `parked_limit` under `settings`",
            )

    def taken_back(self, parked: Sequence[Parked]) -> None:
        """These are tried once more in the same transaction."""
        for one in self._parking.new(parked):
            self._reasons[one.link, f"{one.reason} (SQLSTATE {one.sqlstate})" if one.sqlstate else one.reason] -= 1
