"""What a flow did lately, and where its time went: kept with the checkpoint every few seconds, so that `status` can tell from
anywhere. Not while it is idle: nothing is written for the sake of watching alone."""

from __future__ import annotations

import time
from typing import Any

from replicator.apply.outcome import Totals


class Pace:
    def __init__(self) -> None:
        self._at = 0.0
        self._changes = 0
        self._seconds: dict[str, float] = {}

    def since(self, totals: Totals) -> dict[str, Any] | None:
        """Since it was last asked: {"seconds": how long, "changes": number, "shares": {step: of that time}}."""
        now, first = time.perf_counter(), not self._seconds
        elapsed, changes = now - self._at, totals.changes - self._changes
        shares = {step: round((spent - self._seconds.get(step, 0.0)) / elapsed, 4) for step, spent in totals.seconds.items()}
        self._at, self._changes, self._seconds = now, totals.changes, totals.seconds.copy()
        if first or not changes:
            return None
        return {"seconds": round(elapsed, 3), "changes": changes, "shares": shares}
