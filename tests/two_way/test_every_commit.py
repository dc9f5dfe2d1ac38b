"""The daemon dies at every place where something becomes last, before it and after it: what users did is there once, on both sides.

Every scenario is played once and watched; then again for each boundary (commit_places.py) that it met, with a crash there. What
only a restart meets is found on the way, and crashed as well. In CI a boundary is crashed in the first scenario that meets it;
COMMITS=all crashes it in every scenario.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from replicator.apply import confirm
from replicator.demo.servers import Server
from tests.apply.conftest import alarm  # noqa: F401 - a fixture
from tests.apply.driving import within
from tests.two_way.commit_places import Boundary, Watch, watched, written_down
from tests.two_way.commit_scenarios import CRM, ERP, LINKS, SCENARIOS, World, decided, matched, repaired, verdict
from tests.two_way.pair_of_nodes import Pair, linked

ALL = os.environ.get("COMMITS") == "all"
RUN_SECONDS = 60
TRIES = 5  # until a scenario comes to a boundary again: what is idle for a moment, and when, is the machine's

# Places in the source that no scenario meets, with the reason.
ELSEWHERE = {
    "apply/answers.stopped: state.stopped": "in the transaction of its batch, whose commit is met; tests/apply/test_effects.py has it",
    "apply/pauses.Pauses.begin: self._state.pause": "at every start until it is there; tests/apply/test_drift.py has it",
    "apply/pauses.Pauses.begin: self._state.stale": "at every start until it is there; tests/apply/test_drift.py has it",
    "apply/pauses.Pauses.unread: self._state.pause": "in the transaction of its batch, whose commit is met",
    "apply/pauses.Pauses.unread: self._state.stale": "in the transaction of its batch, whose commit is met",
    "runtime/preview._Preview.of: session.begin": "is always rolled back",
}

BETWEEN = ("runtime/match.Matcher.match: self._apply", "runtime/match.Matcher._apply: writer.commit")


@dataclass
class Play:
    """Scenarios, one after the other on one pair."""

    pair: Pair
    watch: Watch
    runs: int = 0

    def __call__(self, number: int, *crashes: tuple[Boundary, bool]) -> None:
        """The scenario with the daemon dying there, and judged. `watch` then says what was met."""
        within(RUN_SECONDS)
        self.runs += 1
        world = World(self.pair, f"r{self.runs}")
        self.watch.begin(*crashes)
        expected = SCENARIOS[number](world)
        wrong = verdict(world, expected)
        died = "".join(f"\n  {'after' if after else 'before'} {' > '.join(where)}" for where, after in crashes)
        assert not wrong, f"{SCENARIOS[number].__name__}, died{died}\n" + "\n".join(wrong)


@pytest.fixture(scope="module")
def play(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with (
        pytest.MonkeyPatch.context() as patch,
        watched("commits") as watch,
        linked(server, tmp_path_factory.mktemp("commits"), "commits", CRM, ERP, LINKS) as pair,
    ):
        patch.setattr(confirm, "CONFIRM_SECONDS", 0.0)
        patch.setattr(confirm, "IDLE_CHECKPOINT_SECONDS", 0.0)
        settings = replace(pair.config.settings, batch_rows=4, parked_limit=3)
        pair.config = replace(pair.config, settings=settings)
        yield Play(pair, watch)


def test_every_place_in_the_source_is_met(play: Play) -> None:
    met = set()
    for number in range(len(SCENARIOS)):
        play(number)
        met |= play.watch.met
    # What only a start meets, after `match` has died between its two commits.
    play(SCENARIOS.index(matched), (BETWEEN, True))
    met |= play.watch.met
    assert written_down() - met == set(ELSEWHERE)


PARTS = {"flows": SCENARIOS[:-2], "match": (matched,), "repair": (repaired,)}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_lost_at_any_commit(play: Play, part: str) -> None:
    known: set[Boundary] = set()
    play(SCENARIOS.index(decided))  # the daemon runs: what a start meets is met after a crash
    if part != "flows":
        known.update(play.watch.boundaries)  # the flows have had their turn
    died = 0
    for scenario in PARTS[part]:
        if ALL:
            known.clear()
        waiting: deque[tuple[tuple[Boundary, bool], ...]] = deque([()])
        while waiting:
            crashes = waiting.popleft()
            for _ in range(TRIES):
                play(SCENARIOS.index(scenario), *crashes)
                if not play.watch.crashes:
                    break
            assert not play.watch.crashes, f"{scenario.__name__}: it does not come to {crashes} again"
            died += bool(crashes)
            for boundary in play.watch.boundaries:
                if boundary not in known:
                    known.add(boundary)
                    waiting += [(*crashes, (boundary, after)) for after in (False, True)]
    print(f"\n{part}: died {died} times")
