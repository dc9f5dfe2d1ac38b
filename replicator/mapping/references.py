"""References to records of other links: `link: customer`, or `link: {customer: account, quote: ...}` for several kinds.

A reference to several kinds is held by two columns, the kind and the key, or by one text `kind,key`. It is read as one field
for each column that is written: `part` tells them apart; where one text carries both, the field of the key writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from replicator.mapping import shape
from replicator.mapping.field_values import read_missing
from replicator.mapping.findings import show
from replicator.mapping.sides import Scope
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode
from replicator.model.link import Field, Group, Kind, KindTable, Reference

MISSING = ("wait", "null", "later", "stub")
KIND_TABLE_KEYS = frozenset(("table", "by", "key"))
_BESIDE = frozenset(("link", "missing", "kinds", "to", "rule", "name"))
_EXAMPLE = "{crm: [object_type, object_id], erp: subject, link: {customer: account, order: {crm: quote, erp: sale.order}}}"
_KINDS_EXAMPLE = "kinds: {crm: {table: crm.content_type, by: model}}"


@dataclass(frozen=True, slots=True)
class ReferencePart:
    """One of the fields that a reference to several kinds is: its columns and `carried` as in model.link.Field."""

    columns: dict[str, str]
    writes: frozenset[str]
    reference: Reference
    carried: str | None = None


def read_reference(node: YamlNode, missing: YamlNode | None, scope: Scope) -> Reference | None:
    text = shape.scalar(node, "link", "link: sales_rep", scope.found)
    how = read_missing(missing, scope, MISSING)
    return Reference((Kind(text.text, {}, text.mark),), how, text.mark) if text else None


def is_several(node: MappingNode, scope: Scope) -> bool:
    pairs = any(isinstance(value, SequenceNode) for key, value in node.entries if key.text in scope.nodes)
    return (pairs and "link" in node) or isinstance(node.get("link"), MappingNode)


def read_several(node: MappingNode, scope: Scope, writes_of: Callable[[dict[str, str]], frozenset[str]]) -> list[ReferencePart]:
    """`writes_of`: the nodes that are written, of those with these columns."""
    found, before = scope.found, scope.found.errors
    for key, _ in node.entries:
        if key.text not in _BESIDE | set(scope.nodes):
            hint = "it gets its value through `link` alone; make what is to be changed another field"
            found.add("L222", key.mark, f"a reference to several kinds has {key.text} as well", hint)
    places = {
        key.text: place for key, value in node.entries if key.text in scope.nodes and (place := _place(key.text, value, scope))
    }
    link_node = node.get("link")
    if not isinstance(link_node, MappingNode):
        mark = link_node.mark if link_node else node.mark
        found.add(
            "L222", mark, "two columns hold a reference to records of several kinds, and `link` does not list these", _hint()
        )
        return []
    if len(places) < 2:
        if found.errors == before:
            found.add("L222", node.mark, "the reference has no column on one of the nodes", _hint())
        return []
    kinds = _kinds(link_node, places, scope)
    tables = _tables(node.get("kinds"), places, scope)
    how = read_missing(node.get("missing"), scope, MISSING)
    if found.errors > before:
        return []
    reference = Reference(tuple(kinds), how, link_node.mark, places, tables)
    writes = writes_of({side: place[-1] for side, place in places.items()})
    writes = frozenset(side for side in writes if not any((side, column) in scope.read_only for column in places[side]))
    parts = [ReferencePart({side: place[-1] for side, place in places.items()}, writes, reference)]
    if any(len(places[side]) == 2 for side in writes):
        texts = [side for side in sorted(writes) if len(places[side]) == 1]
        kind = replace(reference, part="kind")
        parts.insert(0, ReferencePart({s: p[0] for s, p in places.items()}, writes, kind, texts[0] if texts else None))
    return parts


def together(groups: tuple[Group, ...], fields: Sequence[Field]) -> tuple[Group, ...]:
    """The two fields of a reference win or lose together: they come to be in one group where one is, or where one text holds
    both on a node."""
    found = list(groups)
    for number, one in enumerate(fields):
        if one.reference is None or one.reference.part != "kind":
            continue
        pair = (number, number + 1)
        place = next((i for i, group in enumerate(found) if set(pair) & set(group.fields)), None)
        if place is not None:
            found[place] = replace(found[place], fields=tuple(sorted({*found[place].fields, *pair})))
        elif one.carried is not None:
            found.append(Group(one.name, pair, one.mark))
    return tuple(found)


def _hint() -> str:
    return f"for example `{_EXAMPLE}`"


def _place(side: str, node: YamlNode, scope: Scope) -> tuple[str, ...] | None:
    columns = shape.column_names(node, side, scope.found)
    if columns is not None and isinstance(node, SequenceNode) and len(columns) != 2:
        message = f"{len(columns)} columns cannot hold a reference: there are the kind and the key, in this order"
        scope.found.add("L222", node.mark, message, f"for example `{side}: [object_type, object_id]`")
        return None
    return columns


def _kinds(node: MappingNode, places: Mapping[str, tuple[str, ...]], scope: Scope) -> list[Kind]:
    kinds: list[Kind] = []
    taken: set[tuple[str, str]] = set()
    if not node.entries:
        scope.found.add("L222", node.mark, "`link` lists no kind of record", _hint())
    for key, value in node.entries:
        names: dict[str, str] = {}
        if isinstance(value, MappingNode):
            for side, name in value.entries:
                if scope.is_node(side, key.text) and (text := _name(name, scope)):
                    names[side.text] = text
        elif text := _name(value, scope):
            names = dict.fromkeys(scope.nodes, text)
        for node_name in scope.nodes:
            called = names.get(node_name)
            if isinstance(value, MappingNode) and node_name not in value:
                scope.found.add("L222", value.mark, f"nothing says what records of {key.text} are called on {node_name}", _hint())
            elif called is not None and (node_name, called) in taken:
                message = f"on {node_name} {show(called)} stands for two kinds of record"
                scope.found.add("L222", value.mark, message, "give each link another name there")
            elif called is not None and len(places[node_name]) == 1 and "," in called:
                scope.found.add(
                    "L222", value.mark, f"{show(called)} has a comma, which parts the kind from the key on {node_name}", _hint()
                )
        taken |= set(names.items())
        kinds.append(Kind(key.text, names, key.mark))
    return kinds


def _name(node: YamlNode, scope: Scope) -> str | None:
    text = shape.scalar(node, "a kind", _EXAMPLE, scope.found)
    return text.text if text else None


def _tables(node: YamlNode | None, places: Mapping[str, tuple[str, ...]], scope: Scope) -> dict[str, KindTable]:
    """`kinds: {crm: {table: crm.content_type, by: [app_label, model], key: id}}`"""
    value = shape.mapping(node, "kinds", _KINDS_EXAMPLE, scope.found) if node else None
    tables: dict[str, KindTable] = {}
    for side, given in value.entries if value else ():
        kept = shape.mapping(given, side.text, _KINDS_EXAMPLE, scope.found) if scope.is_node(side, "kinds") else None
        if kept is None:
            continue
        shape.check_keys(kept, KIND_TABLE_KEYS, scope.found)
        table_node = shape.required(kept, "table", _KINDS_EXAMPLE, scope.found)
        by_node = shape.required(kept, "by", _KINDS_EXAMPLE, scope.found)
        key_node = kept.get("key")
        table = shape.table_name(table_node, scope.found) if table_node else None
        by = shape.column_names(by_node, "by", scope.found) if by_node else None
        key = shape.column_name(key_node, "key", scope.found) if isinstance(key_node, ScalarNode) else "id"
        if len(places.get(side.text, ())) == 1:
            message = f"{side.text} has no column for the kind alone, so no table's key can stand there"
            scope.found.add("L222", side.mark, message, f"name two columns, or remove {side.text} here")
        elif table is not None and by is not None and key is not None:
            tables[side.text] = KindTable(table, by, key, kept.mark)
    return tables
