"""What a running daemon tells a Prometheus (runtime/web.py serves it).

Promises: a scrape reads memory alone, so it waits for nothing and disturbs no flow. What only the databases know is asked
every `SAMPLE_SECONDS` by a thread a node, over connections of their own, in single statements that give up soon; a node
that cannot be reached is `replicator_node_up 0` and missing figures, never an error. README.md lists the names.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import psycopg
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from replicator.apply.outcome import SIZES
from replicator.engines.postgres.backfills import BackfillState, states
from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.history import kept_conflicts
from replicator.engines.postgres.reconciled import Reconciled, results
from replicator.engines.postgres.setup import flow_name, has_state, slot_name
from replicator.engines.postgres.slots import slot_state
from replicator.engines.postgres.status import bytes_after, parked_counts, rows_in_state
from replicator.model.config import Config
from replicator.model.position import text as position_text
from replicator.program import names
from replicator.runtime.clocks import Reading, distances, read_clock
from replicator.runtime.daemon import Daemon
from replicator.runtime.drain import all_flows
from replicator.runtime.history import OPEN
from replicator.runtime.wiring import dsn_of, flows_of, links_between, node_pairs

log = logging.getLogger("replicator")

SAMPLE_SECONDS = 15.0
ROUND_TRIPS = 3
COUNTED_UPTO = 100_000  # rows; the size of a larger table is estimated
LIMITS = "SET statement_timeout = '5s'; SET lock_timeout = '1s'"
SLOT_STATES = ("reserved", "extended", "unreserved", "lost", "missing")  # PostgreSQL's wal_status, and no slot at all
OWN_TABLES = ("conflict", "parked", "parked_edit", "discarded", "outbox")


@dataclass
class Lag:
    """Of a flow that a node feeds. `behind`: WAL that is not applied yet; `kept`: WAL that the slot holds back;
    `safe`: WAL that may be written until the slot is lost; `state`: one of SLOT_STATES."""

    active: bool = False
    behind: int | None = None
    kept: int | None = None
    safe: int | None = None
    state: str = "missing"


@dataclass
class Sample:
    """What one node said. `rows`: (table, link or '', number)."""

    clock: Reading
    at: float = field(default_factory=time.monotonic)
    lags: dict[str, Lag] = field(default_factory=dict)
    conflicts: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    parked: list[tuple[str, str, int, float]] = field(default_factory=list)
    rows: list[tuple[str, str, int]] = field(default_factory=list)
    reconciled: list[Reconciled] = field(default_factory=list)
    backfills: list[BackfillState] = field(default_factory=list)


class Sampler(threading.Thread):
    """Asks one node, again and again. `sample`: the last answer; None while there is none."""

    def __init__(self, config: Config, daemon: Daemon, node: str, leave: threading.Event) -> None:
        super().__init__(name=f"replicator metrics {node}", daemon=True)
        self.node = node
        self.sample: Sample | None = None
        self._config = config
        self._daemon = daemon
        self._leave = leave
        self._applied: dict[str, int] = {}  # flow -> how far it had come when it was last connected
        pairs = node_pairs(config)
        self._flows = [
            flow_name(*direction)
            for pair in pairs
            for direction in flows_of(links_between(config, pair), pair)
            if direction[0] == node
        ]
        self._links = [link for link in config.links if node in {side.node for side in link.sides}]

    def run(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._leave.is_set():
            try:
                if connection is None:
                    connection = connect(self.node, dsn_of(self._config, self.node, self._daemon.environ), "metrics")
                    connection.execute(LIMITS)
                self.sample = self._ask(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, the flows must not suffer, and the next try may go well
                if self.sample is not None:
                    known = {"node": self.node}
                    log.warning("%s: no metrics for now (%s)", self.node, type(error).__name__, extra={"fields": known})
                self.sample = None
                if connection is not None:
                    connection.close()
                    connection = None
            self._leave.wait(SAMPLE_SECONDS)
        if connection is not None:
            connection.close()

    def _ask(self, connection: psycopg.Connection) -> Sample:
        sample = Sample(read_clock(connection, ROUND_TRIPS))
        for flow in self._flows:
            sample.lags[flow] = self._lag(connection, flow)
        if has_state(connection):
            sample.conflicts = kept_conflicts(connection)
            sample.parked = parked_counts(connection)
            mine = {link.name for link in self._links if link.sides[0].node == self.node}
            sample.reconciled = [one for one in results(connection) if one.link in mine]
            sample.backfills = [one for one in states(connection) if one.finished is None]
            tables = [(name, "", name) for name in OWN_TABLES]
            for link in self._links:
                for kind, named in (("crosswalk", names.crosswalk), ("tombstone", names.tombstone), ("ledger", names.ledger)):
                    tables.append((kind, link.name, named(link)))
            for kind, of_link, name in tables:
                count = rows_in_state(connection, name, COUNTED_UPTO)
                if count is not None:
                    sample.rows.append((kind, of_link, count))
        return sample

    def _lag(self, connection: psycopg.Connection, flow: str) -> Lag:
        connected = self._daemon.flows.get(flow)
        if connected is not None:
            self._applied[flow] = connected.drained
        applied = self._applied.get(flow)
        slot = slot_state(connection, slot_name(flow), None if applied is None else position_text(applied))
        if slot is None:
            return Lag(behind=None if applied is None else bytes_after(connection, position_text(applied)))
        behind = slot.behind_bytes
        if behind is None and slot.confirmed is not None:
            behind = bytes_after(connection, slot.confirmed)
        return Lag(slot.active, behind, slot.kept_bytes, slot.safe_bytes, slot.wal_status)


class Figures(Collector):
    """Turns memory into metrics, at every scrape."""

    def __init__(self, config: Config, daemon: Daemon, samplers: list[Sampler]) -> None:
        self._config = config
        self._daemon = daemon
        self._samplers = samplers
        between = [(pair, links_between(config, pair)) for pair in node_pairs(config)]
        self._links = {
            flow_name(*way): [link.name for link in links if way in link.flows]
            for pair, links in between
            for way in flows_of(links, pair)
        }

    def collect(self) -> Iterator[Metric]:
        yield from self._of_loops()
        yield from self._of_flows()
        samples = {sampler.node: sampler.sample for sampler in self._samplers}
        known = {node: sample for node, sample in samples.items() if sample is not None}
        up = _gauge("node_up", "Whether the node answered when it was last asked.", "node")
        age = _gauge("sample_age_seconds", "How long ago that was, for figures that come from the databases.", "node")
        for node, sample in samples.items():
            up.add_metric([node], sample is not None)
            if sample is not None:
                age.add_metric([node], time.monotonic() - sample.at)
        yield up
        yield age
        yield from self._of_slots(known)
        yield from self._of_state(known)
        yield from self._of_long_work(known)
        clocks = _gauge("clock_distance_seconds", "How far the clock of `other` is ahead of that of `node`.", "node", "other")
        for found in distances({node: sample.clock for node, sample in known.items()}, node_pairs(self._config)):
            clocks.add_metric([found.one, found.other], found.ahead_ms / 1000)
        yield clocks

    def _of_loops(self) -> Iterator[Metric]:
        connected = _gauge("flow_connected", "Whether the flow has its connections just now.", "flow")
        for flow in sorted(all_flows(self._config)):
            connected.add_metric([flow], flow in self._daemon.flows)
        still = _gauge("loop_still_seconds", "How long ago the last step of these two nodes' flows began.", "nodes")
        standby = _gauge("standby", "Whether another replicator runs these two nodes' flows, and this one waits.", "nodes")
        for pair in node_pairs(self._config):
            still.add_metric(["-".join(pair)], self._daemon.still(pair))
            standby.add_metric(["-".join(pair)], pair in self._daemon.standby)
        yield from (connected, still, standby)

    def _of_flows(self) -> Iterator[Metric]:
        blocked = _gauge("flow_blocked", "Whether the flow waits: for a lock, for room on a disk, for a person.", "flow")
        halted = _gauge("flow_halted", "Whether the flow stands still until a person has seen to it.", "flow")
        paused = _gauge(
            "link_paused",
            "Whether the link stands still in this flow: a person, or a changed table, has paused it.",
            "flow",
            "link",
        )
        late = _gauge("lag_seconds", "From commit on the source to commit on the target, of the last transaction.", "flow")
        counters = {
            "transactions": _counter("transactions", "Transactions of users that were carried over.", "flow"),
            "changes": _counter("changes", "Row changes that were carried over.", "flow"),
            "batches": _counter("batches", "Commits on the target.", "flow"),
            "conflicts": _counter("conflicts_logged", "Conflicts that were logged.", "flow"),
        }
        written = _counter("rows_written", "Rows written on the target.", "flow", "operation")
        spent = _counter("step_seconds", "Where the flow's time goes; what is left of a second is waiting.", "flow", "step")
        sizes = HistogramMetricFamily("replicator_batch_changes", "Changes in a batch.", labels=["flow"])
        for flow, totals in sorted(self._daemon.totals.copy().items()):
            blocked.add_metric([flow], bool(totals.waiting))
            halted.add_metric([flow], totals.halted is not None)
            for link in self._links[flow]:
                paused.add_metric([flow, link], link in totals.paused)
            late.add_metric([flow], totals.behind_ms / 1000)
            for name, counter in counters.items():
                counter.add_metric([flow], getattr(totals, name))
            for operation, rows in sorted(totals.written.copy().items()):
                written.add_metric([flow, operation], rows)
            for step, seconds in totals.seconds.items():
                spent.add_metric([flow, step], seconds)
            upto = accumulate(totals.sizes)
            buckets = [(bound, float(next(upto))) for bound in (*map(str, SIZES), "+Inf")]
            sizes.add_metric([flow], buckets, totals.changes)
        yield from (blocked, halted, paused, late, *counters.values(), written, spent, sizes)

    def _of_slots(self, known: dict[str, Sample]) -> Iterator[Metric]:
        behind = _gauge("lag_bytes", "WAL of the source that is not applied on the target yet.", "flow")
        kept = _gauge("slot_kept_bytes", "WAL that the source keeps for the flow.", "flow")
        safe = _gauge("slot_safe_bytes", "WAL that may still be written until the slot is lost, where there is a limit.", "flow")
        active = _gauge("slot_active", "Whether somebody reads the flow's slot.", "flow")
        state = _gauge("slot_state", "1 for the state that the slot is in, PostgreSQL's wal_status or missing.", "flow", "state")
        for sample in known.values():
            for flow, lag in sample.lags.items():
                active.add_metric([flow], lag.active)
                for name in SLOT_STATES:
                    state.add_metric([flow, name], name == lag.state)
                for gauge, value in ((behind, lag.behind), (kept, lag.kept), (safe, lag.safe)):
                    if value is not None:
                        gauge.add_metric([flow], value)
        yield from (behind, kept, safe, active, state)

    def _of_state(self, known: dict[str, Sample]) -> Iterator[Metric]:
        logged = _gauge("conflicts", "Conflicts in the log, as long as they are kept.", "flow", "link", "kind")
        waiting = _gauge("conflicts_open", "Conflicts that wait for a person.", "link")
        parked = _gauge("parked", "Changes that are set aside.", "flow", "reason")
        oldest = _gauge("parked_oldest_seconds", "Age of the oldest of them.", "flow", "reason")
        rows = _gauge("state_rows", "Rows of the replicator's own tables (estimated when many).", "node", "table", "link")
        kinds: dict[tuple[str, str, str], int] = {}
        opened = {link.name: 0 for link in self._config.links if link.arbiter in known}
        for node, sample in known.items():
            for flow, link, kind, status, count in sample.conflicts:
                kinds[flow, link, kind] = kinds.get((flow, link, kind), 0) + count
                if status == OPEN:
                    opened[link] = opened.get(link, 0) + count
            for flow, reason, count, seconds in sample.parked:
                parked.add_metric([flow, reason], count)
                oldest.add_metric([flow, reason], seconds)
            for table, link, count in sample.rows:
                rows.add_metric([node, table, link], count)
        for labels, count in kinds.items():
            logged.add_metric(labels, count)
        for link, count in opened.items():
            waiting.add_metric([link], count)
        yield from (logged, waiting, parked, oldest, rows)

    def _of_long_work(self, known: dict[str, Sample]) -> Iterator[Metric]:
        age = _gauge("reconcile_age_seconds", "How long ago the link was last compared.", "link")
        differences = _gauge("reconcile_differences", "Records that differed then.", "link")
        left = _gauge("backfill_left", "Existing records that are still to be copied, as far as is known.", "flow", "link", "why")
        done = _gauge("backfill_records", "Existing records that are copied so far, while it goes on.", "flow", "link", "why")
        for sample in known.values():
            for one in sample.reconciled:
                age.add_metric([one.link], one.seconds_ago + time.monotonic() - sample.at)
                differences.add_metric([one.link], one.differences)
            for copy in sample.backfills:
                labels = [copy.flow, copy.link, copy.why]
                done.add_metric(labels, copy.records)
                if copy.expected is not None:
                    left.add_metric(labels, max(0, copy.expected - copy.records))
        yield from (age, differences, done, left)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"replicator_{name}", text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"replicator_{name}", text, labels=labels)
