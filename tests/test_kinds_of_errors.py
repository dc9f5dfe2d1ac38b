"""Promise: every SQLSTATE has one kind, every kind one policy, and the README's table shows them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import psycopg
import pytest
from psycopg import errors

from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.sqlstates import CLASSES, CODES, REMEDIES, kind_of
from replicator.errors import Kind, NodeUnavailable, WriteFailed
from replicator.model.failure import BY_ITSELF, BY_REASON, POLICIES

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", "lost"),
        ("57P01", "lost"),
        ("53100", "environment"),
        ("53300", "environment"),
        ("25006", "environment"),
        ("25P02", "fault"),
        ("40P01", "transient"),
        ("40001", "transient"),
        ("55P03", "locked"),
        ("57014", "locked"),
        ("23503", "waits"),
        ("23505", "waits"),
        ("23P01", "waits"),
        ("23502", "refused"),
        ("23514", "refused"),
        ("22001", "refused"),
        ("54000", "refused"),
        ("P0001", "refused"),
        ("CR001", "refused"),
        ("42703", "broken"),
        ("42P01", "broken"),
        ("42501", "broken"),
    ],
)
def test_kinds(state: str, kind: str) -> None:
    assert kind_of(state) == kind


def test_every_kind_has_a_policy_and_a_line_in_the_readme() -> None:
    table = re.findall(r"^\| `([a-z]+)` \|", README, re.MULTILINE)
    assert set(POLICIES) == set(get_args(Kind))
    assert [kind for kind in table if kind in POLICIES] == list(POLICIES)


def test_what_goes_on_by_itself_has_a_time() -> None:
    reasons = {p.reason: p for p in [*POLICIES.values(), *BY_REASON.values()]}
    assert all(reasons[reason].first is not None for reason in BY_ITSELF)
    assert all(p.remedy for p in [*POLICIES.values(), *BY_REASON.values()] if p.action == "park")


def test_codes_are_known_to_postgresql() -> None:
    newer = {"25P04"}  # of 17: psycopg may not know it
    for state in (set(CODES) | set(REMEDIES)) - newer:
        errors.lookup(state)
    classes = {code[:2] for code in errors._sqlcodes}  # type: ignore[attr-defined]
    assert set(CLASSES) <= classes


def test_a_lost_connection_is_not_a_refusal() -> None:
    with pytest.raises(NodeUnavailable), translated("erp"):
        raise errors.AdminShutdown("gone")
    with pytest.raises(NodeUnavailable), translated("erp"):
        raise psycopg.OperationalError("the connection is closed")
    with pytest.raises(WriteFailed) as caught, translated("erp"):
        raise errors.DiskFull("could not extend file")
    assert (caught.value.kind, caught.value.sqlstate) == ("environment", "53100")
    assert "make room" in caught.value.hint
