"""How a backfill stands, in words."""

from __future__ import annotations

from replicator.engines.postgres.backfills import BackfillState


def way(flow: str) -> str:
    return flow.replace("_to_", " to ")


def progress(state: BackfillState) -> str:
    if state.problem:
        return f"not done: {state.problem}"
    counts = f"{state.records:,}"
    if state.finished is None and state.expected:
        share = min(99, int(100 * state.records / state.expected)) if state.records < state.expected else 99
        counts += f" of {state.expected:,} ({share} %)"
    parts = [f"{counts} records", f"{state.created:,} created", f"{state.changed:,} changed"]
    if state.parked:
        parts.append(f"{state.parked:,} parked")
    if state.per_second is not None:
        parts.append(f"{state.per_second:,.0f}/s")
    if state.finished is not None:
        parts.append("done")
    elif state.seconds_left is not None:
        parts.append(f"{_time(state.seconds_left)} left")
    elif state.started is None:
        return "waits for its turn"
    return ", ".join(parts)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
