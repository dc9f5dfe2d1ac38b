"""What follows from each kind of failure: a table to be read. Which SQLSTATE is of which kind: `engines/postgres/sqlstates.py`.

Promises: whoever catches a failure asks here what to do; there is no second opinion elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replicator.errors import Kind

Action = Literal["reconnect", "wait", "again", "park", "stop"]


@dataclass(frozen=True, slots=True)
class Policy:
    """action   reconnect: the exchange starts anew. wait: the flow stands still and tries again. again: the batch is tried again
             at once, and after TRIES the changes at fault are parked. park: they are parked, the rest goes on.
             stop: the run ends with a message, for a person has to act
    reason   what `parked` calls it
    first    seconds until it is tried again by itself, twice as long each time; None: never
    longest  up to this
    remedy   what to do about it, where the SQLSTATE has no better advice
    patient  whether the flow waits where no change can be found that it is about; else the run ends"""

    action: Action
    reason: str
    first: float | None
    longest: float
    remedy: str
    patient: bool = False


TRIES = 3  # of a batch that is to be tried again at once

POLICIES: dict[Kind, Policy] = {
    "lost": Policy("reconnect", "", 0.1, 3, "it is tried again by itself", True),
    "environment": Policy("wait", "", 1, 30, "mend the server; the flow goes on by itself", True),
    "transient": Policy("again", "locked", 1, 60, "nothing: it is tried again by itself", True),
    "locked": Policy("park", "locked", 1, 30, "nothing: it goes on by itself when the lock is gone", True),
    "waits": Policy("park", "refused", 2, 600, "it goes on by itself when the other record has come, or gives the value up"),
    "refused": Policy("park", "refused", None, 0, "mend the cause, then `replicator parked retry`"),
    "broken": Policy("park", "broken link", 10, 300, "mend the link or the table (`replicator lint`); it goes on by itself"),
    "fault": Policy("stop", "", None, 0, ""),
}

# What is parked for another reason than an error of the server's.
BY_REASON: dict[str, Policy] = {
    "waits": Policy("park", "waits", 300, 3600, "nothing: it goes on when the record that it refers to has come"),
    "paused": Policy("park", "paused", None, 0, "it goes on when its link does: `replicator resume`"),
    "later": Policy("park", "later", 300, 3600, "nothing: the reference is filled in when its record has come"),
    "unknown value": Policy("park", "unknown value", 10, 600, "add the value to the table looked up, or to the link's `values`"),
    "ambiguous": Policy("park", "ambiguous", None, 0, "see to it that one record matches, then `replicator parked retry`"),
    "flips": Policy("park", "flips", None, 0, "let one side own the field, or make both write it alike; then discard this"),
    "truncated": Policy("park", "truncated", None, 0, "delete the other side's records if that was meant, then discard this"),
}

BY_ITSELF = ("waits", "later", "locked")  # reasons of what goes on without anybody
KEPT = BY_REASON["paused"].reason  # of what a link that is paused has kept: a person has to see to the link
NOT_BY_ONE = (*BY_ITSELF, KEPT)  # reasons of what nobody has to see to change by change
