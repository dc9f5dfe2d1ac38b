"""The shape of what stands in a file: known keys, texts, names, lists.

Each reader gives a value, or None and a finding that names the key and shows an example.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from replicator.mapping.findings import Findings, near, show
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode
from replicator.model.finding import Mark
from replicator.model.table import TableName

_PART = r'"(?:[^"]|"")+"|[^\s."]+'
_TABLE = re.compile(rf"(?:({_PART})\s*\.\s*)?({_PART})")
_QUOTE_HINT = "put a name with dots or quotes into double quotes, and double those inside"
_COLUMN = re.compile(r'"(?:[^"]|"")+"|[^."]+')


def kind(node: YamlNode) -> str:
    if isinstance(node, ScalarNode):
        return "nothing" if node.is_null else "a single value"
    return "a list" if isinstance(node, SequenceNode) else "a mapping"


def wrong_kind(node: YamlNode, key: str, wanted: str, example: str, found: Findings) -> None:
    found.add("L103", node.mark, f"{key} must be {wanted}, not {kind(node)}", f"for example `{example}`")


def check_keys(node: MappingNode, known: Collection[str], found: Findings) -> None:
    for key, _ in node.entries:
        if key.text not in known:
            hint = near(key.text, known) or f"known are {', '.join(sorted(known))}"
            found.add("L101", key.mark, f"unknown key {show(key.text)}", hint)


def mapping(node: YamlNode, key: str, example: str, found: Findings) -> MappingNode | None:
    if isinstance(node, MappingNode):
        return node
    wrong_kind(node, key, "a mapping", example, found)
    return None


def scalar(node: YamlNode, key: str, example: str, found: Findings) -> ScalarNode | None:
    """A single value that is not nothing."""
    if isinstance(node, ScalarNode) and not node.is_null:
        return node
    wrong_kind(node, key, "a single value", example, found)
    return None


def required(node: MappingNode, key: str, example: str, found: Findings, at: Mark | None = None) -> YamlNode | None:
    value = node.get(key)
    if value is None:
        found.add("L102", at or node.mark, f"the key {key} is missing", f"for example `{example}`")
    return value


def table_name(node: YamlNode, found: Findings) -> TableName | None:
    """`table`, `schema.table`, with parts in double quotes where they hold dots or blanks. Names are exact."""
    text = scalar(node, "table", "table: crm.account", found)
    if text is None:
        return None
    parts = _TABLE.fullmatch(text.text.strip())
    if parts is None:
        hint = "write schema.table; put a part with dots, blanks or quotes into double quotes"
        found.add("L106", text.mark, f"{show(text.text)} is not a table's name", hint)
        return None
    return TableName(_unquoted(parts[1]) if parts[1] else "public", _unquoted(parts[2]))


def column_name(node: YamlNode, key: str, found: Findings) -> str | None:
    """A column's exact name, which may stand in double quotes."""
    text = scalar(node, key, f"{key}: name", found)
    if text is None:
        return None
    written = text.text.strip()
    if not _COLUMN.fullmatch(written):
        last = written.rpartition(".")[2]
        hint = f"write {show(last)}: the node is the key before it" if last.isidentifier() else _QUOTE_HINT
        found.add("L107", text.mark, f"{show(text.text)} is not a column's name", hint)
        return None
    return _unquoted(written)


def column_names(node: YamlNode, key: str, found: Findings) -> tuple[str, ...] | None:
    """One column's name, or a list of them; each once."""
    if not isinstance(node, SequenceNode):
        name = column_name(node, key, found)
        return None if name is None else (name,)
    if not node.items:
        found.add("L113", node.mark, f"{key} is an empty list", "name at least one column")
        return None
    names: list[str] = []
    complete = True
    for item in node.items:
        name = column_name(item, key, found)
        if name in names:
            found.add("L114", item.mark, f"{key} names {show(str(name))} twice", "remove one")
            complete = False
        elif name is not None:
            names.append(name)
        complete &= name is not None
    return tuple(names) if complete else None


def one_of(node: YamlNode, key: str, allowed: Collection[str], found: Findings) -> str | None:
    """One of a few words, which may look like YAML's null."""
    text = node.text if isinstance(node, ScalarNode) else ""
    if text in allowed:
        return text
    wrong = show(text) if text else kind(node)
    found.add("L115", node.mark, f"{key} cannot be {wrong}", near(text, allowed) or f"write {' or '.join(allowed)}")
    return None


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
