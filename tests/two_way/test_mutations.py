"""Errors that are easy to make, put in on purpose: each must be caught by the histories of test_rules_random.py, and soon.
A mutation that these let through would be a bug that they let through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.apply.answers import Answers
from replicator.apply.healing import Healing
from replicator.capture.batch import LinkChanges, RowChange, Touch
from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.rules_histories import Tally, every_short, play, play_short
from tests.two_way.rules_records import CRM, EDITS, ERP, LINKS

ENOUGH = 200  # random histories; a mutation is caught before they end

Patch = pytest.MonkeyPatch


def compare_by_the_rows_stamp(patch: Patch, links: dict[str, str]) -> None:
    touch = LinkChanges._touch

    def touched(self: LinkChanges, row: RowChange, fields: int, stamp: int, lsn: int) -> None:
        touch(self, row, fields, stamp, lsn)
        if row.touches:
            row.touches = [Touch(self.feed.every_field, stamp, lsn)]

    patch.setattr(LinkChanges, "_touch", touched)


def heal_nothing(patch: Patch, links: dict[str, str]) -> None:
    patch.setattr(Healing, "write", lambda self, late: 0)


def remember_no_edits(patch: Patch, links: dict[str, str]) -> None:
    patch.setattr("replicator.apply.healing.edits_of", lambda rows, inserts: [])


def write_counters_as_plain_values(patch: Patch, links: dict[str, str]) -> None:
    links.update({name: text.replace(", rule: delta", "") for name, text in links.items()})


def drop_the_answers(patch: Patch, links: dict[str, str]) -> None:
    def dropped(self: Answers, reached: int) -> list[tuple[str, RowChange]]:
        self.waiting.clear()
        return []

    patch.setattr(Answers, "due", dropped)


def write_merges_whatever_stands_there(patch: Patch, links: dict[str, str]) -> None:
    patch.setattr("replicator.program.paired.weigh", lambda *args: None)


def nothing(patch: Patch, links: dict[str, str]) -> None:
    """The control: these histories find no fault where none was put in."""


@pytest.fixture
def mutated(request: pytest.FixtureRequest, server: Server, tmp_path: Path, monkeypatch: Patch) -> Iterator[Pair]:
    links = dict(LINKS)
    mutation: Callable[[Patch, dict[str, str]], None] = request.param
    mutation(monkeypatch, links)
    with linked(server, tmp_path, f"mutation_{mutation.__name__}"[:50], CRM, ERP, links) as found:
        yield found


def hunt(pair: Pair, tally: Tally, longer: int) -> None:
    """Short histories of edits, of records both have keyed in, and so many longer ones."""
    slots, _ = next(every_short(["i"], EDITS, 2, "0"))
    both_keyed_in, _ = next(every_short(["iI", "Ii"], ",c,e", 2, "0"))
    played = [(slots, ["*", "0", "1"]), (slots, ["*", "1", "0"]), (slots, ["*", "0x", "1"]), (both_keyed_in, ["0", "1"])]
    play_short(pair, iter(played), 4_000_000, tally=tally)
    play(pair, longer, 6_000_000, tally=tally)


MUTATIONS = [
    compare_by_the_rows_stamp, heal_nothing, remember_no_edits, write_counters_as_plain_values, drop_the_answers,
    write_merges_whatever_stands_there,
]  # fmt: skip


@pytest.mark.parametrize("mutated", MUTATIONS, indirect=True, ids=lambda mutation: mutation.__name__)
def test_a_mutation_is_caught(mutated: Pair) -> None:
    tally = Tally()
    with pytest.raises(AssertionError) as caught:
        hunt(mutated, tally, ENOUGH)
    print(f"caught after {tally.histories} histories:", str(caught.value).splitlines()[3])


@pytest.mark.parametrize("mutated", [nothing], indirect=True, ids=lambda mutation: mutation.__name__)
def test_without_a_mutation_nothing_is_caught(mutated: Pair) -> None:
    hunt(mutated, Tally(), 40)
