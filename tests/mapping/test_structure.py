"""What a copy between types may lose, type by type; and which tables a check asks for."""

from __future__ import annotations

import re

import pytest

from replicator.mapping.load import load_link
from replicator.mapping.structure import RULES, check_structure, tables_needed
from replicator.mapping.types import loss, mismatch
from replicator.model.table import Column, TableName

ROOMY = [
    ("text", "text"),
    ("varchar(30)", "character varying(50)"),
    ("character varying(30)", "text"),
    ("char(3)", "varchar(3)"),
    ("integer", "bigint"),
    ("int4", "integer"),
    ("smallint", "numeric(5,0)"),
    ("integer", "numeric(12,2)"),
    ("bigint", "numeric"),
    ("numeric(8,0)", "integer"),
    ("numeric(12,2)", "numeric(18,6)"),
    ("integer", "double precision"),
    ("smallint", "real"),
    ("real", "double precision"),
    ("date", "timestamp with time zone"),
    ("timestamp(0) without time zone", "timestamp without time zone"),
    ("time(0) with time zone", "timetz"),
    ("boolean", "varchar(5)"),
    ("uuid", "text"),
    ("integer", "varchar(11)"),
    ("numeric(10,2)", "varchar(12)"),
    ("jsonb", "json"),
    ("crm.mood", "text"),
    ("text[]", "text[]"),
]
LOSSY = [
    ("text", "character varying(30)"),
    ("varchar(50)", "varchar(30)"),
    ("varchar(2)", "char"),
    ("character varying", "varchar(10)"),
    ("uuid", "varchar(30)"),
    ("bigint", "integer"),
    ("integer", "smallint"),
    ("bigint", "numeric(12,0)"),
    ("numeric(18,6)", "numeric(12,2)"),
    ("numeric(18,6)", "numeric(18,4)"),
    ("numeric", "numeric(12,2)"),
    ("numeric(12,2)", "integer"),
    ("numeric(12,0)", "integer"),
    ("double precision", "numeric"),
    ("double precision", "real"),
    ("numeric(12,2)", "double precision"),
    ("bigint", "double precision"),
    ("double precision", "integer"),
    ("timestamp with time zone", "date"),
    ("timestamptz", "timestamp"),
    ("timestamp", "timestamp with time zone"),
    ("timestamp", "timestamp(0)"),
    ("timestamp", "time"),
    ("json", "jsonb"),
]
UNLIKE = [
    ("text", "integer"),
    ("boolean", "integer"),
    ("integer", "boolean"),
    ("text", "crm.mood"),
    ("crm.mood", "erp.mood"),
    ("date", "integer"),
    ("varchar(36)", "uuid"),
    ("text", "timestamptz"),
]


def column(kind: str) -> Column:
    base = re.sub(r"\s*\([^)]*\)", "", kind)
    return Column("c", kind, base, kind, "E" if "mood" in kind else "X", False)


@pytest.mark.parametrize(("source", "target"), ROOMY)
def test_copies_that_keep_everything(source: str, target: str) -> None:
    assert loss(column(source), column(target)) is None
    assert mismatch(column(source), column(target)) is None


@pytest.mark.parametrize(("source", "target"), LOSSY)
def test_copies_that_lose(source: str, target: str) -> None:
    assert loss(column(source), column(target))
    assert mismatch(column(source), column(target)) is None


@pytest.mark.parametrize(("source", "target"), UNLIKE)
def test_copies_that_do_not_go_together(source: str, target: str) -> None:
    assert mismatch(column(source), column(target))


def test_a_domain_counts_as_what_it_is_made_of() -> None:
    domain = Column("c", "crm.money_amount", "numeric", "numeric", "N", False)
    assert loss(domain, column("numeric(12,2)"))
    assert loss(column("numeric(12,2)"), domain) is None


TEXT = """\
link: a
crm: {table: crm.a, key: id}
erp: {table: erp.a, key: id}
fields:
  - {crm: x, erp: y, lookup: {table: erp.country, by: iso2}}
"""


def test_tables_that_are_not_there_yet_are_not_judged() -> None:
    link, _ = load_link("x.yaml", text=TEXT)
    assert link is not None
    assert tables_needed([link]) == [
        ("crm", TableName("crm", "a")), ("erp", TableName("erp", "a")), ("erp", TableName("erp", "country")),
    ]  # fmt: skip
    assert check_structure([link], {}) == []


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.__name__ for rule in RULES}) == len(RULES)
