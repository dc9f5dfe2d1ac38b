"""`replicator run`: one thread for each pair of nodes, restarted with a growing pause when a server is away.

Promises: SIGTERM and Ctrl-C finish the batch in hand and stop; what time heals (a server
restarting, a slot still held by a killed predecessor) is tried again; what needs a person
stops the daemon with a message. Where another replicator runs the same flows, it stands by and takes over when that ends.
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from replicator.apply.outcome import Step, Totals
from replicator.errors import NodeUnavailable, ReplicatorError, RunsElsewhere, StructureChanged, WriteFailed
from replicator.exchange import Exchange
from replicator.model.config import Config
from replicator.model.failure import NOT_BY_ONE, POLICIES
from replicator.pipeline import Flow
from replicator.runtime.wiring import NodePair, node_pairs, open_exchange

log = logging.getLogger("replicator")

WAIT_SECONDS = 0.5
LOOK_SECONDS = 5.0  # how often the tables are looked at, and it is noted how fast the flows are
TIDY_SECONDS = 60.0  # and how often old state is thrown away
ASK_SECONDS = 1.0  # how often it is asked what people want
LOST = POLICIES["lost"]
FIRST_PAUSE = 0.1  # seconds
SETTLED_SECONDS = 1.0  # a connection that held so long was one: the next attempt is made at once

STANDBY_SECONDS = 1.0  # how often a second replicator looks whether the first is still there

Watch = Callable[[Step], None]


class Standby:
    """What is said while another replicator runs the flows between two nodes, and for how long it is waited for."""

    def __init__(self, pair: NodePair, patience: float | None) -> None:
        self.pair = pair
        self._name = f"{pair[0]} and {pair[1]}"
        self._patience = patience
        self._since: float | None = None
        self._said = ""

    def waits(self, error: RunsElsewhere) -> bool:
        """Whether to try again. Says who has the flows, once for each."""
        self._since = self._since or time.monotonic()
        if self._patience is not None and time.monotonic() - self._since > self._patience:
            return False
        if error.message != self._said:
            self._said = error.message
            log.info("%s: standing by: %s", self._name, error.message, extra={"fields": {"nodes": self.pair, **error.known}})
        return True

    def over(self) -> None:
        if self._since is not None:
            waited = time.monotonic() - self._since
            log.info("%s: taking over after %.1f s of standing by", self._name, waited, extra={"fields": {"nodes": self.pair}})
        self._since, self._said = None, ""


@dataclass
class Daemon:
    """`run` blocks until `stop` is set. `totals`: flow -> its running totals, for status and metrics.
    `flows`: those that are connected just now. `away`: pair of nodes -> why its flows are not.
    `standby`: pairs whose flows another replicator runs.
    `tried`, `exchanges`: pair of nodes -> when it was last attempted to connect them (time.monotonic), and what runs there.
    `patience`: seconds to stand by for, None: until stopped."""

    config: Config
    environ: Mapping[str, str]
    watch: Watch = lambda step: None
    stop: threading.Event = field(default_factory=threading.Event)
    totals: dict[str, Totals] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    away: dict[NodePair, str] = field(default_factory=dict)
    standby: set[NodePair] = field(default_factory=set)
    tried: dict[NodePair, float] = field(default_factory=dict)
    exchanges: dict[NodePair, Exchange] = field(default_factory=dict)
    failed: ReplicatorError | None = None
    patience: float | None = None

    def run(self) -> None:
        """Blocks until stopped. Raises the ReplicatorError that a person must see to, after all threads have stopped."""
        # Batches are many small objects without cycles: the default thresholds would search them over and over.
        gc.set_threshold(200_000, 20, 100)
        # Whoever comes back from waiting for a server goes on at once, though another thread decodes.
        sys.setswitchinterval(0.0005)
        # While it is being connected, so that the first backlog does not have to wait for it.
        threading.Thread(target=importlib.import_module, args=("numpy",), name="replicator loads numpy", daemon=True).start()
        threads = [
            threading.Thread(target=self._keep_running, args=(pair,), name=f"replicator {pair[0]}-{pair[1]}")
            for pair in node_pairs(self.config)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                if self.stop.is_set():
                    # A transaction that comes in many parts would be written to its end: minutes, perhaps. It is read again.
                    for exchange in list(self.exchanges.values()):
                        exchange.leave_off()
        if self.failed is not None:
            raise self.failed

    def still(self, pair: NodePair) -> float:
        """For how many seconds nothing has begun in the pair's loop: no step, and no attempt to connect."""
        exchange, now = self.exchanges.get(pair), time.monotonic()
        return now - max(self.tried.get(pair, now), exchange.turned if exchange else 0.0)

    def _keep_running(self, pair: NodePair) -> None:
        pause, standby = FIRST_PAUSE, Standby(pair, self.patience)
        while not self.stop.is_set():
            started = time.monotonic()
            try:
                self._run_once(pair, standby)
            except RunsElsewhere as error:
                self.away[pair] = f"standing by: {error.message}"
                self.standby.add(pair)
                if standby.waits(error):
                    self.stop.wait(STANDBY_SECONDS)
                    continue
                self.failed = error
                self.stop.set()
                return
            except StructureChanged as error:
                log.info("%s -> %s", error.message, error.hint, extra={"fields": {"nodes": pair}})
            except ReplicatorError as error:
                if not _passes(error):
                    self.failed = error
                    self.stop.set()
                    return
                if time.monotonic() - started > SETTLED_SECONDS:
                    pause = FIRST_PAUSE
                self.away[pair] = error.message
                self.standby.discard(pair)
                log.warning("%s; trying again in %.1f s", error.message, pause, extra={"fields": {"nodes": pair, **error.known}})
                self.stop.wait(pause)
                pause = min(pause * 2, LOST.longest)
            except MemoryError:
                message = f"{pair[0]} and {pair[1]}: what is being carried over is more than this process has memory for"
                self.failed = ReplicatorError(message, "let it have more: three times the largest row, beside 200 MB")
                self.stop.set()
                return
            except Exception:
                log.exception("replicator %s-%s: this is a bug", *pair, extra={"fields": {"nodes": pair}})
                self.failed = ReplicatorError(f"exchange {pair[0]}-{pair[1]} failed unexpectedly", "please report the log above")
                self.stop.set()

    def _run_once(self, pair: NodePair, standby: Standby) -> None:
        self.tried[pair] = time.monotonic()
        opened = open_exchange(self.config, pair, self.environ)
        standby.over()
        self.standby.discard(pair)
        exchange = opened.exchange
        try:
            for flow in exchange.flows:
                before = self.totals.get(flow.name)
                if before is not None:
                    flow.totals = before
                self.totals[flow.name] = flow.totals
                self.flows[flow.name] = flow
            names = [flow.name for flow in exchange.flows]
            log.info("%s: running", " and ".join(names), extra={"fields": {"nodes": pair, "flows": names}})
            self.away.pop(pair, None)
            self.exchanges[pair] = exchange
            self._loop(exchange)
        finally:
            self.exchanges.pop(pair, None)
            for flow in exchange.flows:
                self.flows.pop(flow.name, None)
            opened.close()

    def _loop(self, exchange: Exchange) -> None:
        looked = tidied = time.monotonic()
        asked = 0.0
        while not self.stop.is_set():
            if time.monotonic() - asked > ASK_SECONDS:
                asked = time.monotonic()
                for flow in exchange.flows:
                    flow.ask_for_retries()
            worked = self._tell(exchange.turn())
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                exchange.look_at_tables()
                for flow in exchange.flows:
                    flow.note_pace()
            if time.monotonic() - tidied > TIDY_SECONDS:
                tidied = time.monotonic()
                for flow in exchange.flows:
                    flow.tidy(self.config.settings.retention_days, self.config.settings.history_days)
            if not worked:
                exchange.wait(WAIT_SECONDS)

    def _tell(self, steps: Sequence[Step]) -> bool:
        """Whether there were any. They are not kept: their batches may be large."""
        for step in steps:
            self.watch(step)
            _tell_parked(step)
        return bool(steps)


def _tell_parked(step: Step) -> None:
    """One line a link and reason, without keys and messages, which may hold values: those are in replicator.parked."""
    for (link, reason, sqlstate), count in step.outcome.told.items():
        known: dict[str, object] = {"flow": step.flow, "link": link, "reason": reason, "count": count}
        if sqlstate:
            known["sqlstate"] = sqlstate
        state = f" (SQLSTATE {sqlstate})" if sqlstate else ""
        level = logging.INFO if reason in NOT_BY_ONE else logging.WARNING
        log.log(level, "%s: %d parked of %s: %s%s", step.flow, count, link, reason, state, extra={"fields": known})


def _passes(error: ReplicatorError) -> bool:
    """Whether it is worth starting anew, after a while."""
    return isinstance(error, NodeUnavailable) or (isinstance(error, WriteFailed) and POLICIES[error.kind].patient)
