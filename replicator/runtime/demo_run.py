"""The demo: a CRM and two factories, told as a story. A world is keyed, an order is followed, two people clash, everybody
works, and in the end it is proved that all databases tell the same.

Promises: what it says at the end comes from `reconcile` and from an independent comparison of the databases, made when
everything that was committed has arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from replicator.apply.outcome import Step
from replicator.demo.factories import CRM, FACTORIES
from replicator.demo.scenarios import SCENARIOS, Scenario
from replicator.demo.scenarios.scenery import set_up
from replicator.demo.verify import Verdict, verify
from replicator.engines.postgres.status import facts
from replicator.model.config import Config
from replicator.reconcile.link_run import LinkResult
from replicator.runtime.demo_meter import Conflicts, Meter
from replicator.runtime.demo_report import Reconciled, Report
from replicator.runtime.demo_site import DemoSite
from replicator.runtime.demo_stage import Event, SiteStage, as_document
from replicator.runtime.drain import all_flows
from replicator.runtime.reconcile import reconcile

POLL_SECONDS = 0.5
SHOWN_DIFFERENCES = 20
SCENES = ("order", "conflict")
WHERE = {"crm": "in the CRM", "erp_north": "in the north", "erp_south": "in the south"}


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float = 15.0
    accounts: int = 400
    seed: int = 1


@dataclass
class DemoRun:
    """`tell` hears each phase as it begins, `show` what happens in a scene; `tick` is called again and again meanwhile, to
    draw; `watch` hears of the daemon's steps. As a context manager: at the end the daemon stops and the servers are gone."""

    options: Options
    tell: Callable[[str], None] = lambda _: None
    show: Callable[[Event], None] = lambda _: None
    tick: Callable[[], None] = lambda: None
    watch: Callable[[Step], None] = lambda _: None
    phase: str = ""
    traffic_started: float | None = None
    work: Callable[[], dict[str, int]] = lambda: {}
    meter: Meter = field(default_factory=Meter)
    conflicts: Conflicts | None = None

    def __post_init__(self) -> None:
        self.site = DemoSite(self._stepped, self._begin, self._tick)
        self.story: dict[str, list[dict[str, Any]]] = {}
        self._polled = 0.0

    def __enter__(self) -> DemoRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.site.__exit__()

    @property
    def config(self) -> Config:
        return self.site.config

    def start(self) -> None:
        """The site, and a few products and customers on it."""
        self.site.start()
        self.meter.expect(all_flows(self.config))
        self.conflicts = Conflicts(self.site.connections)
        with SiteStage(self.site, self.show) as stage:
            set_up(stage)

    def play(self, scenario: Scenario) -> Verdict:
        """One scenario alone; then the independent check."""
        self._scene(scenario)
        self.site.arrive()
        return self.check()

    def run(self) -> Report:
        """The whole story. Ctrl-C while people work only ends their work; the proof still follows."""
        self.start()
        assert self.conflicts is not None
        began = time.monotonic()
        made = self._world()
        world_seconds = time.monotonic() - began
        for name in SCENES:
            self._scene(SCENARIOS[name])
        failures, seconds = self._traffic()
        self._begin("nobody works any more: waiting until everything has arrived")
        began = time.monotonic()
        drained = self.site.arrive()
        catch_up = time.monotonic() - began
        self.meter.measuring = False
        self._begin("proof 1: replicator reconcile, every link, record by record")
        reconciled = self._reconcile()
        self._begin("proof 2: the databases compared in business terms, without the replicator's code")
        verdict = self.check()
        self._poll(now=True)
        return Report(
            in_sync=verdict.same and drained and not reconciled.problems,
            drained=drained,
            seconds=round(seconds, 1),
            catch_up_seconds=round(catch_up, 2),
            world=made,
            world_seconds=round(world_seconds, 1),
            changes_applied={name: flow.changes for name, flow in self.meter.flows.items()},
            transactions={name: flow.transactions for name, flow in self.meter.flows.items()},
            rows_written=self.meter.written(),
            latency_ms=self.meter.latency(),
            conflicts=dict(self.conflicts.kinds.most_common()),
            parked=self.conflicts.parked,
            reconciled=reconciled,
            statements=[
                {"name": one.name, "words": one.words, "rows": one.rows, "differences": one.count} for one in verdict.statements
            ],
            rows_compared=verdict.rows_compared,
            difference_count=verdict.difference_count,
            differences=verdict.differences[:SHOWN_DIFFERENCES],
            work=self.work(),
            failures=failures,
            server_versions={node: facts(connection).version for node, connection in self.site.connections.items()},
            story=self.story,
        )

    def check(self) -> Verdict:
        dsns = self.site.dsns
        return self.site.meanwhile(lambda: verify(dsns[CRM], {one.code: dsns[one.node] for one in FACTORIES}))

    def stay(self) -> None:
        """Goes on replicating until somebody interrupts, or the daemon fails."""
        self._begin("replicating")
        self.site.until(lambda: False)

    # -- the parts of the story --------------------------------------------------------------------------------------

    def _world(self) -> dict[str, int]:
        from replicator.demo.world import Sizes, build

        def keyed() -> dict[str, int]:
            sizes = Sizes.of(self.options.accounts)
            world = build(self.site.dsns, sizes, seed=self.options.seed, arrive=self.site.arrived, tell=self._say_phase)
            return {f"{what} {WHERE[node]}": count for (node, what), count in sorted(world.made.items()) if count}

        self._begin("a world")
        made = self.site.meanwhile(keyed)
        self.site.arrive()
        return made

    def _scene(self, scenario: Scenario) -> None:
        self._begin(f"{scenario.name}: {scenario.title}")
        events = self.story[scenario.name] = []

        def show(event: Event) -> None:
            events.append(as_document(event))
            self.show(event)

        with SiteStage(self.site, show) as stage:
            scenario.play(stage)

    def _traffic(self) -> tuple[list[str], float]:
        from replicator.demo.traffic import Traffic

        self._begin(f"people at work in all three systems for {self.options.seconds:,.0f} seconds")
        traffic = Traffic(self.site.dsns, seed=self.options.seed)
        self.work = traffic.snapshot
        self.meter.measuring = True
        self.traffic_started = began = time.monotonic()
        try:
            with traffic:
                self.site.until(lambda: time.monotonic() - began >= self.options.seconds)
        except KeyboardInterrupt:
            self.tell("interrupted: nobody works any more, now the proof (Ctrl-C again: end at once)")
        return traffic.failures, time.monotonic() - began

    def _reconcile(self) -> Reconciled:
        report = self.site.meanwhile(lambda: reconcile(self.config, self.site.environ))
        return Reconciled(
            links=len(report.links),
            records=sum(link.rows for link in report.links),
            differences=sum(len(link.differences) + len(link.unsettled) for link in report.links),
            seconds=round(report.seconds, 1),
            problems=[_problem(link) for link in report.links if not link.clean],
        )

    # -- meanwhile ---------------------------------------------------------------------------------------------------

    def _stepped(self, step: Step) -> None:
        self.meter.watch(step)
        self.watch(step)

    def _begin(self, phase: str) -> None:
        self._say_phase(phase)
        self.tick()

    def _say_phase(self, phase: str) -> None:
        self.phase = phase
        self.tell(phase)

    def _tick(self) -> None:
        self._poll()
        self.tick()

    def _poll(self, now: bool = False) -> None:
        if self.conflicts is not None and (now or time.monotonic() - self._polled > POLL_SECONDS):
            self.conflicts.poll()
            self._polled = time.monotonic()


def _problem(link: LinkResult) -> str:
    if link.problem is not None:
        return f"{link.link}: not compared: {link.problem}"
    return f"{link.link}: {len(link.differences):,} differences, {len(link.unsettled):,} still moving"
