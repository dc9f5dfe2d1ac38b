"""The schemas for editors: they know every key that the loaders know, and refuse nothing that these accept."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from replicator.mapping import assertions, cases, config, field_values, load, references, rules, schema_words, sides
from replicator.mapping import fields as field_keys
from replicator.mapping.findings import Findings
from replicator.mapping.json_schema import SCHEMAS
from replicator.mapping.load import load_link
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode, parse_yaml
from replicator.model.config import Settings

from .test_examples import links

ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).parent / "fixtures"
VALIDATORS = {kind: Draft202012Validator(make(())) for kind, make in SCHEMAS.items()}
KNOWING = Draft202012Validator(SCHEMAS["link"](("crm", "erp")))
SHIPPED = sorted((ROOT / "mappings").glob("*/*.yaml"))
LINKS = [path for folder in ("links", "structure", "folders") for path in sorted((FIXTURES / folder).rglob("*.yaml"))]
LINKS = [path for path in LINKS if not path.name.endswith(load.TEST_SUFFIX)]
NUMBER = re.compile(r"[-+]?([0-9]+|[0-9]*\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?")
TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
SEEN_BY_SCHEMA = {"L101", "L102", "L103", "L112", "L113", "L115"}  # codes of which an editor knows the more frequent reasons

TABLES: list[tuple[dict[str, str], Any]] = [
    (schema_words.LINK, sides.LINK_KEYS),
    (schema_words.ASSERT, assertions.KEYS),
    (schema_words.SIDE, sides._SIDE_KEYS),
    (schema_words.FIELD, field_keys.FIELD_KEYS | {"missing"}),
    (schema_words.VALUES, field_values._LONG_FORM),
    (schema_words.KIND_TABLE, references.KIND_TABLE_KEYS),
    (schema_words.LOOKUP, field_values._LOOKUP_KEYS),
    (schema_words.RULES, rules.RULE_WORDS - {"update"}),
    (schema_words.CONFIG, config._KEYS),
    (schema_words.NODE, config._NODE_KEYS),
    (schema_words.TEST_NODE, cases.NODE_KEYS),
    (schema_words.SETTINGS, config.BOUNDS),
    (schema_words.SETTINGS, [setting.name for setting in fields(Settings)]),
    (schema_words.TEST, cases.KEYS),
    (schema_words.CASE, cases.CASE_KEYS),
    (schema_words.CONFLICT, cases.CONFLICT_KEYS),
    (schema_words.PARKED, cases.PARKED_KEYS),
]


def read(text: str) -> Any:
    """The text as an editor understands it, which reads YAML 1.2."""
    root = parse_yaml(text, "x.yaml", Findings())
    return _plain(root) if root is not None else None


def _plain(node: YamlNode) -> Any:
    if isinstance(node, MappingNode):
        return {key.text: _plain(value) for key, value in node.entries}
    if isinstance(node, SequenceNode):
        return [_plain(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    if node.is_null:
        return None
    if node.style:
        return node.text
    number = NUMBER.fullmatch(node.text)
    return TRUTH.get(node.text, (float(node.text) if "." in node.text or number[2] else int(node.text)) if number else node.text)


def objections(kind: str, text: str, validator: Draft202012Validator | None = None) -> list[str]:
    found = (validator or VALIDATORS[kind]).iter_errors(read(text))
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind](()))


@pytest.mark.parametrize(("described", "known"), TABLES, ids=lambda found: "" if isinstance(found, dict) else None)
def test_every_key_is_described(described: dict[str, str], known: Any) -> None:
    assert set(described) == set(known)
    for text in described.values():
        assert re.fullmatch(r"[A-Z].*[^.]\.", text), text
        assert len(text) <= 130
        assert ". " not in text  # one sentence


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_property_has_its_description(kind: str) -> None:
    def properties(part: Any) -> list[dict[str, Any]]:
        if isinstance(part, list):
            return [found for item in part for found in properties(item)]
        if not isinstance(part, dict):
            return []
        own = part.get("properties", {}) if part.get("type") == "object" else {}
        return [*own.values(), *(found for item in part.values() for found in properties(item))]

    found = properties(SCHEMAS[kind](()))
    assert found
    assert all(prop["description"] for prop in found)


@pytest.mark.parametrize("path", LINKS, ids=lambda p: p.stem)
def test_a_link_that_loads_is_accepted(path: Path) -> None:
    link, findings = load_link(path)
    said = objections("link", path.read_text())
    if link is not None:
        assert said == []
    codes = {finding.code for finding in findings}
    if (
        "L102" in codes
        or path.stem == "L105_one_side"
        or (codes & SEEN_BY_SCHEMA and path.stem.startswith(("L101_unknown", "L103_", "L115_")))
    ):
        assert said


@pytest.mark.parametrize("text", links(), ids=lambda text: text.splitlines()[-1].strip(" -")[:40])
def test_an_example_is_accepted(text: str) -> None:
    assert objections("link", text) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_what_is_shipped_is_accepted(path: Path) -> None:
    assert objections("test" if path.name.endswith(load.TEST_SUFFIX) else "link", path.read_text()) == []


def test_configurations() -> None:
    for path in (ROOT / "replicator.yaml", FIXTURES / "configs" / "good" / "replicator.yaml"):
        assert objections("config", path.read_text()) == []
    for name in ("C001_dsn", "C004_engine", "C005_bounds", "L102_keys", "L103_kinds"):
        assert objections("config", (FIXTURES / "configs" / name / "replicator.yaml").read_text())


def test_tests() -> None:
    assert objections("test", (FIXTURES / "tests" / "good_test.yaml").read_text()) == []
    assert objections("test", (FIXTURES / "tests" / "shape_test.yaml").read_text())


@pytest.mark.parametrize(
    "line",
    [
        "  - {crm: a, erp: b, ruel: erp}",
        "  - {crm: a, erp: b, rule: {merge: x, by: y}}",
        "  - {crm: a, erp: b, missing: later}",
        "  - {crm: a, erp: b, link: x, missing: never}",
        "  - {crm: a, erp: b, lookup: {table: erp.country}}",
        "  - {crm: a, erp: b, lookup: {table: erp.country, by: iso2, missing: later}}",
        "  - {crm: a}",
        "  - a",
    ],
)
def test_what_is_wrong_is_marked(line: str) -> None:
    outline = "link: example\ncrm: {table: crm.account, key: id}\nerp: {table: erp.customer, key: customer_no}\nfields:\n"
    assert objections("link", outline + "  - {crm: a, erp: b}\n", KNOWING) == []
    assert objections("link", outline + line + "\n", KNOWING)
