"""JSON Schemas (draft 2020-12) of the three kinds of files, for editors to complete and check what is typed.

They say less than the loaders (whether names and expressions go together is lint's), and never refuse what those accept.
Values come as YAML 1.2 reads them: a plain `null`, `true` or `10` is no text. Where the nodes are not known, any name that
may be a node's stands for one, so that a mistyped key of a field is taken for a column.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from replicator.mapping import schema_words as words
from replicator.mapping.config import BOUNDS, ENGINES
from replicator.model.config import Settings

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NAME = "[a-z][a-z0-9_]*"
NODE = "^[a-z][a-z0-9_]{0,30}$"
TEXT: Schema = {"type": "string"}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
SCALAR_OR_NULL: Schema = {"type": ["string", "number", "boolean", "null"]}
COLUMN: Schema = {"type": ["string", "number", "boolean"], "description": "A column's name, as the database has it."}
COLUMNS: Schema = {"oneOf": [COLUMN, {"type": "array", "items": COLUMN, "minItems": 1, "uniqueItems": True}]}
TABLE: Schema = {"type": "string", "examples": ["crm.account"]}
EXPRESSION: Schema = {**SCALAR_OR_NULL, "title": "SQL expression"}
QUERY: Schema = {"type": "string", "title": "SELECT"}
SWITCH: Schema = {"enum": [True, False, "true", "false"]}
OF_CLASS: dict[str, Schema] = {"class": {"type": "string", "pattern": NODE}, "code": {**SCALAR, "minLength": 1}}
SET = r"^\s*[sS][eE][tT]\b"
DSN = r"^\s*\$\{[A-Za-z_][A-Za-z0-9_]*\}\s*$"


@dataclass(frozen=True, slots=True)
class _Names:
    """The nodes that may be named; any, if there are none."""

    nodes: tuple[str, ...]

    def pattern(self, keys: Collection[str] = ()) -> str:
        """Of a node's name, which is none of these keys."""
        if self.nodes:
            return f"^({'|'.join(self.nodes)})$"
        others = f"(?!(?:{'|'.join(sorted(keys))})$)" if keys else ""
        return f"^{others}[a-z][a-z0-9_]{{0,30}}$"

    def per_node(self, value: Schema) -> Schema:
        return {"type": "object", "patternProperties": {self.pattern(): value}, "additionalProperties": False}

    def one(self, *but: str) -> Schema:
        return {"enum": list(self.nodes)} if self.nodes else {"type": "string", "pattern": self.pattern(but), "title": "A node"}


def link_schema(nodes: Sequence[str] = ()) -> Schema:
    names = _Names(tuple(nodes))
    per_node = names.per_node
    set_columns: Schema = {"type": "string", "pattern": SET}
    columns = {names.pattern(("loose",)): COLUMNS}
    loose = {**SWITCH, "description": words.MATCH["loose"]}
    match: Schema = {
        "type": "object", "properties": {"loose": loose}, "patternProperties": columns, "additionalProperties": False,
        "minProperties": 2,
    }  # fmt: skip
    keys: dict[str, Schema] = {
        "link": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"},
        "flow": {"type": "string", "pattern": rf"^\s*{NAME}\s*(->|<->)\s*{NAME}\s*$", "examples": ["crm -> erp", "crm <-> erp"]},
        "match": {"anyOf": [match, {"type": "array", "items": match, "minItems": 1}]},
        "create": per_node({"anyOf": [_word("never", "Records are never made there."), EXPRESSION]}),
        "route": per_node(EXPRESSION),
        "delete": per_node(
            {
                "anyOf": [
                    _word("delete", "The record is deleted there too."),
                    _word("ignore", "Nothing happens there."),
                    {**set_columns, "examples": ["set active = false"]},
                ]
            }
        ),
        "restore": per_node({**set_columns, "examples": ["set active = true"]}),
        "stub": per_node({**set_columns, "examples": ["set name = 'to come'"]}),
        "update_deleted": {
            "oneOf": [
                _word("delete", "The record is gone, and the edit is in the log."),
                _word("update", "The edit makes the record again, under its old key."),
            ]
        },
        "rule": {"anyOf": [*_rules("latest", "queue"), names.one("merge", "delta", "update")]},
        "groups": {"type": "object", "additionalProperties": {"type": "array", "items": SCALAR, "minItems": 2}},
        "fields": {"type": "array", "items": _field(names), "minItems": 1},
        "assert": _one_or_more(_assertion(names)),
    }
    side = _object(
        words.SIDE,
        {
            "table": TABLE,
            "query": QUERY,
            "key": COLUMNS,
            "where": EXPRESSION,
            "derived": {"type": "object", "additionalProperties": QUERY},
            "slice": SWITCH,
            "extends": _one_or_more(_object(words.EXTENDS, {"table": TABLE, "key": COLUMNS}, ["table", "key"])),
        },
        ["key"],
    )
    side |= {"oneOf": [{"required": ["table"]}, {"required": ["query"]}], "description": "The link's end on this node."}
    found = _object(words.LINK, keys, ["link", "fields"])
    return _whole("A link of the replicator", found | {"patternProperties": {names.pattern(words.LINK): side}})


def _assertion(names: _Names) -> Schema:
    found = _object(words.ASSERT, {"name": SCALAR, "per": {"const": "record"}}, ["name"])
    query = {**QUERY, "description": "The SELECT on this node."}
    return found | {"patternProperties": {names.pattern(words.ASSERT): query}, "minProperties": 3}


def _field(names: _Names) -> Schema:
    merge = _object({"merge": words.RULES["merge"]}, {"merge": EXPRESSION}, ["merge"])
    pairs: Schema = {"type": "object", "additionalProperties": SCALAR, "minProperties": 1}
    long_form = _object(words.VALUES, {"map": pairs, "default": SCALAR, "back_default": SCALAR}, ["map"])
    lookup = _object(
        words.LOOKUP,
        {
            "table": TABLE,
            "by": COLUMN,
            "match": {"type": "object", "additionalProperties": EXPRESSION, "minProperties": 1},
            "key": COLUMN,
            "on": names.one(),
            "missing": _missing("wait", "null"),
            "fold": SWITCH,
            "default": SCALAR,
        },
        ["table"],
    )
    keys: dict[str, Schema] = {
        "name": SCALAR,
        "to": names.one(),
        "rule": {"anyOf": [*_rules("latest", "delta", "queue"), names.one("merge", "update"), merge]},
        "values": {"anyOf": [long_form, pairs]},
        "lookup": {**lookup, "oneOf": [{"required": ["by"]}, {"required": ["match"]}]},
        "link": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "additionalProperties": {"anyOf": [SCALAR, names.per_node(SCALAR)]},
                    "minProperties": 1,
                    "examples": [{"customer": "account", "order": {"crm": "quote", "erp": "sale.order"}}],
                },
            ]
        },
        "kinds": names.per_node(_object(words.KIND_TABLE, {"table": TABLE, "by": COLUMNS, "key": COLUMN}, ["table", "by"])),
        "missing": _missing("wait", "null", "later", "stub"),
        "convert": names.per_node(EXPRESSION),
        "from": EXPRESSION,
        "value": SCALAR_OR_NULL,
        "code": names.one(),
        "initial": {"anyOf": [EXPRESSION, names.per_node(EXPRESSION)]},
    }
    several: Schema = {"type": "array", "items": COLUMN, "minItems": 2, "maxItems": 2, "uniqueItems": True}
    column: Schema = {"anyOf": [COLUMN, several], "description": "The column on this node; two for a kind of record and its key."}
    return _object(words.FIELD, keys, []) | {
        "patternProperties": {names.pattern(words.FIELD): column},
        "minProperties": 2,
        "dependentRequired": {"missing": ["link"], "kinds": ["link"]},
    }


def config_schema(_: Sequence[str] = ()) -> Schema:
    defaults = {setting.name: setting.default for setting in fields(Settings)}
    node_keys: dict[str, Schema] = {"engine": {"enum": list(ENGINES)}, "dsn": {"type": "string", "pattern": DSN}, **OF_CLASS}
    node = _object(words.NODE, node_keys, ["engine", "dsn"])

    def number(name: str) -> Schema:
        whole = {"type": "integer", "minimum": BOUNDS[name].least, "maximum": BOUNDS[name].most}
        return {"anyOf": [whole, {"type": "string", "pattern": "^[0-9][0-9_]*$"}], "default": defaults[name]}

    nodes = {"type": "object", "patternProperties": {NODE: node}, "additionalProperties": False}
    keys: dict[str, Schema] = {
        "nodes": {**nodes, "minProperties": 2},
        "mappings": {"type": "string"},
        "settings": _object(words.SETTINGS, {name: number(name) for name in words.SETTINGS}, []),
    }
    return _whole("The configuration of the replicator", _object(words.CONFIG, keys, ["nodes", "mappings"]))


def case_schema(nodes: Sequence[str] = ()) -> Schema:
    """Of `*_test.yaml` beside the links, and of a folder's `_test.yaml`, which has no `test` and no `cases`."""
    names = _Names(tuple(nodes))
    given_value: Schema = {"anyOf": [SCALAR_OR_NULL, _object({"sql": "An SQL expression."}, {"sql": SCALAR}, ["sql"])]}
    but = _object({"not": "Anything but this value."}, {"not": SCALAR_OR_NULL}, ["not"])
    row: Schema = {"type": "object", "additionalProperties": given_value}
    expected_row: Schema = {"type": "object", "additionalProperties": {"anyOf": [*given_value["anyOf"], but]}}
    given = names.per_node({"type": "object", "additionalProperties": _one_or_more(row)})
    step: Schema = {"anyOf": [_word("sync", "The replicator runs until it has nothing left to do."), {"$ref": "#/$defs/edit"}]}
    conflict = _object(words.CONFLICT, {key: {"anyOf": [SCALAR_OR_NULL, but]} for key in words.CONFLICT}, [])
    value = {"anyOf": [SCALAR_OR_NULL, but], "description": "The field's value there."}
    conflict |= {"patternProperties": {names.pattern(words.CONFLICT): value}}
    parked = _object(words.PARKED, {key: {"anyOf": [SCALAR_OR_NULL, but]} for key in words.PARKED}, [])
    expect = _object(words.EXPECT, {"conflicts": _rows(conflict), "parked": _rows(parked)}, [])
    tables: Schema = {"type": "object", "additionalProperties": _rows(expected_row), "description": "Rows, table by table."}
    expect |= {"patternProperties": {names.pattern(words.EXPECT): tables}}
    steps: Schema = {"$ref": "#/$defs/steps"}
    case = _object(words.CASE, {"case": SCALAR, "given": given, "do": steps, "expect": expect}, ["case", "do", "expect"])
    keys: dict[str, Schema] = {
        "test": _one_or_more(SCALAR),
        "nodes": {
            "type": "object",
            "patternProperties": {NODE: _object(words.TEST_NODE, OF_CLASS, [])},
            "additionalProperties": False,
        },
        "schema": names.per_node(_one_or_more(TEXT)),
        "given": given,
        "before": steps,
        "cases": {"type": "array", "items": case, "minItems": 1},
    }
    rows_or_sql: Schema = {"anyOf": [TEXT, {"type": "object", "additionalProperties": _one_or_more(row)}]}
    found = _object(words.TEST, keys, []) | {"dependentRequired": {"test": ["cases"], "cases": ["test"]}}
    found["$defs"] = {
        "edit": names.per_node({**rows_or_sql, "description": "SQL, or rows to insert, in one transaction."}),
        "steps": {"anyOf": [step, {"type": "array", "items": steps}]},
    }
    return _whole("Tests of links of the replicator", found)


SCHEMAS: Mapping[str, Callable[[Sequence[str]], Schema]] = {"link": link_schema, "config": config_schema, "test": case_schema}


def _whole(title: str, found: Schema) -> Schema:
    return {"$schema": DRAFT, "title": title, **found}


def _object(described: Mapping[str, str], keys: Mapping[str, Schema], required: list[str]) -> Schema:
    """A mapping of these keys; each is described, and no other is known."""
    properties = {key: {**keys[key], "description": text} for key, text in described.items()}
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def _one_or_more(value: Schema) -> Schema:
    return {"anyOf": [value, {"type": "array", "items": value}]}


def _rows(row: Schema) -> Schema:
    """One row, rows (`...` at the end: and others), or how many."""
    items: Schema = {"anyOf": [row, _word("...", "There may be others.")]}
    return {"anyOf": [row, {"type": "array", "items": items}, {"type": "integer", "minimum": 0}]}


def _word(word: str, description: str) -> Schema:
    return {"const": word, "description": description}


def _rules(*names: str) -> list[Schema]:
    return [_word(name, words.RULES[name]) for name in names]


def _missing(*allowed: str) -> Schema:
    """`null` is a word here, and YAML's null means it too."""
    return {"enum": [*allowed, None] if "null" in allowed else [*allowed]}
