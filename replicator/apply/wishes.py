"""What people want of a flow: they note it in the state tables, and it is taken in between two steps of the flow.

discard    parked changes that are to be thrown away; what waited for them is tried again
retry      parked changes that are to be tried again, and those that have their time
decide     records of which a person has settled a conflict: `decided`, until they are written
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping

from replicator.apply.gather import asked_for
from replicator.apply.parking import Parking
from replicator.capture.batch import RowChange
from replicator.ports.state import FlowState
from replicator.ports.writer import Writer
from replicator.program.program import Program

log = logging.getLogger("replicator")


class Wishes:
    """`flow`: its name. `writer`, `source`: the sessions on the flow's target and source."""

    def __init__(
        self, flow: str, programs: Mapping[str, Program], writer: Writer, source: Writer, state: FlowState, parking: Parking
    ) -> None:
        self._flow = flow
        self._programs = programs
        self._writer = writer
        self._source = source
        self._state = state
        self._parking = parking
        self.decided: list[tuple[str, RowChange]] = []
        self.known = False  # whether they have been looked at since the start

    def look(self, both_ways: bool, paused: Collection[str]) -> None:
        """`both_ways`: there is a flow back, so conflicts may wait for people. `paused`: links whose decisions wait as well."""
        self._discard()
        self._parking.retry |= set(self._state.retries())
        self.known = True
        self.decided.clear()
        for wanted in self._state.wanted() if both_ways else ():
            if wanted.link in paused:
                continue
            row = asked_for(self._programs.get(wanted.link), wanted, self._writer, self._source)
            if row is None:
                self._state.unwanted(wanted.id)
            else:
                self.decided.append((wanted.link, row))

    def _discard(self) -> None:
        discarded = self._state.discard()
        self._parking.forget(number for number, *_ in discarded)
        for (link, by), count in Counter((link, by) for _, link, by in discarded).items():
            log.info("%s: %s discarded %d parked changes of %s", self._flow, by, count, link)
