"""What a flow keeps on its target, in the writer's session and so in its transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from replicator.model.failure import Policy
from replicator.model.pause import Pause
from replicator.ports.writer import Writer


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a flow has come: source position, its stamp, mirrored pairs, returned values; and which source it was."""

    lsn: int
    stamp: int
    mirrored: int
    returned: int
    slot: str
    source_system: str
    timeline: int


@dataclass(frozen=True, slots=True)
class Edited:
    """A person wants `after` sent where the change holds `before` in that column of the source; both as in its payload."""

    column: str
    before: Any
    after: Any
    by: str


@dataclass(frozen=True, slots=True)
class Parked:
    """A change set aside. `key`: the record's key on the source; `waits`: (link, raw key) whose pair would wake it.
    `conflict`: what it is called in the conflict log, if it is one. `policy`: when it is tried again by itself (None: of one
    that was read from the table)."""

    link: str
    key: list[str]
    reason: str
    sqlstate: str | None
    message: str
    waits: tuple[str, str] | None
    payload: dict[str, Any]
    id: int = 0
    conflict: str = ""
    policy: Policy | None = None
    edits: Sequence[Edited] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A conflict that waits, and of which a person has decided. `key`: the source's, as one text."""

    id: int
    link: str
    field: str
    key: str
    stamp: int
    lsn: int


@dataclass(slots=True)
class Job:
    """Existing records that are to go through the flow: all, those that fulfil `condition` (SQL over `own`), or those listed.
    `after`: the key of the last one that is through; `rate`: records a second at most."""

    id: int
    link: str
    condition: str | None
    listed: bool
    after: list[str] | None
    rate: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a chunk of a job came to. `listed`: the keys that were asked for; `done`: nothing is left."""

    id: int
    after: list[str] | None
    listed: list[list[str]]
    records: int
    created: int
    changed: int
    parked: int
    done: bool


class FlowState(Protocol):
    def checkpoint(self) -> Checkpoint: ...

    def advance(self, lsn: int | None, stamp: int, returned: int) -> tuple[int, int]:
        """Moves the checkpoint (never back). Gives the target's position and clock (microseconds since 2000), now:
        the position lies behind every change of a row that was written before."""

    def flushed(self) -> tuple[int, int]:
        """Positions on the target: up to which it has written (behind every commit that has returned), and up to which
        all of that is on its disk."""

    def mirrored(self, seq: int) -> None: ...

    def park(self, rows: Sequence[Parked]) -> list[int]:
        """Sets aside, replacing what was parked for the same record. Gives the ids, in order."""

    def unpark(self, ids: Sequence[int]) -> None: ...

    def parked(self, ids: Sequence[int]) -> list[Parked]: ...

    def parked_after(self, stamp: int) -> list[int]:
        """Ids of the flow's parked changes with a greater stamp."""

    def parked_keys(self) -> list[tuple[int, str, list[str], tuple[str, str] | None, str]]:
        """(id, link, key, what it waits for, reason) of everything parked for this flow."""

    def paused(self) -> set[str]:
        """Links that stand still in this flow."""

    def pause(self, pause: Pause) -> bool:
        """Notes it. False if the link is paused already."""

    def stale(self, link: str) -> None:
        """Changes have come of a link that is paused which cannot be kept."""

    def retries(self) -> list[int]:
        """Ids of what a person asked to be tried again (asking is taken back), or has its time."""

    def discard(self) -> list[tuple[int, str, str]]:
        """Throws away what people want gone; it is kept in a log, and what waited for it is to be tried again. Gives (id, link,
        who wanted it)."""

    def pace(self, pace: Mapping[str, Any]) -> None:
        """What the flow did lately (apply/pace.py), for `status`."""

    def halted(self, message: str) -> None:
        """Why the flow stands still, for people to see; `advance` takes it back."""

    def send_back(self, flow: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> list[int]:
        """Puts (link, payload) into the outbox for the flow that leads back."""

    def outbox(self, flow: str, after: int) -> list[tuple[int, str, dict[str, Any]]]: ...

    def clear_outbox(self, flow: str, upto: int) -> None: ...

    def stopped(
        self, link: str, field: str, keys: tuple[str, str], values: tuple[str | None, str | None], stamp: int, place: str
    ) -> None:
        """Logs a field that both sides keep changing. keys: source, target; values: what came, what the target made of it."""

    def clashed(self, rows: Sequence[Parked], stamps: Sequence[int], places: Sequence[str]) -> None:
        """Logs changes that were refused because another record has a value that must be unique."""

    def wanted(self) -> list[Wanted]:
        """What a person said of fields that wait here."""

    def unwanted(self, number: int) -> None:
        """The record of a conflict that waits is no longer there."""

    def jobs(self) -> list[Job]:
        """What is still to be copied through this flow, in the order in which it was asked for."""

    def listed(self, job: int, limit: int) -> list[tuple[list[str], str | None]]:
        """The next records of a listed job: key, and mask of fields as text (None: all)."""

    def left_behind(self, flow: str) -> list[tuple[int, str, str, list[tuple[list[str], str | None]]]]:
        """(id, link, why, records) of listed jobs that were noted here for the flow that leads back, and have to be asked for on
        its target."""

    def ask_again(self, link: str, why: str, records: Sequence[tuple[list[str], str | None]]) -> None:
        """Records that were left behind, as a job of this flow."""

    def taken(self, job: int) -> None:
        """What was left behind here is asked for."""

    def reading(self, source: Writer) -> tuple[str, str]:
        """In the transaction that is open on the source: its snapshot, and the source's position, as text, which lies behind
        all that the snapshot shows. Sees to it that a stream comes to that position when the transaction has ended."""

    def progress(self, progress: Progress) -> None: ...

    def gave_up(self, job: int, problem: str) -> None: ...

    def step_clock(self, greatest: int) -> None:
        """Says in the target's log that this stamp is being applied there: every flow that reads the target takes the step at
        this very place, which lies before the commit and so before every change whose user can have seen it. It is said
        even if the transaction is undone."""

    def tidy(self, keep_days: int) -> None:
        """Retention: settled conflicts, what was thrown away, and tombstones older than that."""
