"""How much may be parked before the flow stops: what is wrong with so many changes is wrong with something else.

    parked_limit     changes of a flow that wait for a person, over all
    parked_percent   of the changes of one batch, if it has at least BATCH of them

All checks raise TooManyParked. Promises: what goes on by itself (it waits for a record, or for somebody's lock) does not
count, nor does what was parked before and is tried once more; a link that is broken counts over all only, for the others
are to go on. When the limit is met nothing of the batch is written, so nothing is parked either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from replicator.apply.parking import Parking
from replicator.errors import TooManyParked
from replicator.model.failure import NOT_BY_ONE, POLICIES
from replicator.ports.state import Parked

BATCH = 100
SURE_UPTO = 80  # percent: of a share so large a sample of which all is refused leaves no doubt
BROKEN = POLICIES["broken"].reason


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
        self._reasons: Counter[tuple[str, str, str | None]] = Counter()  # (link, reason, SQLSTATE)
        self._kept = self._reasons.copy()  # of these: of those that are in the state table already

    def coming(self, changes: int) -> None:
        """So many are to be written in it."""
        self._changes += changes

    def check_all(self, parked: Sequence[Parked]) -> None:
        """What is to be parked of everything that came so far is this, and what is kept."""
        self._reasons = self._kept.copy()
        self.check(parked)

    def kept(self, parked: Sequence[Parked]) -> None:
        """Of what was checked this is parked now, and more of the transaction follows."""
        self._kept += self._counted(parked)

    def check(self, parked: Sequence[Parked]) -> None:
        """These are to be parked, too."""
        self._reasons += self._counted(parked)
        count = sum(self._reasons.values())
        refused = sum(n for (_, reason, _), n in self._reasons.items() if reason != BROKEN)
        if self._changes >= BATCH and refused * 100 > self._changes * self._percent:
            raise self._share(f"of {self._changes:,} changes more than {self._percent} % would be parked, {self._most_common()}")
        if self._parking.stuck + count - self._kept.total() > self._most:
            raise TooManyParked(
                f"{self._flow} stands still: more than {self._most:,} changes would be parked, lately {self._most_common()}",
                "mend the cause, then `replicator parked retry` or `discard`; or raise `parked_limit` under `settings`",
            )

    def _counted(self, parked: Sequence[Parked]) -> Counter[tuple[str, str, str | None]]:
        return Counter(_of(one) for one in self._parking.new(parked) if one.reason not in NOT_BY_ONE)

    def check_sample(self, refused: Sequence[tuple[str, str]]) -> None:
        """Each of these (link, SQLSTATE), spread over a large batch, was refused by itself."""
        if self._changes >= BATCH and self._percent <= SURE_UPTO:
            link, sqlstate = refused[0]
            what = f"one of link {link} with SQLSTATE {sqlstate}"
            raise self._share(f"all of {len(refused)} changes that were tried out of {self._changes:,} are refused, {what}")

    def _share(self, what: str) -> TooManyParked:
        hint = "mend the cause, and it goes on by itself; if they are to be parked, raise `parked_percent` under `settings`"
        return TooManyParked(f"{self._flow} stands still: {what}", hint)

    def _most_common(self) -> str:
        [((link, reason, sqlstate), count)] = self._reasons.most_common(1)
        return f"{count:,} of link {link}: {reason}" + (f" (SQLSTATE {sqlstate})" if sqlstate else "")

    def taken_back(self, parked: Sequence[Parked]) -> None:
        """These are tried once more in the same transaction."""
        for one in self._parking.new(parked):
            self._reasons[_of(one)] -= 1


def _of(one: Parked) -> tuple[str, str, str | None]:
    return one.link, one.reason, one.sqlstate
