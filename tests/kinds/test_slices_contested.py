"""A column on one side, a row on the other, and people on both sides who replace it, empty it and fill it again at once."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from tests.apply.driving import until
from tests.kinds.test_slices import CRM, ERP, LINKS, crm, erp
from tests.two_way.pair_of_nodes import Pair, linked

HISTORIES = int(os.environ.get("REPLICATOR_HISTORIES", "40"))
SEED = int(os.environ.get("REPLICATOR_SEED", "1"))
MATCHED = LINKS | {"party": LINKS["party"].replace("fields:", "match: {crm: name, erp: name}\nfields:", 1)}
ONE_OF_A_KIND = "ALTER TABLE erp.mechanism ADD UNIQUE (party_no, kind);"


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("contested")
    with linked(server, folder, "contested", CRM, ERP + ONE_OF_A_KIND, MATCHED) as found:
        yield found


class Telephone:
    """That of one customer. `twice`: both sides have just keyed the customer in, and neither has read it of the other."""

    def __init__(self, pair: Pair, name: str, twice: bool = False) -> None:
        self.pair, self.name = pair, name
        if twice:
            self.party = erp(pair, "INSERT INTO erp.party (name) VALUES (%s) RETURNING no", name)
        crm(pair, "INSERT INTO crm.account (name, phone) VALUES (%s, 'first')", name)
        if not twice:
            pair.settle()
            self.party = pair.rows("erp", "SELECT no FROM erp.party WHERE name = %s", (name,))[0][0]

    def typed(self, number: str | None) -> None:
        crm(self.pair, "UPDATE crm.account SET phone = %s WHERE name = %s", number, self.name)

    def edited(self, number: str) -> None:
        erp(self.pair, "UPDATE erp.mechanism SET value = %s WHERE party_no = %s", number, self.party)

    def deleted(self) -> None:
        erp(self.pair, "DELETE FROM erp.mechanism WHERE party_no = %s", self.party)

    def inserted(self, number: str) -> None:
        sql = "INSERT INTO erp.mechanism (party_no, kind, value) VALUES (%s, 'phone', %s) ON CONFLICT DO NOTHING"
        erp(self.pair, sql, self.party, number)

    def settled(self) -> tuple[list[str], list[str]]:
        """What stands on either side, once what met a row that was on its way has been tried again."""
        self.pair.settle()
        until(self.pair, lambda: self.pair.parked() == [])
        self.pair.settle()
        here = self.pair.rows("crm", "SELECT phone FROM crm.account WHERE name = %s AND phone <> ''", (self.name,))
        there = self.pair.rows("erp", "SELECT value FROM erp.mechanism WHERE party_no = %s", (self.party,))
        return [value for (value,) in here], [value for (value,) in there]


def test_a_row_is_replaced_by_another_in_one_transaction(pair: Pair) -> None:
    phone = Telephone(pair, "in one")
    with pair.erp.transaction():
        phone.deleted()
        phone.inserted("second")
    assert phone.settled() == (["second"], ["second"])
    phone.typed("third")
    assert phone.settled() == (["third"], ["third"])


def test_it_is_replaced_again_before_anybody_looks(pair: Pair) -> None:
    phone = Telephone(pair, "again")
    for number in ("second", "third"):
        phone.deleted()
        phone.inserted(number)
    assert phone.settled() == (["third"], ["third"])


def test_it_is_replaced_while_somebody_holds_the_account(pair: Pair) -> None:
    """The delete of the old row waits for the lock; the new one needs the place that the old one has till then."""
    phone = Telephone(pair, "held")
    phone.deleted()
    phone.inserted("second")
    with pair.crm.transaction():
        crm(pair, "SELECT FROM crm.account WHERE name = 'held' FOR UPDATE")
        until(pair, lambda: "locked" in [reason for _, _, _, reason, _, _ in pair.parked()])
    assert phone.settled() == (["second"], ["second"])


def test_it_is_replaced_while_the_column_is_edited(pair: Pair) -> None:
    phone = Telephone(pair, "edited")
    phone.typed("edited")
    phone.deleted()
    phone.inserted("replaced")
    here, there = phone.settled()
    assert here == there
    assert len(here) == 1


def test_a_customer_keyed_twice_has_the_telephone_that_one_of_them_typed(pair: Pair) -> None:
    """The CRM's account, still unread, has none; it has the ERP's by the time it is read."""
    crm(pair, "INSERT INTO crm.account (name) VALUES ('twice')")
    party = erp(pair, "INSERT INTO erp.party (name) VALUES ('twice') RETURNING no")
    erp(pair, "INSERT INTO erp.mechanism (party_no, kind, value) VALUES (%s, 'phone', '77')", party)
    while not pair.turn(1):
        pair.exchange.wait(0.02)
    pair.settle()
    assert pair.rows("crm", "SELECT phone FROM crm.account WHERE name = 'twice'") == [("77",)]
    assert pair.rows("erp", "SELECT value FROM erp.mechanism WHERE party_no = %s", (party,)) == [("77",)]


def test_typed_and_emptied_unread_while_the_erp_has_one(pair: Pair) -> None:
    """What was typed is gone again by the time that the ERP's comes; that it is gone must not be said of the ERP's."""
    phone = Telephone(pair, "typed and emptied")
    phone.typed(None)
    assert phone.settled() == ([], [])
    phone.typed("mistaken")
    phone.typed(None)
    phone.inserted("right")
    while not pair.turn(1):
        pair.exchange.wait(0.02)
    here, there = phone.settled()
    assert here == there == ["right"]


def keyed_in_both(pair: Pair, name: str) -> int:
    """A customer that both sides have just keyed in, each with a telephone; the ERP has read nothing of the CRM's yet."""
    with pair.erp.transaction():  # for one turn to read both
        party = erp(pair, "INSERT INTO erp.party (name) VALUES (%s) RETURNING no", name)
        erp(pair, "INSERT INTO erp.mechanism (party_no, kind, value) VALUES (%s, 'phone', 'there')", party)
    crm(pair, "INSERT INTO crm.account (name, phone) VALUES (%s, 'here')", name)
    return int(party)


def both(pair: Pair, name: str, party: int) -> tuple[list[tuple[str | None]], list[tuple[str | None]]]:
    pair.settle()
    assert pair.parked() == []
    here = pair.rows("crm", "SELECT phone FROM crm.account WHERE name = %s AND phone <> ''", (name,))
    return here, pair.rows("erp", "SELECT value FROM erp.mechanism WHERE party_no = %s", (party,))


def test_emptied_once_it_was_one_with_the_erps(pair: Pair) -> None:
    """The account is read as one that is new and has no telephone; but it had one, which the ERP's was paired with."""
    party = keyed_in_both(pair, "emptied behind")
    while not pair.turn(1):
        pair.exchange.wait(0.02)
    crm(pair, "UPDATE crm.account SET phone = NULL WHERE name = 'emptied behind'")
    assert both(pair, "emptied behind", party) == ([], [])


@pytest.mark.parametrize("first", ["crm", "erp"])
def test_emptied_before_the_erps_came(pair: Pair, first: str) -> None:
    """Nobody has emptied the ERP's; but who empties after it was typed may have meant it, so what counts is that both agree."""
    name = f"emptied before, {first}"
    if first == "erp":
        party = keyed_in_both(pair, name)
        crm(pair, "UPDATE crm.account SET phone = NULL WHERE name = %s", name)
    else:
        crm(pair, "INSERT INTO crm.account (name, phone) VALUES (%s, 'here')", name)
        crm(pair, "UPDATE crm.account SET phone = NULL WHERE name = %s", name)
        party = erp(pair, "INSERT INTO erp.party (name) VALUES (%s) RETURNING no", name)
        erp(pair, "INSERT INTO erp.mechanism (party_no, kind, value) VALUES (%s, 'phone', 'there')", party)
    while not pair.turn(1):
        pair.exchange.wait(0.02)
    here, there = both(pair, name, party)
    assert here == there
    assert here == [("there",)] or first == "erp"


def test_random_histories_end_alike(pair: Pair) -> None:
    apart = []
    for seed in range(SEED, SEED + HISTORIES):
        dice, story = random.Random(seed), []
        phone = Telephone(pair, f"seed {seed}", twice=seed % 2 == 1)
        for number in range(dice.randint(3, 8)):
            act = dice.choice(("typed", "emptied", "edited", "deleted", "inserted", "to erp", "to crm"))
            story.append(act)
            if act == "typed":
                phone.typed(f"c{number}")
            elif act == "emptied":
                phone.typed(None)
            elif act == "edited":
                phone.edited(f"e{number}")
            elif act == "deleted":
                phone.deleted()
            elif act == "inserted":
                phone.inserted(f"i{number}")
            else:
                pair.exchange.wait(0.02)
                pair.turn(0 if act == "to erp" else 1)
        here, there = phone.settled()
        if here != there:
            apart.append((seed, story, here, there))
    assert apart == []
