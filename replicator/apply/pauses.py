"""Links that stand still in a flow: what comes of them is kept, one parked change a record, until they go on.

    begin   at the start: links that do not fit their tables are paused, and those that were, still are
    look    now and then: what people have paused, and let go on
    keep    takes the changes of paused links out of a batch; they are parked in its transaction
    due     what is to be tried again of links that go on

Promises: whether a link is paused is in the state tables, so a restart changes nothing; what is kept keeps its place before
all that comes later of the same record, and the stamps of its edits. A link that is `broken` has a program that cannot be
run: nothing of it is read or written but the stream.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from replicator.apply.outcome import Outcome
from replicator.apply.parking import Parking
from replicator.apply.waiting import parked_ids, set_aside
from replicator.apply.write import Changes
from replicator.capture.batch import Batch
from replicator.errors import StructureChanged
from replicator.model.failure import BY_REASON
from replicator.model.pause import SCHEMA, Pause
from replicator.ports.state import FlowState
from replicator.program.program import Program

log = logging.getLogger("replicator")

AT_ONCE = 1_000  # kept changes that are tried again in one step
POLICY = BY_REASON["paused"]
UNREAD_HINT = "mend the link or the table, then `replicator resume`: its records are copied anew"


class Pauses:
    """`links`: those that are paused in this flow. `broken`: why each link that cannot be run is paused."""

    def __init__(
        self, flow: str, programs: Mapping[str, Program], state: FlowState, parking: Parking, broken: Mapping[str, Pause]
    ) -> None:
        self._flow = flow
        self._programs = programs
        self._state = state
        self._parking = parking
        self.broken = {link: self._for_this_flow(pause) for link, pause in broken.items() if link in programs}
        self.links: set[str] = set()
        self._due: set[int] = set()

    def _for_this_flow(self, pause: Pause) -> Pause:
        # What a link reads beside its record cannot be followed without its queries.
        return replace(pause, stale=pause.stale or self._programs[pause.link].derive is not None)

    def begin(self) -> set[str]:
        """After the parking is loaded. Gives the links that go on with what was kept."""
        for link, pause in self.broken.items():
            if self._state.pause(pause):
                fields = {"flow": self._flow, "link": link, "place": pause.place, "hint": pause.hint}
                log.error("%s: link %s is paused: %s", self._flow, link, pause, extra={"fields": fields})
            elif pause.stale:
                self._state.stale(link)
        self.links = self._state.paused() & self._programs.keys()
        return self._go_on(self._parking.kept_links() - self.links)

    def look(self) -> set[str]:
        """Gives the links that go on from now on. Raises StructureChanged for one whose program has to be made anew."""
        before, self.links = self.links, self._state.paused() & self._programs.keys()
        for link in sorted(self.links - before):
            log.warning("%s: link %s is paused", self._flow, link, extra={"fields": {"flow": self._flow, "link": link}})
        freed = before - self.links
        for link in sorted(freed):
            log.info("%s: link %s goes on", self._flow, link, extra={"fields": {"flow": self._flow, "link": link}})
        if freed & self.broken.keys():
            raise StructureChanged(f"{self._flow}: link {min(freed & self.broken.keys())} is to go on", "starting anew")
        return self._go_on(freed)

    def _go_on(self, links: set[str]) -> set[str]:
        self._due |= self._parking.of_links(links)
        return links

    @property
    def pending(self) -> bool:
        return bool(self._due)

    def due(self) -> set[int]:
        """Ids of the next parked changes of links that go on, the oldest first."""
        return set(sorted(self._due)[:AT_ONCE])

    def settled(self, tried: set[int]) -> None:
        """The transaction that has tried these has committed."""
        self._due -= tried

    def keep(self, changes: Changes) -> Outcome:
        """Takes what is of paused links out of `changes`."""
        kept = Outcome()
        for link in [link for link in changes if link in self.links]:
            rows, program = changes.pop(link), self._programs[link]
            message = f"link {link} is paused"
            kept.parked += [set_aside(program, row, POLICY, message) for row in rows]
            kept.unparked += parked_ids(rows)
        return kept

    def unread(self, batch: Batch) -> None:
        """In the transaction that is open: what came and cannot be kept makes its links stale, and pauses those that go on."""
        for link, why in sorted(batch.unread.items()):
            mark = str(self._programs[link].link.mark)
            if self._state.pause(Pause(link, SCHEMA, why, UNREAD_HINT, mark, self._programs[link].source)):
                fields = {"flow": self._flow, "link": link, "place": mark}
                log.error("%s: link %s is paused: %s", self._flow, link, why, extra={"fields": fields})
            self.links.add(link)
            self._state.stale(link)
