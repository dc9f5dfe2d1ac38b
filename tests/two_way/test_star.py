"""Three and more nodes, as a star and as a chain, against the model: what one node's users did, all come to have.

A run drives many records at once: each is a history of its own (concurrent edits everywhere, stalls, the daemon or
one of its exchanges dying at any statement, clocks apart). REPLICATOR_RUNS=n plays n runs of each shape per server
instead of the few of CI; REPLICATOR_SEED=s starts at seed s.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from replicator.capture.passed import RelayAssembler
from replicator.demo.servers import Server
from tests.two_way.model import Model
from tests.two_way.nodes import CHAIN_4, FIELDS, STAR_3, STAR_4, Nodes, tree

RUNS = int(os.environ.get("REPLICATOR_RUNS", "2"))
SEED = int(os.environ.get("REPLICATOR_SEED", "0"))
RECORDS = 24
SECONDS = 1_000_000


@pytest.fixture(scope="module", params=[STAR_3, STAR_4, CHAIN_4], ids=lambda shape: shape.name)
def nodes(server: Server, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Nodes]:
    with tree(server, tmp_path_factory.mktemp("nodes"), request.param) as found:
        yield found


class Crowd:
    """Random histories of many records side by side, made from a seed alone. Values are never repeated, but for notes."""

    def __init__(self, nodes: Nodes, seed: int) -> None:
        self.nodes, self.random, self.seed = nodes, random.Random(seed), seed
        self.names = list(nodes.users)
        self.model = Model()
        self.made = 0
        self.stalled: set[tuple[int, int]] = set()
        self.log: list[str] = []

    def value(self, name: str) -> Any:
        self.made += 1
        if name == "note":
            return self.random.choice("abc")
        return float(self.made) if name == "score" else f"{self.made}"

    def play(self) -> None:
        r = self.random
        for _ in range(RECORDS):
            self.create(r.choice(self.names))
        if r.random() < 0.8:
            self.nodes.settle()
        actions = (
            [self.edits] * 9 + [self.step] * 12 + [self.stall] * 3 + [self.die, self.remove, self.create_both, self.create_any]
        )
        for _ in range(r.randint(40, 140)):
            r.choice(actions)()
        self.nodes.settle()

    def create_any(self) -> None:
        self.create(self.random.choice(self.names))

    def create(self, node: str, tag: str | None = None) -> None:
        tag = tag or f"{self.seed}-{self.value('name')}"
        values = {f: self.value(f) for f in FIELDS}
        self.nodes.create(node, tag, values)
        self.model.insert(tag, values)
        self.log.append(f"create {node} {tag} {values}")

    def create_both(self) -> None:
        """The same customer keyed in in several systems in the same moment."""
        tag = f"{self.seed}-both-{self.value('name')}"
        for node in self.random.sample(self.names, 2):
            self.create(node, tag)

    def edits(self) -> None:
        for _ in range(self.random.randint(1, 12)):
            tag, node = self.random.choice(list(self.model.records)), self.random.choice(self.names)
            values = {f: self.value(f) for f in self.random.sample(FIELDS, self.random.randint(1, 2))}
            if values.get("note") == self.nodes.note(node, tag):
                continue  # writing what stands there already is no edit
            if self.nodes.edit(node, tag, **values):
                self.model.edit(tag, values)
                self.log.append(f"edit {node} {tag} {values}")

    def remove(self) -> None:
        """Not one that two nodes have just keyed in: until they have met they are two records."""
        tag = self.random.choice([tag for tag in self.model.records if "-both-" not in tag])
        node = self.random.choice(self.names)
        if self.nodes.delete(node, tag):
            self.model.delete(tag)
            self.log.append(f"delete {node} {tag}")

    def step(self) -> None:
        place = self.random.randrange(len(self.nodes.pairs))
        flow = self.random.choice((0, 1, None))
        if flow is None and {(place, 0), (place, 1)} & self.stalled:
            flow = 0
        if (place, flow) not in self.stalled:
            self.nodes.turn(self.nodes.pairs[place], flow)
            self.log.append(f"step {self.nodes.pairs[place]} {flow}")

    def stall(self) -> None:
        """One direction of one pair stands still for a while, or goes on."""
        if self.stalled and self.random.random() < 0.6:
            self.stalled.pop()
        else:
            self.stalled.add((self.random.randrange(len(self.nodes.pairs)), self.random.choice((0, 1))))

    def die(self) -> None:
        """The daemon is killed now, or one of its exchanges breaks, or it dies at some statement of the next steps."""
        dice = self.random.random()
        if dice < 0.1:
            self.nodes.crash()
        elif dice < 0.2:
            self.nodes.crash(self.random.choice(self.nodes.pairs))
        else:
            self.nodes.failpoint.calls = self.random.randint(1, 80)
            self.nodes.failpoint.after = self.random.random() < 0.5
        self.log.append(f"die {dice:.1f}")

    def verdict(self, newest: bool) -> list[str]:
        """What is not as it must be. `newest`: whether the newest edit must have won, too."""
        found = self.nodes.records(f"{self.seed}-%")
        first = found[self.names[0]]
        wrong = []
        for tag, record in self.model.records.items():
            ends = {node: rows.get(tag) for node, rows in found.items()}
            if len(set(ends.values())) > 1:
                wrong.append(f"{tag}: {ends}")
            if not newest:
                continue
            if (tag in first) not in record.alive:
                wrong.append(f"{tag}: should {'' if True in record.alive else 'not '}be there")
            elif tag in first:
                pairs = zip(FIELDS, first[tag], strict=True)
                wrong += [f"{tag}.{f}: is {v}, should be {record.values[f]}" for f, v in pairs if v not in record.values[f]]
        return wrong

    def told(self, wrong: list[str]) -> str:
        """The verdict, with what was done to the first record that it names."""
        tag = wrong[0].split(":")[0].split(".")[0]
        about = [line for line in self.log if f" {tag} " in f"{line} " or line.split()[0] in ("step", "die")]
        return f"seed {self.seed}:\n" + "\n".join(wrong) + "\n--\n" + "\n".join(about)


def play(nodes: Nodes, seed: int, newest: bool = True) -> None:
    crowd = Crowd(nodes, seed)
    crowd.play()
    wrong = crowd.verdict(newest)
    assert not wrong, crowd.told(wrong)
    assert nodes.parked() == []


def test_random_histories_end_as_the_model_says(nodes: Nodes) -> None:
    for seed in range(SEED, SEED + RUNS):
        play(nodes, seed)


def test_all_nodes_end_alike_when_clocks_stand_apart(nodes: Nodes) -> None:
    """Which of two edits is newer is then a matter of opinion; that all nodes have the same one is not."""
    try:
        for seed in range(SEED + 10_000, SEED + 10_000 + RUNS):
            nodes.crash()
            r = random.Random(seed)
            nodes.ahead = {node: r.choice((0, 3, -3, 1)) * SECONDS for node in nodes.users}
            play(nodes, seed, newest=False)
    finally:
        nodes.set_clocks_right()


def test_without_stamps_passed_on_nodes_end_different(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests are worth: a node that takes what it received for its own users' edits is found out."""
    monkeypatch.setattr(RelayAssembler, "_listen", lambda self, said: None)
    nodes.crash()
    for seed in range(SEED + 20_000, SEED + 20_000 + 10):
        crowd = Crowd(nodes, seed)
        crowd.play()
        if crowd.verdict(True):
            break
    else:
        pytest.fail("nobody noticed")
    nodes.crash()
