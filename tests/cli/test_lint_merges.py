"""`replicator lint` tries merges on the node that decides, with values of its own making."""

from __future__ import annotations

import pytest

from .conftest import CUSTOMER, Site

FIELD = "{crm: note, erp: note}"


def merging(expression: str) -> str:
    return CUSTOMER.replace(FIELD, f'{{crm: note, erp: note, rule: {{merge: "{expression}"}}}}')


def test_a_good_merge_has_nothing_to_say(site: Site) -> None:
    site.link("customer", merging("greatest(crm.note, erp.note)"))
    result = site("lint")
    assert result.code == 0, result.out
    assert not result.lines("K06")


@pytest.mark.parametrize(
    ("expression", "code", "said"),
    [
        (
            "crm.note || erp.note",
            "K064",
            "depends on which side a value stands: of 'a' and 'b' it makes 'ab', of 'b' and 'a' 'ba'",
        ),
        ("greatest(crm.note, erp.note) || '+'", "K064", "of 'a' and 'a' it makes 'a+', and of 'a+' and 'a+' 'a++'"),
        (
            "crm.note - erp.note",
            "K060",
            "crm refuses the merge of field note: operator does not exist: text - text (SQLSTATE 42883)",
        ),
    ],
)
def test_a_merge_that_cannot_stay(site: Site, expression: str, code: str, said: str) -> None:
    site.db("crm").execute("INSERT INTO crm.account (name, note) VALUES ('one', 'cell value')")
    site.link("customer", merging(expression))
    result = site("lint")
    assert result.code == 1
    assert f"links/customer.yaml:8:43: {code} " in result.one_line(said)
    assert "cell value" not in result.out
    assert len(result.lines("customer.yaml:8:43")) == 1
    assert not result.lines("K062")


def test_a_merge_that_fails_or_depends_on_the_order_is_a_warning(site: Site) -> None:
    site.link("customer", merging("cast((cast(crm.note as int) + cast(erp.note as int)) / 2 as text)"))
    result = site("lint")
    assert result.one_line("links/customer.yaml:8:43: K065 warning", "if the first two meet first")
    assert result.one_line("links/customer.yaml:8:43: K066 warning", "fails, for example of 'a' and 'b'", "SQLSTATE 22P02")
