"""The park step: what could not be written is set aside in the state table, in the transaction of what could.

Promises: a change that is parked anew keeps its row there, with its age and its count of attempts; one that meets another value
of a unique column is in the conflict log too, once; of a transaction that comes in parts, memory holds only what a later part
may still make good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from replicator.apply.careful import WORTH_ANOTHER_TRY
from replicator.apply.limit import Limit
from replicator.apply.outcome import Outcome
from replicator.apply.parking import Parking
from replicator.ports.state import FlowState
from replicator.program.program import Program


class Park:
    def __init__(self, programs: Mapping[str, Program], state: FlowState, parking: Parking, limit: Limit) -> None:
        self._programs, self._state, self._parking, self._limit = programs, state, parking, limit

    def all(self, outcome: Outcome) -> None:
        """What is parked of everything that is to be committed. Raises TooManyParked."""
        self._limit.check_all(outcome.parked)
        self._set_aside(outcome)

    def part(self, outcome: Outcome) -> None:
        """More of the transaction follows: what is parked of it so far need not be held, for it may be very many. But what the
        next part may still make good is."""
        self._limit.check_all(outcome.parked)
        later = [parked for parked in outcome.parked if parked.sqlstate in WORTH_ANOTHER_TRY]
        freed = set(self._parking.gone(outcome.unparked, later))
        unparked = [number for number in outcome.unparked if number not in freed]
        outcome.parked = [parked for parked in outcome.parked if parked.sqlstate not in WORTH_ANOTHER_TRY]
        outcome.unparked = [number for number in outcome.unparked if number in freed]
        self._limit.kept(outcome.parked)
        self._set_aside(outcome)
        self._parking.settle(outcome.unparked, outcome.parked)
        outcome.kept.update((parked.link, parked.reason, parked.sqlstate) for parked in outcome.parked)
        outcome.parked, outcome.unparked = later, unparked

    def _set_aside(self, outcome: Outcome) -> None:
        outcome.unparked = self._parking.gone(outcome.unparked, outcome.parked)
        if outcome.unparked:
            self._state.unpark(outcome.unparked)
        clashes = [parked for parked in self._parking.new(outcome.parked) if parked.conflict]
        if clashes:
            places = [str(self._programs[parked.link].link.mark) for parked in clashes]
            self._state.clashed(clashes, [parked.payload["stamp"] for parked in clashes], places)
            outcome.conflicts += len(clashes)
        ids = self._state.park(outcome.parked) if outcome.parked else []
        outcome.parked = [replace(parked, id=number) for parked, number in zip(outcome.parked, ids, strict=True)]
