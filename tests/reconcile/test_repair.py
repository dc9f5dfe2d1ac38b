"""What was changed behind the replicator's back is mended by the fields' rules, through the flows, and is in the conflict log; what
no rule decides is left alone and named."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from replicator.demo.servers import Server
from replicator.runtime.repair import Plan, Repair
from tests.backfill.asking import behind
from tests.reconcile.faults import compared
from tests.reconcile.test_kinds import CRM, ERP, LINKS
from tests.two_way.pair_of_nodes import Pair, linked

NUMBER = count()
QUEUED = """
link: contact
crm: {table: crm.contact, key: id}
erp: {table: erp.person, key: pid}
fields:
  - {crm: account_id, erp: customer_no, link: customer}
  - {crm: name, erp: nm, rule: queue}
  - {crm: email, erp: mail, rule: {merge: "greatest(crm.email, erp.mail)"}}
"""


@pytest.fixture
def pair(server: Server, tmp_path: Path) -> Iterator[Pair]:
    with linked(server, tmp_path, f"repair_{next(NUMBER)}", CRM, ERP, {**LINKS, "contact": QUEUED}) as found:
        found.crm.execute(
            "INSERT INTO crm.account (name, vat, city, country, credit) SELECT 'n' || i, 'V' || i, 'c' || i, 'AT', 5 FROM generate_series(1, 12) i"
        )
        found.crm.execute("INSERT INTO crm.contact (account_id, name, email) SELECT id, 'of ' || name, 'm' FROM crm.account")
        found.crm.execute("INSERT INTO crm.line SELECT 1, i, 'a' || i, i FROM generate_series(1, 6) i")
        found.crm.execute("INSERT INTO crm.country SELECT 'L' || i, 'l' || i FROM generate_series(1, 6) i")
        found.settle()
        assert compared(found).clean
        yield found


def repaired(pair: Pair, prefer: str | None = None, limit: int | None = None) -> Plan:
    """Everything that was found, carried out and carried over."""
    pair.crash()
    with Repair(pair.config, pair.environ, "ann") as repair:
        plan = repair.plan(compared(pair, wait=0.0), prefer, limit)
        ids = repair.carry_out(plan)
    pair.settle()
    for node, numbers in ids.items():
        states = pair.rows(node, "SELECT problem, finished IS NULL FROM replicator.backfill WHERE id = ANY(%s)", (numbers,))
        assert states == [(None, False)] * len(numbers)
    return plan


def clean(pair: Pair) -> bool:
    pair.crash()
    report = compared(pair, wait=0.0)
    assert report.clean, [one for link in report.links for one in link.differences]
    return True


def test_fields_by_their_rules(pair: Pair) -> None:
    pair.erp.execute("UPDATE erp.customer SET town = 'edited' WHERE tax_id = 'V1'")
    pair.settle()
    # The ERP has edited the town of V1, which is known; of V2 nothing is.
    behind(pair, "crm", "UPDATE crm.account SET city = 'drifted', credit = 99 WHERE vat = 'V1'")
    behind(pair, "erp", "UPDATE erp.customer SET town = 'drifted', credit = 7 WHERE tax_id = 'V2'")
    behind(pair, "crm", "UPDATE crm.account SET erp_no = 'x', visits = 3 WHERE vat = 'V3'")
    behind(pair, "erp", "UPDATE erp.position SET total = 0 WHERE code = 'a1'")
    behind(pair, "erp", "UPDATE erp.country SET label = 'drifted' WHERE code = 'L1'")
    plan = repaired(pair)
    left = {(one.difference.kind, one.fields) for one in plan.left}
    assert left == {("differs", ("city",)), ("differs", ("visits",))}
    assert pair.rows("crm", "SELECT city, credit FROM crm.account WHERE vat = 'V1'") == [("edited", 0)]
    assert pair.rows("erp", "SELECT town, credit FROM erp.customer WHERE tax_id = 'V2'") == [("drifted", 7)]
    assert pair.rows("crm", "SELECT credit FROM crm.account WHERE vat = 'V2'") == [(7,)]
    assert pair.rows("crm", "SELECT erp_no <> 'x' FROM crm.account WHERE vat = 'V3'") == [(True,)]
    assert pair.rows("erp", "SELECT total FROM erp.position WHERE code = 'a1'") == [(1,)]
    assert pair.rows("erp", "SELECT label FROM erp.country WHERE code = 'L1'") == [("l1",)]
    log = "SELECT field, incoming, existing, winner, rule, settled_by FROM replicator.conflict WHERE rule LIKE 'repair%' ORDER BY field"
    assert ("city", "edited", "drifted", "erp", "repair: erp edited it last", "ann") in pair.rows("crm", log)
    repaired(pair, prefer="crm")
    assert pair.rows("erp", "SELECT town FROM erp.customer WHERE tax_id = 'V2'") == [("c2",)]
    behind(pair, "crm", "UPDATE crm.account SET visits = 0 WHERE vat = 'V3'")
    assert clean(pair)


def test_rows_that_are_gone_on_either_side(pair: Pair) -> None:
    behind(pair, "erp", "DELETE FROM erp.customer WHERE tax_id IN ('V1', 'V2')")
    behind(pair, "crm", "DELETE FROM crm.account WHERE vat = 'V3'")
    behind(
        pair,
        "erp",
        "INSERT INTO erp.customer (company, tax_id, town, land) SELECT 'new', 'V90', 't', id FROM erp.land WHERE iso2 = 'AT'",
    )
    behind(pair, "crm", "INSERT INTO crm.account (name, vat, country) VALUES ('new', 'V91', 'DE')")
    behind(pair, "erp", "DELETE FROM erp.position WHERE code = 'a2'")
    behind(pair, "crm", "DELETE FROM crm.line WHERE article = 'a3'")
    behind(pair, "erp", "DELETE FROM erp.country WHERE code = 'L2'")
    behind(pair, "crm", "DELETE FROM crm.country WHERE iso = 'L3'")
    behind(pair, "erp", "DELETE FROM erp.person WHERE nm IN ('of n1', 'of n2')")
    behind(pair, "crm", "DELETE FROM crm.contact WHERE name = 'of n3'")
    plan = repaired(pair)
    repaired(pair)  # what referred to records that were made anew
    assert plan.beyond == 0
    assert pair.rows("erp", "SELECT count(*) FROM erp.customer WHERE tax_id IN ('V1', 'V2', 'V3', 'V90', 'V91')") == [(5,)]
    assert pair.rows("crm", "SELECT count(*) FROM crm.account WHERE vat IN ('V1', 'V2', 'V3', 'V90', 'V91')") == [(5,)]
    assert pair.rows("erp", "SELECT code FROM erp.position ORDER BY 1") == [("a1",), ("a2",), ("a4",), ("a5",), ("a6",)]
    assert pair.rows("erp", "SELECT code FROM erp.country ORDER BY 1") == [("L1",), ("L2",), ("L4",), ("L5",), ("L6",)]
    assert clean(pair)


def test_pairs_that_are_known_on_one_node_or_none(pair: Pair) -> None:
    behind(
        pair, "erp", "DELETE FROM replicator.crosswalk_customer WHERE erp_no = (SELECT no FROM erp.customer WHERE tax_id = 'V1')"
    )
    behind(pair, "crm", "DELETE FROM replicator.crosswalk_customer WHERE crm_id = (SELECT id FROM crm.account WHERE vat = 'V2')")
    for node, where in (
        ("erp", "erp_no = (SELECT no FROM erp.customer WHERE tax_id = 'V3')"),
        ("crm", "crm_id = (SELECT id FROM crm.account WHERE vat = 'V3')"),
    ):
        behind(pair, node, f"DELETE FROM replicator.crosswalk_customer WHERE {where}")
    behind(pair, "erp", "DELETE FROM erp.person WHERE nm = 'of n4'")
    behind(pair, "crm", "DELETE FROM crm.contact WHERE name = 'of n4'")
    plan = repaired(pair)
    assert {mending.how for mending in plan.mendings} >= {"tell", "forget"}
    assert [one.difference.kind for one in plan.left] == ["unpaired"]
    pair.crm.execute("UPDATE crm.account SET city = 'x' WHERE vat = 'V3'")  # pairs them, as `match` would
    pair.settle()
    assert clean(pair)


def test_a_person_and_a_limit(pair: Pair) -> None:
    behind(pair, "erp", "UPDATE erp.person SET nm = 'drifted', mail = 'z' WHERE nm = 'of n1'")
    behind(pair, "erp", "UPDATE erp.customer SET credit = 3")
    plan = repaired(pair, limit=5)
    assert len(plan.mendings) == 5
    assert plan.beyond == 8
    repaired(pair)
    assert pair.rows("crm", "SELECT count(*) FROM crm.account WHERE credit <> 3") == [(0,)]
    assert pair.rows("crm", "SELECT email FROM crm.contact WHERE name = 'of n1'") == [("z",)]
    waiting = "SELECT field FROM replicator.conflict WHERE status = 'open'"
    assert pair.rows("crm", waiting) + pair.rows("erp", waiting) == [("name",)]
    assert [one.advice for one in repaired(pair).left] == ["a person has to settle it: `replicator conflicts list --open`"]
