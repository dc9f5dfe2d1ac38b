"""What turns one side's value into the other's without an expression: value lists and lookups."""

from __future__ import annotations

from collections.abc import Sequence

from replicator.mapping import shape
from replicator.mapping.findings import show
from replicator.mapping.sides import Scope
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, YamlNode
from replicator.model.link import Expression, Lookup, Missing, ValueMap

_TRUTH = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
_LONG_FORM = frozenset(("map", "default", "back_default"))
_LOOKUP_KEYS = frozenset(("table", "by", "match", "key", "on", "missing", "fold", "default"))
_VALUES_EXAMPLE = "values: {active: A, dormant: D}"
_MATCH_EXAMPLE = 'lookup: {table: erp.region, match: {country: "crm.country_code", zip: "left(crm.zip, 2)"}}'
_LOOKUP_EXAMPLE = "lookup: {table: erp.country, by: iso2}"


def read_values(node: YamlNode, first: str, writes: frozenset[str], scope: Scope) -> ValueMap | None:
    """`{active: A, dormant: D}`, or `{map: {...}, default: X, back_default: active}`."""
    value = shape.mapping(node, "values", _VALUES_EXAMPLE, scope.found)
    if value is None:
        return None
    listed: YamlNode = value
    forward = backward = None
    if isinstance(value.get("map"), MappingNode):
        shape.check_keys(value, _LONG_FORM, scope.found)
        listed = value.get("map") or value
        forward, backward = _default(value, "default", scope), _default(value, "back_default", scope)
    pairs = _pairs(listed, scope) if isinstance(listed, MappingNode) else []
    if isinstance(listed, MappingNode) and not listed.entries:
        scope.found.add("L207", listed.mark, "the value list is empty", f"for example `{_VALUES_EXAMPLE}`")
    _check_back(listed, first, writes, scope)
    _check_defaults(value, first, writes, scope)
    return ValueMap(tuple(pairs), forward, backward)


def _pairs(listed: MappingNode, scope: Scope) -> list[tuple[str, str]]:
    pairs: dict[str, str] = {}
    for key, value in listed.entries:
        left, right = _text(key, scope), _text(value, scope)
        if left is not None and left in pairs:
            scope.found.add("L207", key.mark, f"the value {show(left)} is listed twice", "remove one")
        elif left is not None and right is not None:
            pairs[left] = right
    return list(pairs.items())


def _text(node: YamlNode, scope: Scope) -> str | None:
    """A value as the text that the database would give for it."""
    if not isinstance(node, ScalarNode):
        shape.wrong_kind(node, "a value", "a single value", _VALUES_EXAMPLE, scope.found)
        return None
    if node.is_null:
        hint = "NULL always goes with NULL; write '' for the empty text"
        scope.found.add("L207", node.mark, "NULL cannot be listed", hint)
        return None
    return node.text if node.style else _TRUTH.get(node.text, node.text)


def _default(value: MappingNode, key: str, scope: Scope) -> str | None:
    node = value.get(key)
    return None if node is None else _text(node, scope)


def _check_back(listed: YamlNode, first: str, writes: frozenset[str], scope: Scope) -> None:
    if first not in writes or not isinstance(listed, MappingNode):
        return
    seen: set[str] = set()
    for key, value in listed.entries:
        text = value.text if isinstance(value, ScalarNode) else ""
        if text in seen:
            other = scope.other(first)
            hint = f"restrict the field with `to: {other}`, or make the values differ"
            if other not in writes:
                hint = (
                    f"values reads from the node named first: write {other}'s column before {first}'s, or make the values differ"
                )
            message = f"{show(text)} stands for two values of {first}, so the way back is undecided ({show(key.text)})"
            scope.found.add("L206", value.mark, message, hint)
        seen.add(text)


def _check_defaults(value: MappingNode, first: str, writes: frozenset[str], scope: Scope) -> None:
    if not isinstance(value.get("map"), MappingNode):
        return
    for key, target in (("default", scope.other(first)), ("back_default", first)):
        if key in value and target not in writes:
            message = f"{key} has no effect: the field is not written on {target}"
            scope.found.add("L210", value.key(key).mark, message, "remove it")


def read_lookup(node: YamlNode, columns: Sequence[str], scope: Scope) -> Lookup | None:
    """`columns` are the nodes on which the field has one. `on` is the node whose column holds the looked-up table's key: the
    side named second, if not said. With one column, `match` says what to look for."""
    value = shape.mapping(node, "lookup", _LOOKUP_EXAMPLE, scope.found)
    if value is None:
        return None
    shape.check_keys(value, _LOOKUP_KEYS, scope.found)
    alone = len(columns) == 1
    table_node = shape.required(value, "table", _LOOKUP_EXAMPLE, scope.found)
    wish = "match" if alone else "by"
    by_node = shape.required(value, wish, _MATCH_EXAMPLE if alone else _LOOKUP_EXAMPLE, scope.found)
    for wrong in ("by", "on") if alone else ("match",):
        if wrong in value:
            hint = "a field with one column says by `match` what to look for, one with two by `by`"
            if wrong == "on":
                hint = f"remove it: the table is on {columns[0]}, whose column the field fills"
            scope.found.add("L101", value.key(wrong).mark, f"{wrong} has no meaning here", hint)
    key_node, on_node = value.get("key"), value.get("on")
    table = shape.table_name(table_node, scope.found) if table_node else None
    by = shape.column_name(by_node, "by", scope.found) if by_node and not alone else ""
    match = _match(by_node, columns[0], scope) if by_node and alone else {}
    key = shape.column_name(key_node, "key", scope.found) if key_node else "id"
    on = shape.one_of(on_node, "on", scope.nodes, scope.found) if on_node else columns[-1]
    missing = read_missing(value.get("missing"), scope, ("wait", "null"))
    fold_node = value.get("fold")
    fold = fold_node is not None and shape.one_of(fold_node, "fold", ("true", "false"), scope.found) == "true"
    default = _default(value, "default", scope)
    if table is None or by is None or key is None or on is None:
        return None
    return Lookup(on, table, by, key, missing, value.mark, match, fold, default)


def _match(node: YamlNode, on: str, scope: Scope) -> dict[str, Expression]:
    """`{country: "crm.country_code", zip: "left(crm.zip, 2)"}`"""
    value = shape.mapping(node, "match", _MATCH_EXAMPLE, scope.found)
    match: dict[str, Expression] = {}
    if value is not None and not value.entries:
        hint = f"name a column that tells the row, for example `{_MATCH_EXAMPLE}`; a key that never changes is an `initial`"
        scope.found.add("L113", value.mark, "match is empty: any row of the table would do", hint)
    for key, wish in value.entries if value else ():
        name = shape.column_name(key, "match", scope.found)
        expression = scope.expression(wish, f"match {key.text}", scope.other(on))
        if name and expression:
            match[name] = expression
    return match


def read_missing(node: YamlNode | None, scope: Scope, allowed: tuple[str, ...]) -> Missing:
    text = shape.one_of(node, "missing", allowed, scope.found) if node else None
    return Missing(text) if text else Missing.WAIT
