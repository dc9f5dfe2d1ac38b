"""Expressions: what passes and how it is rendered, what does not and where, and that no text does harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.mapping.expressions import Passage, Reading, parse_expression, to_sql
from replicator.mapping.findings import Findings
from replicator.mapping.load import load_link
from replicator.mapping.sql_words import BEFORE_PARENTHESIS, FUNCTIONS, MANY_ROWS, NOT_PURE, STATEMENTS
from replicator.model.finding import Mark
from replicator.model.link import Expression

READING = Reading(("crm", "erp"), "crm", clock=True)


def parse(text: str, reading: Reading = READING) -> tuple[Expression | None, list[str]]:
    found = Findings()
    passage = Passage(text, lambda index: Mark("x", 1, index + 1))
    expression = parse_expression(passage, reading, found)
    return expression, [f"{f.where.column} {f.code}" for f in found.in_order()]  # type: ignore[union-attr]


def render(expression: Expression) -> str:
    return to_sql(expression, lambda name: f's."n_{name}"')


RENDERED = [
    ("crm.name", 's."n_name"'),
    ("CRM.Name || crm.NAME", 's."n_name" || s."n_name"'),
    ('crm."Odd-Name"', 's."n_Odd-Name"'),
    ('crm."a""b"', 's."n_a"b"'),
    ('"crm".name', 's."n_name"'),
    ("crm . name", 's."n_name"'),
    ("crm.order + crm.select + crm.end", 's."n_order" + s."n_select" + s."n_end"'),
    ("crm.values||crm.with", 's."n_values"||s."n_with"'),
    ("'crm.name' || crm.name", "'crm.name' || s.\"n_name\""),
    ("E'it\\'s' || 'it''s'", "E'it\\'s' || 'it''s'"),
    ("crm.a||-1", 's."n_a"|| -1'),
    ("crm.a !~* 'x' and crm.b<<2 > 1", 's."n_a" !~* \'x\' and s."n_b"<<2 > 1'),
    ("crm.a /* why */ + -- because\n 1", 's."n_a" + 1'),
    ("crm.a  +\n  1", 's."n_a"  +\n  1'),
    ("trim(both ' ' from crm.a)", "trim(both ' ' from s.\"n_a\")"),
    ("crm.a::numeric(12,2)", 's."n_a"::numeric(12,2)'),
    ("cast(crm.a as timestamp(0) with time zone)", 'cast(s."n_a" as timestamp(0) with time zone)'),
    ("crm.a at time zone 'UTC'", "s.\"n_a\" at time zone 'UTC'"),
    ("crm.j -> 'a' #>> '{b,c}'", "s.\"n_j\" -> 'a' #>> '{b,c}'"),
    ("crm.j ? 'a' and crm.j ?| array['b']", "s.\"n_j\" ? 'a' and s.\"n_j\" ?| array['b']"),
    ("extract(year from crm.d)", 'extract(year from s."n_d")'),
    ("substring(crm.a from 1 for 2)", 'substring(s."n_a" from 1 for 2)'),
    ("case crm.a when 1 then 'x' else 'y' end", "case s.\"n_a\" when 1 then 'x' else 'y' end"),
    ("crm.a = any(array[1,2]) or crm.a in (3, 4)", 's."n_a" = any(array[1,2]) or s."n_a" in (3, 4)'),
    ("crm.a is not distinct from crm.b", 's."n_a" is not distinct from s."n_b"'),
    ("crm.a[1:2]", 's."n_a"[1:2]'),
    ("crm.a % 2 = 0 and crm.b like '%s'", 's."n_a" % 2 = 0 and s."n_b" like \'%s\''),
    ("date '2020-01-01' + interval '1 day' * crm.n", "date '2020-01-01' + interval '1 day' * s.\"n_n\""),
    ('crm.a collate "C"', 's."n_a" collate "C"'),
    ("now()", "now()"),
    ("  null ", "null"),
    ("-1.5e3", "-1.5e3"),
    ("(crm.a, crm.b) = (1, 2)", '(s."n_a", s."n_b") = (1, 2)'),
    ("regexp_replace(crm.a, '[^0-9]', '', 'g')", "regexp_replace(s.\"n_a\", '[^0-9]', '', 'g')"),
    ("crm.ä || crm.straße", 's."n_ä" || s."n_straße"'),
]


@pytest.mark.parametrize(("text", "sql"), RENDERED)
def test_rendering_keeps_the_users_words(text: str, sql: str) -> None:
    expression, findings = parse(text)
    assert findings == []
    assert expression is not None
    assert render(expression) == sql


def test_what_an_expression_reads() -> None:
    expression, _ = parse('  crm.b || CRM.A || crm."A" || crm.b')
    assert expression is not None
    assert expression.reads == {"a", "b", "A"}
    assert expression.node == "crm"
    assert expression.mark.column == 3
    constant, _ = parse("'x' || 1")
    assert constant is not None
    assert (constant.node, constant.reads) == (None, frozenset())


REFUSED = [
    ("crm.a +", "7 L301"),
    ("(crm.a", "2 L301"),
    ("upper(crm.a))", "13 L301"),
    ("crm.a as b", "7 L301"),
    ("crm.a, crm.b", "6 L301"),
    ("/* open", "1 L301"),
    ("'a' 'b'", "5 L301"),
    ("U&'\\0041'", "1 L301"),
    ("N'x'", "1 L301"),
    ("`crm`.a", "1 L301"),
    ("{{ crm.a }}", "1 L301"),
    ("crm.a := 1", "7 L301"),
    ("0x1F", "1 L301"),
    ("crm.a;", "6 L302"),
    ("crm.a; delete from x", "6 L302"),
    ("crm.a in (select b from c)", "11 L303"),
    ("exists (select 1)", "9 L303"),
    ("(with x as (select 1) select 1)", "2 L303"),
    ("array(select 1)", "7 L303"),
    ("sum(crm.a) filter (where true)", "12 L304"),
    ("lag(crm.a)", "1 L304"),
    ("generate_series(1, 9)", "1 L304"),
    ("$1", "1 L305"),
    ("$1::text", "1 L305"),
    (":x", "1 L305"),
    ("@x", "1 L305"),
    ("%(name)s", "1 L305"),
    ("my_function(crm.a)", "1 L306"),
    ("pg_catalog.lower(crm.a)", "12 L306"),
    ("if(crm.a, 1, 2)", "1 L306"),
    ("pg_sleep(9)", "1 L307"),
    ("lo_import('/etc/passwd')", "1 L307"),
    ("query_to_xml('delete from x', true, true, '')", "1 L307"),
    ("set_config('a', 'b', false)", "1 L307"),
    ("session_user", "1 L307"),
    ("name", "1 L308"),
    ("crm.odd-name", "9 L308"),
    ('"name"', "1 L308"),
    ("shop.name", "1 L309"),
    ("erp.name", "1 L310"),
    ("crm.a || erp.b", "10 L310"),
    ("crm.a operator(pg_catalog.+) 1", "7 L306"),
    ("crm.a in crm.b", "1 L311"),
    ('crm.a::"char"', "8 L312"),
    ("cast(crm.a as crm.mood)", "15 L312"),
    ("crm.a::numeric(12 2)", "19 L301"),
    ("coalesce((), crm.a)", "11 L301"),
    ("crm.j ?| ['a']", "10 L301"),
    ("['a']", "1 L301"),
    ("crm.*", "1 L315"),
    ("crm.a.b", "1 L315"),
    ("-- x", "1 L316"),
    ("", "1 L316"),
]


@pytest.mark.parametrize(("text", "finding"), REFUSED)
def test_refused(text: str, finding: str) -> None:
    expression, findings = parse(text)
    assert expression is None
    assert findings == [finding]


def test_all_findings_of_an_expression_are_given() -> None:
    _, findings = parse("lowr(crm.a) || erp.b || name || random()")
    assert findings == ["1 L306", "16 L310", "25 L308", "33 L307"]


def test_the_clock_warns_but_passes() -> None:
    expression, findings = parse("current_date - crm.a", Reading(("crm", "erp"), "crm"))
    assert expression is not None
    assert findings == ["1 L313"]


@pytest.mark.parametrize("text", ["(" * 3000 + "1" + ")" * 3000, "not " * 2400 + "true", "-" * 5000, "case " * 1900])
def test_deep_expressions_are_findings(text: str) -> None:
    expression, findings = parse(text)
    assert expression is None
    assert len(findings) == 1


# The unknown function must be found at the `lowr` of the file, however the scalar is written.
SCALARS = [
    "from: lowr(crm.a)",
    "from: 'lowr(crm.a)'",
    "from: \"'\\u00e4' || \\\n         lowr(crm.a)\"",
    "from: '''it''''s'' ||\n        lowr(crm.a)'",
    "from: |\n      upper(crm.b)\n        || lowr(crm.a)",
    "from: |4\n          upper(crm.b) || -- why\n          lowr(crm.a)",
    "from: >-\n      upper(crm.b)\n\n\n      ||\n          lowr(crm.a)",
    "from: upper(crm.b)\n      ||\n\n      lowr(crm.a)",
    "from:\n      'x' || lowr(crm.a)".replace("'x' ||", "1 +"),
]


@pytest.mark.parametrize("scalar", SCALARS)
def test_places_in_files(scalar: str) -> None:
    text = f"link: a\ncrm: {{table: a, key: id}}\nerp: {{table: b, key: id}}\nfields:\n  - erp: x\n    {scalar}\n"
    link, findings = load_link("x.yaml", text=text)
    assert link is None
    assert [f.code for f in findings] == ["L306"]
    mark = findings[0].where
    assert isinstance(mark, Mark)
    assert text.split("\n")[mark.line - 1][mark.column - 1 :].startswith("lowr")


def test_word_lists_do_not_contradict() -> None:
    assert not FUNCTIONS & (MANY_ROWS | NOT_PURE | STATEMENTS)
    assert not BEFORE_PARENTHESIS & (MANY_ROWS | NOT_PURE)


SQL_PIECES = r"""
    crm.a erp.b crm.select crm."x-y" name lowr( sum( ) ( [ ] , ; :: text numeric(3,2) 'x' E'\'' ' " $1 $$ -- /* */
    || - + * case when then else end select from in is null not and between 1 1.5 interval '1_day' at time zone array[
    ? : . -> ->> ~* !~ like escape cast( as extract( year any( over filter with collate date \ 😀 @ # { %
"""
SQL_WORDS = st.sampled_from([*SQL_PIECES.split(), "\n", " ", "\0", "\u00a0"])
SQL_TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(SQL_WORDS, max_size=14).map(" ".join),
    st.lists(SQL_WORDS, max_size=14).map("".join),
)


@settings(max_examples=600, deadline=None)
@given(SQL_TEXTS)
def test_any_text_is_an_expression_or_findings(text: str) -> None:
    expression, findings = parse(text)
    assert (expression is None) == any(not f.endswith("L313") for f in findings)
    if expression is not None:
        rendered = render(expression)
        assert "--" not in rendered.replace("'--'", "") or "'" in rendered or '"' in rendered
        again = to_sql(expression, lambda name: 'crm."' + name.replace('"', '""') + '"')
        twice, more = parse(again)
        assert twice is not None, (again, more)
        assert twice.reads == expression.reads
