"""The outline of a link: its two sides, the directions it flows in, and what is matched, created and deleted."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from replicator.mapping import shape
from replicator.mapping.expressions import Reading, parse_assignments, parse_expression
from replicator.mapping.findings import Findings, near, show
from replicator.mapping.queries import parse_query, places_of
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode
from replicator.model.finding import Mark
from replicator.model.link import DeleteRule, Expression, Field, MatchRule, Part, Query, Restore, Side, Stub
from replicator.model.table import TableName

LINK_KEYS = frozenset(
    ("link", "flow", "match", "create", "route", "delete", "restore", "stub", "update_deleted", "rule", "groups", "fields")
) | {"assert"}
_SIDE_KEYS = frozenset(("table", "query", "key", "where", "derived", "slice", "extends"))
_FLOW = re.compile(r"([a-z][a-z0-9_]*)\s*(->|<->)\s*([a-z][a-z0-9_]*)")
_SET = re.compile(r"\s*set\b", re.IGNORECASE)
_SIDE_EXAMPLE = "crm: {table: crm.account, key: id}"


@dataclass(frozen=True, slots=True)
class Scope:
    """The two nodes of a link and its directions: what every part of it is read against.
    `read_only`: (node, column) of derived columns; `fixed`: of the keys of slices, whose rows another link makes."""

    nodes: tuple[str, str]
    flows: frozenset[tuple[str, str]]
    found: Findings
    read_only: frozenset[tuple[str, str]] = frozenset()
    fixed: frozenset[tuple[str, str]] = frozenset()

    def other(self, node: str) -> str:
        return self.nodes[1] if self.nodes[0] == node else self.nodes[0]

    def is_target(self, node: str) -> bool:
        return any(target == node for _, target in self.flows)

    def expression(self, node: YamlNode, key: str, reads: str, clock: bool = False) -> Expression | None:
        """The expression over the record of `reads` that stands at a key. NULL may be written as YAML's null."""
        if not isinstance(node, ScalarNode):
            shape.wrong_kind(node, key, "an SQL expression", f'{key}: "upper({reads}.name)"', self.found)
            return None
        return parse_expression(node, Reading(self.nodes, reads, clock), self.found)

    def is_node(self, key: ScalarNode, part: str) -> bool:
        if key.text in self.nodes:
            return True
        hint = near(key.text, self.nodes) or f"write {' or '.join(self.nodes)}"
        self.found.add("L110", key.mark, f"{part}: {show(key.text)} is not a node of this link", hint)
        return False

    def is_written(self, key: ScalarNode, part: str) -> bool:
        """Whether the link writes on the node that a key names; if it does not, that is a finding."""
        if not self.is_node(key, part):
            return False
        if not self.is_target(key.text):
            hint = f"remove it, or let `flow` reach {key.text}"
            self.found.add("L111", key.mark, f"{part}: the link never writes on {key.text}", hint)
            return False
        return True


def side_names(root: MappingNode, declared: Collection[str] | None, found: Findings) -> tuple[str, str] | None:
    """The two top-level keys that are sides. Without a list of nodes, whatever looks like a side is one."""
    names: list[str] = []
    for key, value in root.entries:
        if key.text in LINK_KEYS:
            continue
        looks = isinstance(value, MappingNode) and any(part in value for part in _SIDE_KEYS)
        if declared is not None and key.text not in declared and looks:
            hint = near(key.text, declared) or f"declare it, or use {', '.join(declared)}"
            found.add("L406", key.mark, f"the node {show(key.text)} is not declared", hint)
        if looks or (declared is not None and key.text in declared):
            names.append(key.text)
        else:
            hint = near(key.text, LINK_KEYS) or "a side is a node's name with {table: ..., key: ...}"
            found.add("L101", key.mark, f"unknown key {show(key.text)}", hint)
    if len(names) == 2:
        return names[0], names[1]
    has = f"{len(names)}: {', '.join(names)}" if names else "none"
    found.add("L105", root.mark, f"a link needs two sides, this one has {has}", f"for example `{_SIDE_EXAMPLE}`")
    return None


def read_side(root: MappingNode, node: str, scope: Scope) -> Side | None:
    key, found = root.key(node), scope.found
    value = shape.mapping(root.get(node) or key, node, _SIDE_EXAMPLE, found)
    if value is None:
        return None
    shape.check_keys(value, _SIDE_KEYS, found)
    query = _query(value, node, scope)
    table_node = None if "query" in value else shape.required(value, "table", _SIDE_EXAMPLE, found, key.mark)
    key_node = shape.required(value, "key", _SIDE_EXAMPLE, found, key.mark)
    where_node = value.get("where")
    table = shape.table_name(table_node, found) if table_node else None
    columns = shape.column_names(key_node, "key", found) if key_node else None
    where = scope.expression(where_node, "where", node) if where_node else None
    derived = _derived(value, node, scope)
    if query is not None and columns is not None:
        if places_of(query.text, columns) is None:
            message = f"the query has no columns called {', '.join(columns)}"
            found.add("L326", key_node.mark if key_node else key.mark, message, "name the key's columns in its SELECT list")
        if scope.is_target(node):
            hint = f"write `flow: {node} -> {scope.other(node)}`"
            found.add("L327", query.mark, f"a query is only read, and the link writes on {node}", hint)
        link = root.get("link")
        table = query_name(link.text if isinstance(link, ScalarNode) else "link", node)
    if table is None or columns is None:
        return None
    return Side(
        node,
        table,
        columns,
        where,
        key.mark,
        derived,
        query,
        _is_slice(value, where, node, found),
        _extends(value, columns, scope),
    )


def _extends(value: MappingNode, key: tuple[str, ...], scope: Scope) -> tuple[Part, ...]:
    """`extends: {table: erp.party, key: id}`, or a list of them, the nearest first."""
    node = value.get("extends")
    example = "extends: {table: erp.party, key: id}"
    parts: list[Part] = []
    for item in node.items if isinstance(node, SequenceNode) else [node] if node else []:
        entry = shape.mapping(item, "extends", example, scope.found)
        if entry is None:
            continue
        shape.check_keys(entry, frozenset(("table", "key")), scope.found)
        table_node = shape.required(entry, "table", example, scope.found)
        key_node = shape.required(entry, "key", example, scope.found)
        table = shape.table_name(table_node, scope.found) if table_node else None
        columns = shape.column_names(key_node, "key", scope.found) if key_node else None
        if columns is not None and len(columns) != len(key):
            message = f"the record's key has {len(key)} columns, this one {len(columns)}"
            scope.found.add("L328", key_node.mark if key_node else entry.mark, message, "name the columns that hold the same key")
        elif table is not None and columns is not None:
            parts.append(Part(table, columns))
    return tuple(parts)


def _is_slice(value: MappingNode, where: Expression | None, node: str, found: Findings) -> bool:
    """`slice: true`; what makes it there must be said."""
    slice_node = value.get("slice")
    if slice_node is None or shape.one_of(slice_node, "slice", ("true", "false"), found) != "true":
        return False
    if where is None:
        hint = f"add for example `where: \"{node}.phone <> ''\"`"
        found.add("L219", slice_node.mark, "nothing says when this part of the row is there", hint)
    return True


def query_name(link: str, node: str) -> TableName:
    """What stands for the table where a side is a query."""
    return TableName("query", f"{link} on {node}")


def _query(value: MappingNode, node: str, scope: Scope) -> Query | None:
    query_node = value.get("query")
    if query_node is None:
        return None
    if "table" in value:
        scope.found.add("L101", value.key("table").mark, "a side has a table or a query, not both", "remove one")
    if "derived" in value:
        hint = "add columns to the query instead"
        scope.found.add("L101", value.key("derived").mark, "derived columns belong to a table, not to a query", hint)
    text = shape.scalar(query_node, "query", "query: select q.id, sum(l.total) as total from ...", scope.found)
    return parse_query(text, node, (scope.other(node),), scope.found) if text else None


def _derived(value: MappingNode, node: str, scope: Scope) -> dict[str, Query]:
    """`derived: {name: select ...}`"""
    derived_node = value.get("derived")
    if derived_node is None or "query" in value:
        return {}
    example = f'derived: {{city: "select a.city from crm.address a where a.account_id = {node}.id"}}'
    derived: dict[str, Query] = {}
    entries = shape.mapping(derived_node, "derived", example, scope.found)
    for key, query_node in entries.entries if entries else ():
        text = shape.scalar(query_node, key.text, example, scope.found)
        query = parse_query(text, node, (scope.other(node),), scope.found) if text else None
        if query is not None:
            derived[key.text] = query
    return derived


def read_flows(root: MappingNode, nodes: tuple[str, str], found: Findings) -> frozenset[tuple[str, str]]:
    """The directions; both if `flow` is absent or wrong, so that reading can go on."""
    both = frozenset(((nodes[0], nodes[1]), (nodes[1], nodes[0])))
    node = root.get("flow")
    if node is None:
        return both
    text = node.text.strip() if isinstance(node, ScalarNode) else ""
    parts = _FLOW.fullmatch(text)
    if parts is None or {parts[1], parts[3]} != set(nodes):
        hint = f"write `{nodes[0]} -> {nodes[1]}`, `{nodes[1]} -> {nodes[0]}` or `{nodes[0]} <-> {nodes[1]}`"
        found.add("L108", node.mark, f"the flow {show(text)} is not between the two sides", hint)
        return both
    return both if parts[2] == "<->" else frozenset(((parts[1], parts[3]),))


def read_match(root: MappingNode, scope: Scope) -> tuple[MatchRule, ...]:
    """One rule, or a list of them, the most trusted first."""
    node = root.get("match")
    if node is None:
        return ()
    rules = [_match_rule(item, scope) for item in (node.items if isinstance(node, SequenceNode) else [node])]
    if isinstance(node, SequenceNode) and not rules:
        scope.found.add("L109", node.mark, "the list of match rules is empty", "name columns, or leave `match` out")
    return tuple(rule for rule in rules if rule is not None)


def _match_rule(node: YamlNode, scope: Scope) -> MatchRule | None:
    found = scope.found
    example = f"match: {{{scope.nodes[0]}: vat_number, {scope.nodes[1]}: tax_id}}"
    value = shape.mapping(node, "match", example, found)
    if value is None:
        return None
    columns_by: dict[str, tuple[str, ...]] = {}
    complete, loose = True, False
    for key, columns_node in value.entries:
        if key.text == "loose" and key.text not in scope.nodes:
            loose = shape.one_of(columns_node, "loose", ("true", "false"), found) == "true"
        elif scope.is_node(key, "match"):
            columns = shape.column_names(columns_node, key.text, found)
            complete &= columns is not None
            columns_by[key.text] = columns or ()
    lengths = {len(columns) for columns in columns_by.values()}
    if complete and (len(columns_by) != 2 or len(lengths) != 1):
        hint = "name columns on both nodes, as many on one as on the other"
        found.add("L109", value.mark, "match is not the same on both sides", hint)
    return MatchRule(columns_by, loose, value.mark)


def read_create(root: MappingNode, scope: Scope) -> dict[str, Expression]:
    """Node -> condition; `never` becomes the constant false."""
    create: dict[str, Expression] = {}
    node = root.get("create")
    example = f"create: {{{scope.nodes[1]}: \"{scope.nodes[0]}.stage = 'customer'\"}}"
    value = shape.mapping(node, "create", example, scope.found) if node else None
    for key, condition in value.entries if value else ():
        if not scope.is_written(key, "create"):
            continue
        if isinstance(condition, ScalarNode) and condition.text.strip() == "never":
            create[key.text] = Expression("false", condition.mark, None, frozenset())
        elif expression := scope.expression(condition, f"create at {key.text}", scope.other(key.text)):
            create[key.text] = expression
    return create


def read_route(root: MappingNode, create: Mapping[str, Expression], scope: Scope) -> dict[str, Expression]:
    """`route: {erp: "crm.factory"}`: the codes of the nodes of that class on which a record may be made."""
    route: dict[str, Expression] = {}
    node = root.get("route")
    example = f'route: {{{scope.nodes[1]}: "{scope.nodes[0]}.factory"}}'
    value = shape.mapping(node, "route", example, scope.found) if node else None
    for key, codes in value.entries if value else ():
        if not scope.is_written(key, "route"):
            continue
        if key.text in create and create[key.text].text == "false":
            scope.found.add("L210", key.mark, f"`create` never makes a record on {key.text}, wherever it is routed", "remove one")
        if expression := scope.expression(codes, f"route at {key.text}", scope.other(key.text)):
            route[key.text] = expression
    return route


def read_delete(root: MappingNode, scope: Scope, link_mark: Mark) -> dict[str, DeleteRule]:
    """A rule for every node the link writes on; `delete` where the file says nothing."""
    rules = {target: DeleteRule(target, "delete", (), link_mark) for _, target in sorted(scope.flows)}
    node = root.get("delete")
    example = f'delete: {{{scope.nodes[1]}: "set active = false", {scope.nodes[0]}: ignore}}'
    value = shape.mapping(node, "delete", example, scope.found) if node else None
    for key, action in value.entries if value else ():
        if scope.is_written(key, "delete") and (rule := _delete_rule(key.text, action, scope)):
            rules[key.text] = rule
    return rules


def _delete_rule(node: str, action: YamlNode, scope: Scope) -> DeleteRule | None:
    text = action.text.strip() if isinstance(action, ScalarNode) else ""
    if text == "delete":
        return DeleteRule(node, "delete", (), action.mark)
    if text == "ignore":
        return DeleteRule(node, "ignore", (), action.mark)
    if not isinstance(action, ScalarNode) or not _SET.match(text):
        hint = "write delete, ignore, or `set column = expression, ...`"
        scope.found.add("L112", action.mark, f"delete at {node}: {show(text)} cannot be read", hint)
        return None
    assigned = _assignments(node, action, "delete", scope)
    return DeleteRule(node, "set", assigned, action.mark) if assigned else None


def _assignments(
    node: str, action: ScalarNode, what: str, scope: Scope, reads: str | None = None
) -> tuple[tuple[str, Expression], ...]:
    """`reads`: the node whose record the expressions see, if it is not the own one."""
    assigned = parse_assignments(action, Reading(scope.nodes, reads or node, clock=True), scope.found)
    columns: set[str] = set()
    for column, mark, _ in assigned or ():
        if column in columns:
            scope.found.add("L114", mark, f"{what} at {node} sets {show(column)} twice", "remove one")
        columns.add(column)
    return tuple((c, e) for c, _, e in assigned or ())


def read_restore(root: MappingNode, delete: Mapping[str, DeleteRule], scope: Scope) -> dict[str, Restore]:
    """`restore: {erp: "set closed_on = null"}`: takes back what `delete: set ...` of that node has done."""
    restore: dict[str, Restore] = {}
    node = root.get("restore")
    example = f'restore: {{{scope.nodes[1]}: "set active = true"}}'
    value = shape.mapping(node, "restore", example, scope.found) if node else None
    for key, action in value.entries if value else ():
        if not scope.is_written(key, "restore"):
            continue
        if not isinstance(action, ScalarNode) or not _SET.match(action.text):
            scope.found.add("L112", action.mark, f"restore at {key.text} cannot be read", f"for example `{example}`")
            continue
        if key.text not in delete or delete[key.text].kind != "set":
            hint = f'for example `delete: {{{key.text}: "set active = false"}}`'
            scope.found.add("L117", key.mark, f"nothing marks records of {key.text} as deleted", hint)
        assigned = _assignments(key.text, action, "restore", scope)
        if assigned:
            restore[key.text] = Restore(key.text, assigned, action.mark)
    return restore


def read_stub(root: MappingNode, sides: Sequence[Side | None], scope: Scope) -> dict[str, Stub]:
    """`stub: {erp: "set name = '?'"}`: what a stub that is made on that node has. Only the other node's key can be read."""
    stub: dict[str, Stub] = {}
    node = root.get("stub")
    example = f"stub: {{{scope.nodes[1]}: \"set name = 'to come'\"}}"
    value = shape.mapping(node, "stub", example, scope.found) if node else None
    for key, action in value.entries if value else ():
        if not scope.is_written(key, "stub"):
            continue
        if not isinstance(action, ScalarNode) or not _SET.match(action.text):
            scope.found.add("L112", action.mark, f"stub at {key.text} cannot be read", f"for example `{example}`")
            continue
        other = scope.other(key.text)
        assigned = _assignments(key.text, action, "stub", scope, other)
        keys = {column for side in sides if side and side.node == other for column in side.key}
        for column, given in assigned:
            if keys and not given.reads <= keys:
                read = ", ".join(sorted(given.reads - keys))
                message = f"stub at {key.text}: {show(column)} reads {other}.{read}, and of a stub only the key is known"
                scope.found.add("L118", given.mark, message, f"read {other}.{min(keys)}, or set a constant")
        if assigned:
            stub[key.text] = Stub(key.text, assigned, action.mark)
    return stub


def emptied(side: Side, fields: Sequence[Field], delete: DeleteRule) -> DeleteRule:
    """What deleting a slice does, if the file does not say it: its columns become NULL."""
    if not side.slice or delete.kind != "delete":
        return delete
    columns = [f.columns[side.node] for f in fields if side.node in f.writes and f.columns[side.node] not in side.key]
    nothing = Expression("NULL", delete.mark, None, frozenset())
    return DeleteRule(side.node, "set", tuple((column, nothing) for column in columns), delete.mark)
