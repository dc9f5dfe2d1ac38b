"""Whether a running daemon lives, and whether it does its work: for whoever restarts it, and whoever waits for it.

Promises: looks into memory alone. Gives the reasons why not, in words, without secrets and cell values; none: all is well.
"""

from __future__ import annotations

from replicator.engines.postgres.setup import flow_name
from replicator.runtime.daemon import Daemon
from replicator.runtime.wiring import flows_of, links_between, node_pairs

STILL_SECONDS = 300.0  # a single statement may take minutes, on a target with slow triggers


def dead(daemon: Daemon) -> list[str]:
    """Why it should be restarted: it has failed, or a loop has not come round for long. A server that is away is no reason."""
    if daemon.failed is not None:
        return [daemon.failed.message]
    still = {f"{one}-{other}": daemon.still((one, other)) for one, other in node_pairs(daemon.config)}
    return [f"{pair}: no step has begun for {seconds:,.0f} s" for pair, seconds in still.items() if seconds > STILL_SECONDS]


def unready(daemon: Daemon) -> list[str]:
    """Why not every flow carries changes just now."""
    reasons = dead(daemon)
    for pair in node_pairs(daemon.config):
        for direction in flows_of(links_between(daemon.config, pair), pair):
            name = flow_name(*direction)
            flow = daemon.flows.get(name)
            if flow is None:
                reasons.append(f"{name}: not connected: {daemon.away.get(pair, 'still connecting')}")
            elif flow.totals.waiting:
                reasons.append(f"{name}: waits: {flow.totals.waiting}")
    return reasons
