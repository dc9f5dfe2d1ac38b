"""One link, until it is known what differs and what was only on its way.

    look          at all records, or at those that a change since the last proof can concern
    settle        both nodes' logs are marked, and both flows pass the marks
    look again    at the records that differed; what differs in the same way is a difference, what differs in another way
                  has moved and is looked at once more

Why that is no guess: what differs in a look was committed before the marks that follow it, so once the flows have passed
them it has arrived. A record that then shows the very same on both sides was not moving, and nothing of it is on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from replicator.errors import ReplicatorError
from replicator.reconcile.difference import Difference, Differences
from replicator.reconcile.link_plan import LinkPlan
from replicator.reconcile.look import Look
from replicator.reconcile.node import Node
from replicator.reconcile.proof import CHANGED, NOTHING, WHOLE, Standing, keep, standing

LOOKS = 6
LOOKED_AGAIN = 200_000  # of more differences none is looked at again: they are not what is on its way


class Flows(Enum):
    PASSED = "passed"
    STOPPED = "stopped"  # no replicator is running
    BEHIND = "behind"  # it runs, and had not passed the marks in time


class InFlight(Protocol):
    def settle(self) -> Flows:
        """Marks both nodes' logs now and waits until what is before the marks has arrived, for a limited time."""


class Causes(Protocol):
    def of(self, one: Difference) -> tuple[str, str] | None:
        """Why it differs, where the nodes' own tables say so: the cause, and details."""


@dataclass
class LinkResult:
    """`how` much was compared and `why`: reconcile/proof.py says what the words mean. `proven`: there is a proof for later.
    `rows`: records that take part on the forward side, where they were counted; `shipped`: those that were compared.
    `unlinked`: paired records with a reference that cannot be compared, for what it names is not linked.
    `differences` have settled, `unsettled` were still moving. `problem`: why the link could not be compared."""

    link: str
    nodes: tuple[str, str]
    how: str = WHOLE
    why: str = ""
    proven: bool = False
    rows: int = 0
    shipped: int = 0
    unlinked: int = 0
    looks: int = 0
    seconds: float = 0.0
    positions: dict[str, str] = field(default_factory=dict)
    differences: Differences = field(default_factory=Differences)
    unsettled: Differences = field(default_factory=Differences)
    notes: list[str] = field(default_factory=list)
    problem: str | None = None

    @property
    def clean(self) -> bool:
        return self.problem is None and not len(self.differences) and not len(self.unsettled)


Watch = Callable[[str, str, int], None]  # link, what is being done, records so far


class LinkRun:
    def __init__(
        self, plan: LinkPlan, nodes: Mapping[str, Node], in_flight: InFlight, causes: Causes, watch: Watch, full: bool = False
    ) -> None:
        """`full`: no matter what is proven."""
        self._plan, self._full = plan, full
        self._nodes = {name: nodes[name] for name in plan.nodes}
        self._in_flight, self._causes, self._watch = in_flight, causes, watch
        self._result = LinkResult(plan.link.name, plan.nodes)

    def run(self) -> LinkResult:
        started = time.monotonic()
        try:
            self._settled(self._first_look())
        except ReplicatorError as error:
            self._result.problem = error.message
        self._result.seconds = time.monotonic() - started
        return self._result

    def _first_look(self) -> Differences:
        result, found = self._result, Differences()
        look = self._look("compares")
        look.begin()
        try:
            where = standing(self._plan, self._nodes, self._full)
            result.how, result.why, result.positions = where.how, where.why, look.positions
            for one in self._asked(look, where):
                found.add(one)
        finally:
            look.end()
        result.looks, result.shipped, result.unlinked, result.rows = 1, look.shipped, look.unlinked, look.rows
        if where.how == NOTHING:
            result.unlinked, result.proven = max(one.unlinked for one in where.before.values()), True
        else:
            unlinked = look.unlinked if where.how == WHOLE else max(one.unlinked for one in where.before.values())
            result.proven = keep(self._plan, self._nodes, where, found, unlinked)
        return found

    def _asked(self, look: Look, where: Standing) -> Iterator[Difference]:
        if where.how == WHOLE:
            yield from look.whole()
        elif where.how == CHANGED:
            yield from look.of_changed(where.before)
        yield from look.assertions()

    def _look_again(self, differences: Iterable[Difference]) -> Differences:
        found = Differences()
        look = self._look("looks again")
        look.begin()
        try:
            for one in look.again(lambda: differences):
                found.add(one)
        finally:
            look.end()
        self._result.looks += 1
        return found

    def _look(self, what: str) -> Look:
        name = self._result.link
        return Look(self._plan, self._nodes, lambda rows: self._watch(name, what, rows))

    def _settled(self, found: Differences) -> None:
        result = self._result
        if len(found) > LOOKED_AGAIN:
            result.notes.append(f"more than {LOOKED_AGAIN:,} records differ: they were not looked at again")
            return self._final(found)
        moving: Iterable[Difference] = found
        for _ in range(LOOKS - 1):
            if not any(True for _ in moving):
                return None
            self._watch(result.link, "waits for what is on its way", 0)
            state = self._in_flight.settle()
            if state is Flows.STOPPED:
                return self._final(moving)
            before = {one.place: one.view for one in moving}
            again = self._look_again(moving)
            known = [one for one in again if one.place in before]  # what is new was right in the look that counts
            if state is Flows.BEHIND:
                result.notes.append("the replicator was behind all the time: what differs may still be on its way")
                moving = known
                break
            self._final(one for one in known if one.view == before[one.place])
            moving = [one for one in known if one.view != before[one.place]]
        for one in moving:
            result.unsettled.add(one)
        return None

    def _final(self, differences: Iterable[Difference]) -> None:
        for one in differences:
            cause = self._causes.of(one)
            self._result.differences.add(one if cause is None else one.because(*cause))
