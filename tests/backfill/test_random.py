"""Random histories over databases that are full already: backfills in both directions begin at any moment, chunks of two records,
among concurrent edits, deletes and new records on both sides, with the daemon dying at any statement. At the end, when both
directions have been copied once more, the two sides are alike and hold what the model says: no edit lies under an older chunk.

REPLICATOR_HISTORIES=n plays n histories per server instead of the few of CI; REPLICATOR_SEED=s starts at seed s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from tests.backfill.asking import ask, behind, target_of
from tests.two_way.model import Record
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.test_random import CRM, ERP, FIELDS, LINKS, History

HISTORIES = int(os.environ.get("REPLICATOR_HISTORIES", "40"))
SEED = int(os.environ.get("REPLICATOR_SEED", "0")) + 40_000
FLOWS = ("crm_to_erp", "erp_to_crm")


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("backfill")
    with linked(server, folder, "backfill", CRM, ERP, LINKS) as found:
        found.config = replace(found.config, settings=replace(found.config.settings, batch_rows=2))
        yield found


class FullAlready(History):
    def play(self) -> None:
        r = self.random
        self.exists_on((r.choice(("crm", "erp")),))
        for _ in range(r.randint(1, 5)):
            self.exists_on(r.choice((("crm",), ("erp",), ("crm", "erp"))))
        actions = [self.edit] * 8 + [self.create_any, self.create_both, self.delete, self.edit_many]
        actions += [self.copy] * 3 + [self.step] * 7 + [self.die] * 2
        for _ in range(r.randint(5, 30)):
            r.choice(actions)()
        self.pair.settle()
        for flow in FLOWS:
            self.ask(flow)
            self.pair.settle()

    def step(self) -> None:
        flow = self.random.choice((0, 1, None))
        self.pair.turn(flow)
        while flow is not None and self.pair.opened and self.pair.exchange.flows[flow].open:
            self.pair.turn(flow)  # a transaction that comes in parts is finished first, as the exchange does it
        self.log.append(f"step {flow}")

    def exists_on(self, nodes: tuple[str, ...]) -> None:
        """A record from before the replicator; on both sides it may differ, and either value may come to stand."""
        name = f"{self.seed}-{'both-' if len(nodes) == 2 else ''}old-{self.value('name')}"
        for node in nodes:
            values = {f: self.value(f) for f in FIELDS}
            literals = ", ".join(f"'{value}'" for value in (name, *(values[f] for f in FIELDS)))
            if node == "crm":
                behind(self.pair, node, f"INSERT INTO crm.account (tag, name, city, score, active) VALUES ({literals}, true)")
            else:
                behind(self.pair, node, f"INSERT INTO erp.customer (code, company, town, points) VALUES ({literals})")
            record = self.model.records.setdefault(name, Record({f: set() for f in FIELDS}))
            for f in FIELDS:
                record.values[f].add(values[f])
        self.log.append(f"exists on {nodes} {name} {self.model.records[name].values}")

    def copy(self) -> None:
        flow = self.random.choice(FLOWS)
        self.ask(flow)
        self.log.append(f"copy {flow}")

    def ask(self, flow: str) -> None:
        under_way = "SELECT 1 FROM replicator.backfill WHERE flow = %s AND finished IS NULL"
        if not target_of(self.pair, flow).execute(under_way, (flow,)).fetchone():  # type: ignore[arg-type]
            column = '"tag"' if flow.startswith("crm") else '"code"'
            ask(self.pair, flow, "customer", condition=f"own.{column} LIKE '{self.seed}-%'")


def test_random_histories_end_as_the_model_says(pair: Pair) -> None:
    for seed in range(SEED, SEED + HISTORIES):
        play(pair, seed)


def play(pair: Pair, seed: int) -> None:
    history = FullAlready(pair, seed)
    history.play()
    wrong = history.verdict()
    assert not wrong, f"seed {seed}:\n" + "\n".join(wrong) + "\n--\n" + "\n".join(history.log)
    assert pair.parked() == []
    for flow in FLOWS:
        assert target_of(pair, flow).execute("SELECT FROM replicator.backfill WHERE problem IS NOT NULL").fetchall() == []
