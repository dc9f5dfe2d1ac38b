"""Rules for edits that meet: what a good file reads as, and how a merge is rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicator.mapping.expressions import BothColumns, Passage, parse_expression, to_sql_both
from replicator.mapping.findings import Findings
from replicator.mapping.load import load_link
from replicator.model.finding import Mark
from replicator.model.link import Expression, Link

GOOD = Path(__file__).parent / "fixtures" / "links" / "good_rules.yaml"
OUTLINE = "link: a\ncrm: {table: a, key: id}\nerp: {table: b, key: id}\n"


def load(text: str) -> Link:
    link, findings = load_link("x.yaml", text=text)
    assert [str(f) for f in findings] == []
    assert link is not None
    return link


def test_each_field_has_its_rule() -> None:
    link = load(GOOD.read_text())
    rules = {field.name: str(field.rule) for field in link.fields}
    assert rules == {
        "street": "latest", "zip": "latest", "the city": "latest", "terms": "owner erp", "limit": "owner erp",
        "visits": "delta", "score": "merge", "status": "queue", "erp_no": "latest", "rebate": "queue",
    }  # fmt: skip
    assert link.rule.kind == "queue"
    assert link.arbiter == "crm"


def test_a_merge_is_an_expression_with_its_place() -> None:
    rule = next(f.rule for f in load(GOOD.read_text()).fields if f.name == "score")
    assert rule.merge == Expression("greatest(crm.score, erp.points)", Mark("x.yaml", 14, 46), None, frozenset())
    assert rule.mark == Mark("x.yaml", 14, 37)


def test_groups_are_numbers_of_fields() -> None:
    link = load(GOOD.read_text())
    assert [(group.name, group.fields) for group in link.groups] == [("address", (0, 1, 2)), ("owned", (3, 4))]
    assert link.groups[0].mark == Mark("x.yaml", 6, 10)


@pytest.mark.parametrize(("line", "wins"), [("", False), ("update_deleted: delete\n", False), ("update_deleted: update\n", True)])
def test_who_wins_against_a_delete(line: str, wins: bool) -> None:
    assert load(OUTLINE + line + "fields: [{crm: x, erp: y}]\n").update_wins == wins


def test_a_queue_for_the_whole_link_leaves_alone_what_goes_one_way() -> None:
    link = load(OUTLINE + "rule: queue\nfields:\n  - {crm: x, erp: y}\n  - {crm: z, erp: z, to: erp}\n  - {erp: w, value: 1}\n")
    assert [field.rule.kind for field in link.fields] == ["queue", "latest", "latest"]


BOTH = BothColumns(("crm", "erp"), {"crm": "score", "erp": "Points"})

RENDERED = [
    ('greatest(crm.score, erp."Points")', "greatest(<crm score>, <erp Points>)"),
    ("CRM.Score || 'crm.score' || erp.\"Points\" /* why */", "<crm score> || 'crm.score' || <erp Points>"),
    ('case when crm.score>erp."Points" then crm.score end', "case when <crm score>><erp Points> then <crm score> end"),
    ('crm.score|erp."Points"', "<crm score>|<erp Points>"),
]


@pytest.mark.parametrize(("text", "sql"), RENDERED)
def test_a_merge_is_rendered_with_both_columns(text: str, sql: str) -> None:
    found = Findings()
    expression = parse_expression(Passage(text, lambda index: Mark("x", 1, index + 1)), BOTH, found)
    assert found.in_order() == []
    assert expression is not None
    assert (expression.node, expression.reads) == (None, frozenset())
    assert to_sql_both(expression, lambda node, name: f"<{node} {name}>") == sql


def test_a_hint_writes_the_columns_as_they_must_be_written() -> None:
    found = Findings()
    assert parse_expression(Passage("crm.score || erp.points", lambda index: Mark("x", 1, index + 1)), BOTH, found) is None
    assert [(f.code, f.hint) for f in found.in_order()] == [("L317", 'write crm.score and erp."Points"')]
