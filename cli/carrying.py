"""Watches records that were asked to go through the flows, until they have: by a running replicator, or one of our own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from replicator.engines.postgres.backfills import BackfillState
from replicator.model.config import Config
from replicator.runtime.backfill import Carrier, Connections, carried, look

from .backfill_words import progress, way
from .output import Output, rich_table

POLL_SECONDS = 0.25
LINE_SECONDS = 5.0  # between lines where no terminal is


def watch(
    output: Output,
    config: Config,
    environ: Mapping[str, str],
    connections: Connections,
    flows: Mapping[str, str],
    ids: Mapping[str, Sequence[int]],
) -> list[BackfillState]:
    """`flows`: flow -> its source; `ids`: of the backfills, by target node."""
    carrier = None
    if not carried(connections, flows):
        output.aside("no replicator is running: this command carries changes and copies until it is done")
        carrier = Carrier(config, environ)
        carrier.start()
    states = look(connections, ids)
    said = 0.0
    try:
        with output.live(lambda: rich_table(("link", "way", "progress"), _rows(states))) as draw:
            while any(state.finished is None for state in states):
                time.sleep(POLL_SECONDS)
                if carrier is not None:
                    carrier.check()
                states = look(connections, ids)
                draw()
                if not output.terminal and time.monotonic() - said > LINE_SECONDS:
                    said = time.monotonic()
                    for state in states:
                        if state.finished is None and (state.started or not any(s.started for s in states)):
                            output.aside(f"{state.link} {way(state.flow)}: {progress(state)}")
    except KeyboardInterrupt:
        goes_on = "the replicator goes on with it; --cancel gives it up" if carrier is None else "say it again to go on, or `run`"
        output.aside(f"stopped watching: {goes_on}")
        raise
    finally:
        if carrier is not None:
            carrier.stop()
    output.table(("link", "way", "progress"), _rows(states))
    return states


def _rows(states: Sequence[BackfillState]) -> list[tuple[str, str, str]]:
    return [(state.link, way(state.flow), progress(state)) for state in states]
