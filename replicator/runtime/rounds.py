"""`run --reconcile-every`: compares the links in turns while the daemon carries changes.

Promises: one link at a time, spread evenly over the interval, the first not before a share of it has passed; what is found is
kept for `status` and the metrics and logged once a link; a round that fails is tried again in the next interval and never
stops the daemon.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from replicator.errors import ReplicatorError
from replicator.model.config import Config
from replicator.runtime.reconcile import Options, reconcile

log = logging.getLogger("replicator")


class Rounds(threading.Thread):
    """`every`: seconds in which each link is compared once."""

    def __init__(self, config: Config, environ: Mapping[str, str], every: float) -> None:
        super().__init__(name="replicator reconciles", daemon=True)
        self._config, self._environ = config, environ
        self._pause = every / max(1, len(config.links))
        self._leave = threading.Event()

    def run(self) -> None:
        while True:
            for link in self._config.links:
                if self._leave.wait(self._pause):
                    return
                self._compare(link.name)

    def stop(self) -> None:
        """Without waiting for a comparison that is under way: it changes nothing."""
        self._leave.set()

    def _compare(self, name: str) -> None:
        try:
            report = reconcile(self._config, self._environ, (name,), Options())
        except ReplicatorError as error:
            known = {"link": name, **error.known}
            log.warning("reconcile of %s was not possible: %s", name, error.message, extra={"fields": known})
            return
        for result in report.links:
            fields: dict[str, Any] = {"link": name, "differences": len(result.differences), "seconds": round(result.seconds, 3)}
            if result.problem:
                log.warning("reconcile of %s was not possible: %s", name, result.problem, extra={"fields": fields})
            elif len(result.differences):
                kinds = ", ".join(f"{count:,} {kind}" for kind, count in result.differences.kinds.items())
                log.warning("reconcile of %s: both sides differ: %s", name, kinds, extra={"fields": fields})
            else:
                log.info("reconcile of %s: both sides agree (%.1f s)", name, result.seconds, extra={"fields": fields})
