"""Histories of every rule on two real databases against the model, many records at a time: what users do to one record is
one history; all of a run's records share its stalls, batches, crashes and clocks.

Two kinds: every short history there is (a few actions between a few steps), and random ones that are longer.
REPLICATOR_HISTORIES=n plays n random histories per server and test instead of the few of CI, and all that are short. A
failure names its seed: REPLICATOR_SEED=s plays that run first, with REPLICATOR_RECORD=r that record alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from tests.two_way.pair_of_nodes import Pair, linked
from tests.two_way.rules_histories import (
    HISTORIES,
    RISE_AGAIN,
    SEED,
    every_short,
    play,
    play_short,
)
from tests.two_way.rules_records import (
    CRM,
    EDITS,
    ERP,
    LINKS,
    TABLES,
)


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("rules_random")
    with linked(server, folder, "rules_random", CRM, ERP, LINKS) as found:
        yield found


def test_every_short_history_of_edits(pair: Pair) -> None:
    print(play_short(pair, every_short(["i"], EDITS, 2, "0 1 0x 1x 01 10", "*"), 1_000_000, frozenset()))


def test_every_short_history_of_a_record_both_keyed_in(pair: Pair) -> None:
    tally = play_short(pair, every_short(["iI", "Ii"], ",c,e,ce,ec", 2, "0 1 0x 1x 01 10"), 2_000_000)
    print(tally)
    assert tally.kinds >= {"insert_exists", "update_origin_differs"}


DELETES = ",c,e,d,D,cD,ed"


def test_every_short_history_with_deletes(pair: Pair) -> None:
    histories = every_short(["i"], DELETES, 3, "0 1 0x 1x", "*")
    tally = play_short(pair, histories, 3_000_000, frozenset(), links=[name for name in TABLES if name not in RISE_AGAIN])
    print(tally)
    assert tally.kinds >= {"update_deleted", "delete_origin_differs", "delete_missing"}


def test_random_histories(pair: Pair) -> None:
    print(play(pair, HISTORIES, SEED))


@pytest.mark.parametrize("ahead", [3_000_000, -3_000_000], ids=["erp_ahead", "erp_behind"])
def test_random_histories_when_clocks_stand_apart(pair: Pair, ahead: int) -> None:
    """Which of two edits is newer is then a matter of opinion, unless one knows the other."""
    pair.crash()
    pair.erp_clock = ahead
    try:
        print(play(pair, HISTORIES // 4, SEED + (100_000 if ahead > 0 else 200_000), apart=True))
    finally:
        pair.set_clocks_right()


def test_what_a_restart_remembers_while_stamps_stand_still(pair: Pair) -> None:
    """Found by these histories: edits of several transactions with one stamp were taken for those of one."""
    pair.crash()
    pair.erp_clock = 3_000_000
    try:
        play(pair, 40, 109_003, apart=True)
    finally:
        pair.set_clocks_right()


def test_an_edit_of_a_record_that_the_other_side_of_a_one_way_link_has_deleted(pair: Pair) -> None:
    pair.crm.execute("INSERT INTO crm.memo VALUES (1, 'a')")
    pair.settle()
    pair.erp.execute("DELETE FROM erp.memo")
    pair.crm.execute("UPDATE crm.memo SET text = 'b'")
    pair.settle()
    kinds = pair.rows("erp", "SELECT kind, winner FROM replicator.conflict WHERE link = 'memo'")
    assert kinds == [("update_missing", "erp")]
    assert pair.rows("erp", "SELECT FROM erp.memo") == []
