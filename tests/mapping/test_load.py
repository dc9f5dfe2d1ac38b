"""A link file to its model: every form of the reference, exactly; and any file gives findings, never an exception."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.mapping.load import load_link, load_links
from replicator.model.finding import Mark
from replicator.model.link import Expression, Field, Kind, Link, Lookup, Missing, Reference, ValueMap
from replicator.model.table import TableName

REFERENCE = """\
link: customer
crm: {table: account, key: id, where: "crm.deleted_at is null"}
erp: {table: 'erp."Cus""tomer-x"', key: [company, customer_no]}
flow: crm <-> erp
match: {crm: vat_number, erp: tax_id}
create: {erp: "crm.stage = 'customer'", crm: never}
delete: {erp: "SET active = false, \\"Closed-On\\" = current_date, n = coalesce(erp.n, 0) + 1", crm: ignore}
rule: crm
fields:
  - {crm: name, erp: customer_name}
  - {crm: id, erp: crm_ref, to: erp}
  - {crm: credit_limit, erp: credit_limit, rule: erp, initial: {erp: "coalesce(crm.credit_limit, 0)"}}
  - {erp: state, crm: status, rule: latest, values: {A: active, true: yes}}
  - {crm: status, erp: state_text, to: erp, values: {map: {a: 1, b: 1}, default: X}}
  - {crm: country_code, erp: country_id, lookup: {table: erp.country, by: iso2, missing: null}}
  - {erp: unit, crm: unit_id, lookup: {table: crm.unit, by: code, key: unit_no, on: crm}, name: the unit}
  - {crm: sales_rep_id, erp: rep_no, link: customer, missing: null}
  - {erp: display_name, from: "upper(crm.name) || ', ' || crm.city"}
  - {erp: source_system, value: CRM}
  - {crm: source_system, value: "it's"}
  - {erp: a, value: 12.50}
  - {erp: b, value: "12.50"}
  - {erp: c, value: null}
  - {erp: d, value: True}
  - {erp: e, value: 007}
  - {erp: f, value: 2024-01-01}
  - {erp: active, initial: "true"}
  - {crm: discount, erp: discount_pct, convert: {erp: "crm.discount * 100", crm: "erp.discount_pct / 100"}}
"""


def load(text: str) -> Link:
    link, findings = load_link("x.yaml", text=text)
    assert [str(f) for f in findings if f.severity == "error"] == []
    assert link is not None
    return link


def by_name(link: Link) -> dict[str, Field]:
    return {field.name: field for field in link.fields}


def test_the_outline() -> None:
    link = load(REFERENCE)
    assert (link.name, link.two_way, link.rule.owner) == ("customer", True, "crm")
    crm, erp = link.sides
    assert (crm.node, crm.table, crm.key) == ("crm", TableName("public", "account"), ("id",))
    assert (erp.node, erp.table, erp.key) == ("erp", TableName("erp", 'Cus"tomer-x'), ("company", "customer_no"))
    assert crm.where == Expression("crm.deleted_at is null", Mark("x.yaml", 2, 40), "crm", frozenset({"deleted_at"}))
    assert erp.where is None
    assert link.match == {"crm": ("vat_number",), "erp": ("tax_id",)}
    assert link.match_mark == Mark("x.yaml", 5, 8)
    assert {node: e.text for node, e in link.create.items()} == {"erp": "crm.stage = 'customer'", "crm": "false"}


def test_deletes() -> None:
    link = load(REFERENCE)
    assert link.delete["crm"].kind == "ignore"
    rule = link.delete["erp"]
    assert rule.kind == "set"
    assert [(column, e.text, e.reads) for column, e in rule.assignments] == [
        ("active", "false", frozenset()),
        ("Closed-On", "current_date", frozenset()),
        ("n", "coalesce(erp.n, 0) + 1", frozenset({"n"})),
    ]
    lines = REFERENCE.split("\n")
    for _, expression in rule.assignments:
        mark = expression.mark
        assert lines[mark.line - 1][mark.column - 1 :].startswith(expression.text)


def test_every_flow_has_a_delete_rule() -> None:
    text = "link: a\ncrm: {table: a, key: id}\nerp: {table: b, key: id}\nflow: erp -> crm\nfields: [{crm: x, erp: y}]\n"
    link = load(text)
    assert link.flows == {("erp", "crm")}
    assert {node: rule.kind for node, rule in link.delete.items()} == {"crm": "delete"}
    assert link.fields[0].writes == {"crm"}
    assert link.match == {}


def test_fields() -> None:
    fields = by_name(load(REFERENCE))
    both = frozenset({"crm", "erp"})
    assert list(fields) == [
        "name", "id", "credit_limit", "state", "status", "country_code", "the unit", "sales_rep_id", "display_name",
        "source_system", "crm_source_system", "a", "b", "c", "d", "e", "f", "active", "discount",
    ]  # fmt: skip
    assert (fields["name"].writes, fields["name"].rule.owner) == (both, "crm")
    assert fields["id"].writes == {"erp"}
    assert (fields["credit_limit"].writes, fields["credit_limit"].rule.owner) == (both, "erp")
    assert fields["credit_limit"].initial["erp"].reads == {"credit_limit"}
    assert (fields["state"].first, fields["state"].rule.kind) == ("erp", "latest")
    assert fields["state"].values == ValueMap((("A", "active"), ("true", "yes")))
    assert fields["status"].values == ValueMap((("a", "1"), ("b", "1")), "X", None)
    assert (fields["active"].writes, fields["active"].initial["erp"].text) == (frozenset(), "true")
    assert fields["discount"].convert["crm"].node == "erp"


def test_lookups_and_references() -> None:
    fields = by_name(load(REFERENCE))
    country, unit, rep = (fields[name] for name in ("country_code", "the unit", "sales_rep_id"))
    table = TableName("erp", "country")
    assert country.lookup == Lookup("erp", table, "iso2", "id", Missing.NULL, Mark("x.yaml", 15, 50))
    assert unit.lookup is not None
    assert (unit.lookup.node, unit.lookup.key, unit.lookup.missing) == ("crm", "unit_no", Missing.WAIT)
    assert rep.reference == Reference((Kind("customer", {}, Mark("x.yaml", 17, 44)),), Missing.NULL, Mark("x.yaml", 17, 44))


def test_constants_are_literals() -> None:
    fields = by_name(load(REFERENCE))
    alone = {name: field for name, field in fields.items() if len(field.columns) == 1 and field.convert}
    texts = {name: field.convert[field.first].text for name, field in alone.items()}
    del texts["display_name"]
    assert texts == {
        "source_system": "'CRM'", "crm_source_system": "'it''s'", "a": "12.50", "b": "'12.50'", "c": "NULL",
        "d": "true", "e": "'007'", "f": "'2024-01-01'",
    }  # fmt: skip


def test_names_stay_when_a_field_is_added() -> None:
    text = "link: a\ncrm: {table: a, key: id}\nerp: {table: b, key: id}\nfields:\n"
    text += "  - {crm: x, erp: y}\n  - {crm: x, erp: z, to: erp}\n"
    assert list(by_name(load(text))) == ["x", "x_z"]


def test_a_folder(tmp_path: Path) -> None:
    one = "link: NAME\ncrm: {table: a, key: id}\nerp: {table: b, key: id}\nfields: [{crm: x, erp: y}]\n"
    for name in ("b.yaml", "a.yaml", "a_test.yaml", "note.txt", ".hidden.yaml"):
        (tmp_path / name).write_text(one.replace("NAME", name[0]) if name[0] in "ab" else "x")
    (tmp_path / "sub.yaml").mkdir()
    links, findings = load_links(tmp_path)
    assert ([link.name for link in links], findings) == (["a", "b"], [])


def test_no_links(tmp_path: Path) -> None:
    assert [f.code for f in load_links(tmp_path)[1]] == ["L408"]
    assert [f.code for f in load_links(tmp_path / "nowhere")[1]] == ["C008"]
    assert [f.code for f in load_links("a\0b")[1]] == ["C008"]


def test_nodes_may_be_words_of_sql() -> None:
    text = "link: a\norder: {table: a, key: id}\nend: {table: b, key: id}\n"
    text += "fields:\n  - {order: x, from: end.y || 'a'}\n"
    assert load(text).fields[0].convert["order"].reads == {"y"}


PIECES = st.sampled_from(
    [*" \n{}[]:,'\"~|", "\n  - ", "crm", "erp", "crm.name", "values", "&a ", "*a"],
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(REFERENCE)), st.integers(0, 12), PIECES), max_size=4))
def test_a_damaged_file_gives_findings(edits: list[tuple[int, int, str]]) -> None:
    text = REFERENCE
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    link, findings = load_link("x.yaml", text=text)
    assert (link is None) == any(f.severity == "error" for f in findings)
    lines = text.count("\n") + 2
    assert all(isinstance(f.where, Mark) and 1 <= f.where.line <= lines for f in findings)


LEAVES = st.sampled_from(["", "a", "crm.x", "null", "never", "latest", "erp", "set a = b", "a -> b", "12", "x.y.z",
                         "delta", "queue", "update", "greatest(crm.x, erp.x)"])  # fmt: skip
PARTS = st.sampled_from(["crm", "erp", "table", "key", "x", "merge"])
SHAPES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(PARTS, inner),
    max_leaves=4,
)
KEYS = ["link", "crm", "erp", "flow", "match", "create", "delete", "rule", "fields", "groups", "update_deleted"]
FIELD_KEYS = ["crm", "erp", "to", "rule", "values", "lookup", "link", "missing"]
FIELD_KEYS += ["convert", "from", "value", "initial", "name"]


def written(shape: object) -> str:
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{key}: {written(value)}" for key, value in shape.items()) + "}"
    if isinstance(shape, list):
        return "[" + ", ".join(map(written, shape)) + "]"
    return "'" + str(shape) + "'" if shape else "~"


@settings(max_examples=120, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), SHAPES),
    st.lists(st.dictionaries(st.sampled_from(FIELD_KEYS), SHAPES, max_size=4), max_size=3),
)
def test_any_shape_gives_findings(top: dict[str, object], fields: list[dict[str, object]]) -> None:
    whole = {"crm": {"table": "a", "key": "id"}, "erp": {"table": "b", "key": "id"}, **top, "fields": fields}
    text = "\n".join(f"{key}: {written(value)}" for key, value in whole.items())
    link, findings = load_link("x.yaml", text=text)
    assert (link is None) == any(f.severity == "error" for f in findings)
    assert not any(f.code == "L005" for f in findings)


def test_hints_say_what_would_help() -> None:
    """Where the obvious hint is what the author did already."""
    text = """\
link: quote
crm: {table: crm.quote, key: id}
erp: {table: erp.sale, key: no}
fields:
  - {crm: status, erp: state, to: crm, values: {draft: open, sent: open}}
  - {crm: unit, lookup: {table: crm.unit, on: crm, match: {code: "erp.unit"}}}
"""
    _, findings = load_link("x.yaml", text=text)
    hints = {finding.code: finding.hint for finding in findings}
    assert hints["L206"].startswith("values reads from the node named first: write erp's column before crm's")
    assert hints["L101"] == "remove it: the table is on crm, whose column the field fills"
