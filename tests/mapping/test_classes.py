"""Links of a class of nodes: each is as if it had been written for the node, and what is wrong is said once."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from replicator.mapping import schema_words as words
from replicator.mapping.config import load_config
from replicator.mapping.load import load_links
from replicator.model.config import Config
from replicator.model.finding import Finding, Mark
from replicator.model.link import Link

# %E is the node, wherever a file names one; schemas, tables, aliases, columns and texts that are called `erp` stay.
LINKS = {
    "customer": """\
link: customer
crm:
  table: crm.account
  key: id
  derived: {"erp": "select f.erp from crm.factory f, erp.x where f.id = crm.factory_id and erp.x.id = f.id"}
  where: "crm.deleted_at is null"
%E:
  table: erp.customer
  key: customer_no
  extends: {table: erp.party, key: id}
  derived:
    erp: "select max(erp.party.at) from erp.party, erp.party p where p.id = %E.party_id and 'erp.x' <> p.erp and %E.\\"No\\" = p.no"
  where: "%E . active and %E.kind <> 'erp.kind' -- erp.comment"
flow: crm <-> %E
match:
  - {crm: vat, %E: tax_id}
  - {crm: [name, zip], %E: [company, erp], loose: true}
create: {%E: "crm.stage = 'erp'", crm: "%E.state <> 'P' and \\"%E\\".\\"erp\\" = 'x'"}
delete: {%E: "set active = false, closed = coalesce(%E.closed, current_date)", crm: "set deleted_at = now()"}
restore: {%E: "set active = true, erp = null", crm: "set deleted_at = null"}
stub: {%E: "set company = 'CRM ' || crm.id", crm: "set name = 'ERP ' || cast(%E.customer_no as text)"}
rule: latest
groups: {address: [street, zip]}
fields:
  - {crm: name, %E: company}
  - {crm: street, %E: road, rule: %E}
  - {crm: zip, %E: postal_code, rule: %E}
  - {crm: ref, %E: crm_ref, to: %E}
  - {%E: rep, crm: rep_id, link: rep, missing: stub, to: %E}
  - {crm: main_id, %E: main_no, link: customer, missing: later}
  - {crm: status, %E: state, values: {active: erp, dormant: D}, initial: {%E: "coalesce(crm.status, 'erp')"}}
  - {crm: country, %E: country_id, lookup: {table: erp.country, by: iso2, on: %E, missing: null}}
  - {crm: unit_id, %E: unit, lookup: {table: crm.unit, by: erp, key: no, on: crm}}
  - {%E: region, lookup: {table: erp.region, match: {erp: "crm.country", area: "left(crm.zip, 2)"}}, name: region}
  - {crm: discount, %E: rebate, convert: {%E: "crm.discount * 100", crm: "%E.rebate / 100"}}
  - {crm: score, %E: points, rule: {merge: "greatest(crm.score, %E.points)"}}
  - {%E: display, from: "upper(crm.name)"}
  - {crm: shown, from: "upper(%E.erp) || '%%E.erp'"}
  - {%E: source, value: erp}
  - {%E: made, initial: "true"}
  - {crm: [kind, subject], %E: subject, link: {customer: {crm: erp, %E: erp}, rep: rep}, kinds: {crm: {table: crm.kind, by: erp}}}
  - {crm: about, %E: [ref_kind, ref], link: {customer: account, rep: rep}, kinds: {%E: {table: erp.kind, by: name, key: erp}}}
assert:
  - {name: erp, per: record, crm: "select q.id, 1 from crm.quote q", %E: "select s.no, 1 from erp.sale s"}
""",
    "rep": """\
link: rep
crm: {table: crm.rep, key: id}
%E: {table: erp.rep, key: no}
fields:
  - {crm: name, %E: name}
""",
    "sale": """\
link: sale
flow: %E -> crm
crm: {table: crm.sale, key: no}
%E: {query: "select erp.no, p.x from erp.sale erp join erp.party p on p.erp = erp.no", key: no}
fields:
  - {crm: no, %E: no}
  - {crm: x, from: "%E.x"}
""",
    "phone": """\
link: phone
crm: {table: crm.account, key: id, slice: true, where: "crm.phone <> ''"}
%E: {table: erp.way, key: id}
fields:
  - {crm: id, %E: party, link: customer}
  - {crm: phone, %E: value}
update_deleted: update
""",
}
UNUSED = {"default", "back_default", "map", "fold", "code", "route"}  # of the keys above; the last two are tested below

NODES = """\
nodes:
  crm: {engine: postgres, dsn: "${CRM_DSN}"}
  erp_north: {engine: postgres, dsn: "${NORTH_DSN}", class: erp, code: NORTH}
  erp_south: {engine: postgres, dsn: "${SOUTH_DSN}", class: erp, code: SOUTH}
mappings: links
"""
PLAIN = """\
nodes:
  crm: {engine: postgres, dsn: "${CRM_DSN}"}
  erp: {engine: postgres, dsn: "${ERP_DSN}", code: "it's"}
mappings: links
"""
HEAD = "link: order\ncrm: {table: crm.quote, key: id}\nerp: {table: erp.sale, key: no}\n"


def folder(path: Path, links: dict[str, str], node: str = "erp") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in links.items():
        (path / f"{name}.yaml").write_text(re.sub("(?<!%)%E", node, text))
    return path


def loaded(path: Path, links: dict[str, str], nodes: str = NODES) -> tuple[Config, list[Finding]]:
    folder(path / "links", links)
    (path / "replicator.yaml").write_text(nodes)
    config, findings = load_config(path / "replicator.yaml", {})
    assert config is not None, findings
    return config, findings


def one(path: Path, link: str, nodes: str = NODES) -> dict[str, Link]:
    config, findings = loaded(path, {"order": link}, nodes)
    assert [str(f) for f in findings if f.severity == "error"] == []
    return {link.name: link for link in config.links}


def plain(value: Any) -> Any:
    """Without places, what is part of the names of links alone, and quotes that the node's name does not need."""
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if not isinstance(getattr(value, f.name), Mark)}
    if isinstance(value, dict):
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, tuple | frozenset | list):
        return type(value)(plain(part) for part in value) if not isinstance(value, frozenset) else sorted(map(plain, value))
    return value.replace("@erp_north", "").replace('"erp_north"', "erp_north") if isinstance(value, str) else value


def test_an_instance_is_the_link_as_if_written_for_the_node(tmp_path: Path) -> None:
    config, findings = loaded(tmp_path / "class", LINKS)
    assert [str(f) for f in findings if f.severity == "error"] == []
    by_hand, _ = load_links(folder(tmp_path / "hand", LINKS, "erp_north"), ["crm", "erp_north"])
    made = [link for link in config.links if link.name.endswith("@erp_north")]
    assert [link.name for link in config.links] == [
        f"{name}@{node}" for name in sorted(LINKS) for node in ("erp_north", "erp_south")
    ]
    assert [link.declared for link in made] == [link.name for link in by_hand] == sorted(LINKS)
    for instance, link in zip(made, by_hand, strict=True):
        assert plain(instance) == plain(link)
    generic, _ = load_links(tmp_path / "class" / "links", ["crm", "erp"])
    assert [link.mark for link in generic] == [link.mark for link in made]
    assert [f.mark for link in generic for f in link.fields] == [f.mark for link in made for f in link.fields]


def test_the_links_above_use_every_key() -> None:
    tables = (
        words.LINK,
        words.ASSERT,
        words.MATCH,
        words.SIDE,
        words.EXTENDS,
        words.FIELD,
        words.KIND_TABLE,
        words.LOOKUP,
        words.VALUES,
    )
    used = {key for text in LINKS.values() for key in re.findall(r"[\w]+(?=:)", text)}
    assert {key for table in tables for key in table} - used == UNUSED


def test_references_lead_to_the_instance_between_the_same_nodes(tmp_path: Path) -> None:
    config, _ = loaded(tmp_path, LINKS)
    south = next(link for link in config.links if link.name == "phone@erp_south")
    references = [field.reference for field in south.fields if field.reference]
    assert [reference.links for reference in references] == [("customer@erp_south",)]


def test_a_route_is_part_of_the_condition_of_making(tmp_path: Path) -> None:
    text = HEAD + 'route: {erp: "crm.factory"}\ncreate: {erp: "crm.stage = \'won\' -- or lost"}\nfields: [{crm: a, erp: b}]\n'
    links = one(tmp_path, text)
    north, south = links["order@erp_north"], links["order@erp_south"]
    assert (
        north.create["erp_north"].text
        == "(crm.stage = 'won' -- or lost\n) and 'NORTH' = any (cast(array[(crm.factory)] as text[]))"
    )
    assert "'SOUTH' = any" in south.create["erp_south"].text
    assert north.create["erp_north"].reads == {"factory", "stage"}
    assert north.route == {}
    assert "erp_south" not in north.create


def test_a_route_alone_and_one_that_is_never(tmp_path: Path) -> None:
    alone = one(tmp_path / "1", HEAD + 'route: {erp: "crm.factory"}\nfields: [{crm: a, erp: b}]\n')["order@erp_north"]
    assert alone.create["erp_north"].text == "'NORTH' = any (cast(array[(crm.factory)] as text[]))"
    text = HEAD + 'route: {erp: "crm.factory"}\ncreate: {erp: never}\nfields: [{crm: a, erp: b}]\n'
    config, findings = loaded(tmp_path / "2", {"order": text})
    assert [f.code for f in findings] == ["L210"]
    assert config.links[0].create["erp_north"].text == "false"


def test_a_plain_node_has_no_route_and_has_a_code(tmp_path: Path) -> None:
    text = (
        HEAD + 'route: {erp: "crm.factory"}\nfields: [{crm: a, erp: b}, {crm: factory, code: erp}, {erp: "source", code: crm}]\n'
    )
    link = one(tmp_path, text, PLAIN)["order"]
    assert link.create == {}
    assert link.route == {}
    assert [next(iter(f.convert.values())).text for f in link.fields[1:]] == ["'it''s'", "'crm'"]
    assert [f.writes for f in link.fields[1:]] == [{"crm"}, {"erp"}]
    assert [f.code for f in link.fields] == [None] * 3


def test_the_code_of_a_class_is_that_of_the_node(tmp_path: Path) -> None:
    links = one(tmp_path, HEAD + "fields: [{crm: a, erp: b}, {crm: factory, code: erp}]\n")
    assert [link.fields[1].convert["crm"].text for link in links.values()] == ["'NORTH'", "'SOUTH'"]


def test_a_code_is_the_name_if_not_said(tmp_path: Path) -> None:
    nodes = NODES.replace(", code: SOUTH", "")
    links = one(tmp_path, HEAD + "fields: [{crm: a, erp: b}, {crm: factory, code: erp}]\n", nodes)
    assert [link.fields[1].convert["crm"].text for link in links.values()] == ["'NORTH'", "'erp_south'"]


def test_a_node_of_a_class_can_be_named_itself(tmp_path: Path) -> None:
    text = HEAD.replace("erp:", "erp_south:") + "fields: [{crm: a, erp_south: b}, {crm: f, code: erp_south}]\n"
    links = one(tmp_path, text)
    assert list(links) == ["order"]
    assert links["order"].fields[1].convert["crm"].text == "'SOUTH'"


def test_a_reference_out_of_the_two_nodes_is_refused(tmp_path: Path) -> None:
    customer = "link: customer\ncrm: {table: crm.account, key: id}\nerp_south: {table: erp.customer, key: no}\nfields: [{crm: a, erp_south: b}]\n"
    _, findings = loaded(tmp_path, {"order": HEAD + "fields: [{crm: a, erp: b, link: customer}]\n", "customer": customer})
    assert [f.code for f in findings] == ["L403"]


def test_what_holds_for_all_nodes_is_said_once(tmp_path: Path) -> None:
    """A stub on the CRM is passed on to the other factory. Only the links of the nodes show it."""
    rep = "link: rep\ncrm: {table: crm.rep, key: id}\nerp: {table: erp.rep, key: no}\nfields: [{crm: a, erp: b}]\n"
    _, findings = loaded(tmp_path, {"order": HEAD + "fields: [{crm: a, erp: b, link: rep, missing: stub}]\n", "rep": rep})
    assert [f.code for f in findings] == ["L410"]
    assert "no stub of link rep can be made on crm" in findings[0].message


def test_a_ring_through_two_nodes_of_a_class(tmp_path: Path) -> None:
    move = "link: move\nerp_north: {table: erp.sale, key: no}\nerp_south: {table: erp.sale, key: no}\nfields: [{erp_north: a, erp_south: a}]\n"
    _, findings = loaded(tmp_path, {"order": HEAD + "fields: [{crm: a, erp: b}]\n", "move": move})
    assert [f.code for f in findings] == ["L409"]


@pytest.mark.parametrize(
    ("links", "code", "words"),
    [
        ("erp: {table: a.b, key: id}\nshop: {table: a.c, key: id}\nfields: [{erp: a, shop: b}]\n", "L119", "are both classes"),
        ("erp_south: {table: a.b, key: id}\nerp: {table: a.c, key: id}\nfields: [{erp: a, erp_south: b}]\n", "L119", "is itself one"),
        ("crm: {table: a.b, key: id}\nerq: {table: a.c, key: id}\nfields: [{crm: a, erq: b}]\n", "L406", "'erq' is not declared"),
        ("crm: {table: a.b, key: id}\nerp: {table: a.c, key: id}\nflow: erp -> crm\nroute: {erp: crm.f}\nfields: [{crm: a, erp: b}]\n", "L111", "never writes"),
        ("crm: {table: a.b, key: id}\nerp: {table: a.c, key: id}\nroute: {erp: erp.f}\nfields: [{crm: a, erp: b}]\n", "L310", "record of crm"),
        ("crm: {table: a.b, key: id}\nerp: {table: a.c, key: id}\nfields: [{crm: a, erp: b}, {crm: c, code: erp_south}]\n", "L115", "code"),
        ("crm: {table: a.b, key: id}\nerp: {table: a.c, key: id}\nfields: [{crm: a, erp: b, code: erp}]\n", "L202", "code"),
    ],
)  # fmt: skip
def test_what_cannot_be(tmp_path: Path, links: str, code: str, words: str) -> None:
    nodes = NODES.replace("mappings", '  shop_1: {engine: postgres, dsn: "${SHOP}", class: shop}\nmappings')
    config, findings = loaded(tmp_path, {"order": f"link: order\n{links}"}, nodes)
    assert [f.code for f in findings if f.severity == "error"] == [code]
    assert any(words in f.message for f in findings)
    assert config.links == ()
