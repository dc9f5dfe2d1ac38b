"""The fields of a link, from `{crm: name, erp: customer_name, ...}` to model.link.Field.

A field with columns on both nodes copies, or goes through exactly one of `values`, `lookup`, `link`,
`convert`; a field with a column on one node is computed by `from`, `value` or `code`, or only set at
creation by `initial`. Which nodes it is written on follows from the link's flow and `to`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replicator.mapping import shape
from replicator.mapping.expressions import literal
from replicator.mapping.field_values import read_lookup, read_values
from replicator.mapping.findings import show
from replicator.mapping.references import is_several, read_reference, read_several
from replicator.mapping.rules import read_field_rule
from replicator.mapping.sides import Scope
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode
from replicator.model.finding import Mark
from replicator.model.link import Expression, Field, Lookup, Reference, Rule, ValueMap

_TWO_SIDED = ("values", "lookup", "link", "convert")
_ONE_SIDED = ("from", "value", "code")
FIELD_KEYS = frozenset((*_TWO_SIDED, *_ONE_SIDED, "initial", "to", "rule", "name", "kinds"))
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TRUTH = {"true": "true", "True": "true", "TRUE": "true", "false": "false", "False": "false", "FALSE": "false"}


@dataclass(frozen=True, slots=True)
class _Parts:
    """What gives a field its value, before its name is known."""

    columns: dict[str, str]
    writes: frozenset[str]
    rule: Rule
    convert: dict[str, Expression]
    initial: dict[str, Expression]
    values: ValueMap | None = None
    lookup: Lookup | None = None
    reference: Reference | None = None
    carried: str | None = None
    code: str | None = None


def read_fields(node: YamlNode, scope: Scope, link_rule: Rule) -> tuple[Field, ...]:
    """Every field that can be read; names are made unique, columns filled twice are found."""
    if not isinstance(node, SequenceNode):
        example = f"fields: [{{{scope.nodes[0]}: name, {scope.nodes[1]}: customer_name}}]"
        shape.wrong_kind(node, "fields", "a list", example, scope.found)
        return ()
    if not node.items:
        scope.found.add("L113", node.mark, "fields is an empty list", "a link without fields carries nothing")
    read: list[tuple[MappingNode, _Parts]] = []
    for item in node.items:
        field_node = shape.mapping(item, "a field", f"{{{scope.nodes[0]}: name, {scope.nodes[1]}: name}}", scope.found)
        if field_node is not None:
            read += [(field_node, parts) for parts in _read_parts(field_node, scope, link_rule)]
    names = _names(read, scope)
    fields = tuple(_field(name, at, parts) for name, (at, parts) in zip(names, read, strict=True))
    _check_filled_once(fields, scope)
    return fields


def _field(name: str, node: MappingNode, parts: _Parts) -> Field:
    return Field(
        name=name, columns=parts.columns, writes=parts.writes, rule=parts.rule, convert=parts.convert,
        initial=parts.initial, values=parts.values, lookup=parts.lookup, reference=parts.reference,
        first=next(iter(parts.columns)), mark=node.mark, carried=parts.carried, code=parts.code,
    )  # fmt: skip


def _read_parts(node: MappingNode, scope: Scope, link_rule: Rule) -> list[_Parts]:
    """What the entry says: one field, or for a reference to several kinds one or two. None if it cannot be read."""
    before = scope.found.errors
    _check_keys(node, scope)
    if is_several(node, scope):
        several = read_several(node, scope, lambda columns: _writes(node, columns, scope))
        rule = read_field_rule(node, several[0].columns, several[0].writes, scope, link_rule) if several else link_rule
        if len(several) == 2 and rule.kind == "queue":
            hint = "use latest, or the node that owns it"
            scope.found.add("L222", rule.mark, "the two columns of a reference cannot wait for a person, one by one", hint)
        made = [_Parts(p.columns, p.writes, rule, {}, {}, reference=p.reference, carried=p.carried) for p in several]
        return made if scope.found.errors == before else []
    sides = [(key.text, value) for key, value in node.entries if key.text in scope.nodes]
    columns = {side: shape.column_name(value, side, scope.found) for side, value in sides}
    if not columns:
        example = f"{{{scope.nodes[0]}: name, {scope.nodes[1]}: name}}"
        scope.found.add("L201", node.mark, "the field has no column", f"for example `{example}`")
        return []
    known = {side: name or "" for side, name in columns.items()}
    writes = _writes(node, known, scope)
    rule = read_field_rule(node, known, writes, scope, link_rule)
    if _sources_fit(node, known, scope):
        read = _two_sided if len(known) == 2 else _one_sided
        parts = read(node, known, writes, rule, scope)
        return [parts] if parts is not None and scope.found.errors == before else []
    return []


def _check_keys(node: MappingNode, scope: Scope) -> None:
    if "missing" in node and "link" not in node:
        hint = "put it inside the lookup" if "lookup" in node else "it belongs to `link`"
        scope.found.add("L101", node.key("missing").mark, "unknown key 'missing' here", hint)
    if "kinds" in node and not is_several(node, scope):
        hint = "it belongs to a `link` that lists several kinds of record"
        scope.found.add("L101", node.key("kinds").mark, "unknown key 'kinds' here", hint)
    shape.check_keys(node, FIELD_KEYS | {"missing"} | set(scope.nodes), scope.found)


def _sources_fit(node: MappingNode, columns: dict[str, str], scope: Scope) -> bool:
    lookup_alone = len(columns) == 1 and isinstance(looked := node.get("lookup"), MappingNode) and "match" in looked
    given = [key for key in (*_TWO_SIDED, *_ONE_SIDED) if key in node and not (lookup_alone and key == "lookup")]
    if len(columns) == 1 and set(given) == {"from", "link"}:
        return True  # the key of a record that an expression names
    wrong = [key for key in given if key in (_ONE_SIDED if len(columns) == 2 else _TWO_SIDED)]
    if len(given) > 1:
        hint = "keep one of them, or put all into one `convert`"
        scope.found.add("L202", node.key(given[1]).mark, f"the field has both {' and '.join(given)}", hint)
    elif wrong and len(columns) == 2:
        hint = f"use `convert`, or remove the column of the node that {wrong[0]} reads"
        scope.found.add("L202", node.key(wrong[0]).mark, f"the field is a copy and has {wrong[0]} as well", hint)
    elif wrong:
        missing = scope.other(next(iter(columns)))
        hint = f"add `{missing}: column`"
        scope.found.add("L204", node.key(wrong[0]).mark, f"{wrong[0]} needs a column on both nodes", hint)
    elif len(columns) == 1 and not given and not lookup_alone and "initial" not in node:
        side, name = next(iter(columns.items()))
        hint = f"add `{scope.other(side)}: column`, `from`, `value`, `code` or `initial`"
        scope.found.add("L203", node.mark, f"nothing says where {side}.{name} gets its value from", hint)
    else:
        return True
    return False


def _writes(node: MappingNode, columns: dict[str, str], scope: Scope) -> frozenset[str]:
    """The nodes the field is written on, before what only `initial` sets is taken out."""
    derived = {side for side, column in columns.items() if (side, column) in scope.read_only}
    reachable = frozenset(side for side in columns if scope.is_target(side) and side not in derived)
    if derived and not reachable:
        side = min(derived)
        hint = f"write it on {scope.other(side)}: `{scope.other(side)}: column`"
        scope.found.add("L218", node.key(side).mark, f"{side}.{columns[side]} is derived, and so only read", hint)
        return reachable
    to = node.get("to")
    if to is not None:
        text = shape.one_of(to, "to", tuple(columns), scope.found)
        if text is not None and isinstance(to, ScalarNode):
            scope.is_written(to, "to")
        reachable = reachable if text is None else reachable & {text}
    elif not reachable:
        side = next(iter(columns))
        hint = f"remove the field, or let `flow` reach {side}"
        scope.found.add("L111", node.key(side).mark, f"the link never writes on {side}", hint)
    # Whose slice it is, is compared, never written: the row is another link's.
    return reachable - _fixed(columns, scope)


def _fixed(columns: dict[str, str], scope: Scope) -> frozenset[str]:
    return frozenset(side for side, column in columns.items() if (side, column) in scope.fixed)


def _two_sided(node: MappingNode, columns: dict[str, str], writes: frozenset[str], rule: Rule, scope: Scope) -> _Parts | None:
    initial = _initial(node, columns, scope)
    values, lookup, link = node.get("values"), node.get("lookup"), node.get("link")
    return _Parts(
        columns, writes, rule, _convert(node, writes | _fixed(columns, scope), scope), initial,
        values=read_values(values, next(iter(columns)), writes, scope) if values else None,
        lookup=read_lookup(lookup, list(columns), scope) if lookup else None,
        reference=read_reference(link, node.get("missing"), scope) if link else None,
    )  # fmt: skip


def _convert(node: MappingNode, writes: frozenset[str], scope: Scope) -> dict[str, Expression]:
    convert_node = node.get("convert")
    if convert_node is None:
        return {}
    example = f'convert: {{{scope.nodes[1]}: "{scope.nodes[0]}.discount * 100"}}'
    value = shape.mapping(convert_node, "convert", example, scope.found)
    convert: dict[str, Expression] = {}
    given: set[str] = set()
    for key, expression_node in value.entries if value else ():
        if not scope.is_node(key, "convert"):
            continue
        given.add(key.text)
        if key.text not in writes:
            hint = "remove it"
            scope.found.add("L210", key.mark, f"the field is never written on {key.text}", hint)
        expression = scope.expression(expression_node, f"convert at {key.text}", scope.other(key.text))
        if expression and key.text in writes:
            convert[key.text] = expression
    for side in sorted(writes - given) if value else ():
        hint = f'add `{side}: "..."` over {scope.other(side)}, or `to: {scope.other(side)}`'
        message = f"the field is written on {side} too, which convert leaves out"
        scope.found.add("L205", convert_node.mark, message, hint)
    return convert


def _initial(node: MappingNode, columns: dict[str, str], scope: Scope) -> dict[str, Expression]:
    """`initial: {node: expression}`; a bare expression where the field has one column."""
    value = node.get("initial")
    if value is None:
        return {}
    side = next(iter(columns))
    if len(columns) == 1 and not isinstance(value, MappingNode):
        expression = scope.expression(value, "initial", scope.other(side), clock=True)
        return {side: expression} if expression else {}
    initial: dict[str, Expression] = {}
    example = f'initial: {{{side}: "..."}}'
    entries = shape.mapping(value, "initial", example, scope.found)
    for key, expression_node in entries.entries if entries else ():
        if key.text in scope.nodes and key.text not in columns:
            scope.found.add("L110", key.mark, f"initial: the field has no column on {key.text}", f"name {side}")
        elif scope.is_written(key, "initial"):
            expression = scope.expression(expression_node, "initial", scope.other(key.text), clock=True)
            if expression:
                initial[key.text] = expression
    return initial


def _one_sided(node: MappingNode, columns: dict[str, str], writes: frozenset[str], rule: Rule, scope: Scope) -> _Parts | None:
    side = next(iter(columns))
    initial = _initial(node, columns, scope)
    source, constant, lookup, code = node.get("from"), node.get("value"), node.get("lookup"), node.get("code")
    if lookup is not None:
        return _Parts(columns, writes, rule, {}, initial, lookup=read_lookup(lookup, [side], scope))
    if code is not None:
        of = shape.one_of(code, "code", scope.nodes, scope.found)
        told = {side: Expression(literal(of), code.mark, None, frozenset())} if of else {}
        return _Parts(columns, writes, rule, told, initial, code=of)
    if source is None and constant is None:
        if "to" in node:
            scope.found.add("L210", node.key("to").mark, "the field has one column only", "remove `to`")
        return _Parts(columns, frozenset(), rule, {}, initial)
    expression = None
    if source is not None:
        expression = scope.expression(source, "from", scope.other(side))
        if link := node.get("link"):
            reference = read_reference(link, node.get("missing"), scope)
            return _Parts(columns, writes, rule, {side: expression} if expression else {}, initial, reference=reference)
    elif constant is not None:
        expression = _constant(constant, scope)
    return _Parts(columns, writes, rule, {side: expression} if expression else {}, initial)


def _constant(node: YamlNode, scope: Scope) -> Expression | None:
    """A typed scalar as an SQL literal."""
    if not isinstance(node, ScalarNode):
        shape.wrong_kind(node, "value", "a single value", "value: CRM", scope.found)
        return None
    text = literal(node.text)
    if node.is_null:
        text = "NULL"
    elif not node.style and (node.text in _TRUTH or _NUMBER.fullmatch(node.text)):
        text = _TRUTH.get(node.text, node.text)
    return Expression(text, node.mark, None, frozenset())


def _names(read: list[tuple[MappingNode, _Parts]], scope: Scope) -> list[str]:
    """`name` where it is given; else the first column's, and if that is taken the other's as well."""
    taken: dict[str, Mark] = {}
    given: dict[int, str] = {}
    for number, (node, parts) in enumerate(read):
        name_node = node.get("name")
        text = shape.scalar(name_node, "name", "name: credit_limit", scope.found) if name_node else None
        if text:
            kind = parts.reference is not None and parts.reference.part == "kind"
            given[number] = f"{text.text}_kind" if kind else text.text
            _take(taken, given[number], text.mark, scope)
    names = []
    for number, (node, parts) in enumerate(read):
        name = given.get(number)
        if name is None:
            name = _default_name(parts.columns, taken)
            _take(taken, name, node.mark, scope)
        names.append(name)
    return names


def _take(taken: dict[str, Mark], name: str, mark: Mark, scope: Scope) -> None:
    if name in taken:
        message = f"the field name {show(name)} is used twice, first in line {taken[name].line}"
        scope.found.add("L208", mark, message, "give one of the two another with `name`")
    taken.setdefault(name, mark)


def _default_name(columns: dict[str, str], taken: dict[str, Mark]) -> str:
    first = next(iter(columns.values()))
    longer = "_".join(columns.values()) if len(columns) == 2 else f"{next(iter(columns))}_{first}"
    return first if first not in taken else longer


def _check_filled_once(fields: tuple[Field, ...], scope: Scope) -> None:
    filled: dict[tuple[str, str], Field] = {}
    for field in fields:
        for side in sorted((field.writes - {field.carried}) | set(field.initial)):
            earlier = filled.setdefault((side, field.columns[side]), field)
            if earlier is not field:
                place = f"{side}.{field.columns[side]}"
                message = f"{place} is filled by the field {show(earlier.name)} in line {earlier.mark.line} as well"
                scope.found.add("L209", field.mark, message, "remove one, or restrict one with `to`")
