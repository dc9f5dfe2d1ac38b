"""What a link states of both sides together: queries, one on each node, whose results must be equal."""

from __future__ import annotations

from replicator.mapping import shape
from replicator.mapping.findings import show
from replicator.mapping.queries import parse_query
from replicator.mapping.sides import Scope
from replicator.mapping.yaml_nodes import MappingNode, SequenceNode, YamlNode
from replicator.model.link import Assertion, Query

KEYS = frozenset(("name", "per"))


def read_assertions(root: MappingNode, scope: Scope) -> tuple[Assertion, ...]:
    node = root.get("assert")
    if node is None:
        return ()
    one, other = scope.nodes
    example = f'assert: [{{name: totals, {one}: "select sum(total) from {one}.quote", {other}: "select sum(amount) from ..."}}]'
    found: dict[str, Assertion] = {}
    for item in node.items if isinstance(node, SequenceNode) else [node]:
        read = _read(item, example, scope)
        if read is not None and read.name in found:
            scope.found.add("L114", read.mark, f"two assertions are called {show(read.name)}", "name each another way")
        elif read is not None:
            found[read.name] = read
    return tuple(found.values())


def _read(item: YamlNode, example: str, scope: Scope) -> Assertion | None:
    entry = shape.mapping(item, "assert", example, scope.found)
    if entry is None:
        return None
    shape.check_keys(entry, {*KEYS, *scope.nodes}, scope.found)
    name_node = shape.required(entry, "name", example, scope.found)
    name = shape.scalar(name_node, "name", example, scope.found) if name_node else None
    per = entry.get("per")
    per_record = per is not None and shape.one_of(per, "per", ("record",), scope.found) == "record"
    queries = {node: _query(entry, node, example, scope) for node in scope.nodes}
    known = {node: query for node, query in queries.items() if query is not None}
    return Assertion(name.text, per_record, known, name.mark) if name is not None and len(known) == 2 else None


def _query(entry: MappingNode, node: str, example: str, scope: Scope) -> Query | None:
    query_node = shape.required(entry, node, example, scope.found)
    text = shape.scalar(query_node, node, example, scope.found) if query_node else None
    query = parse_query(text, node, (scope.other(node),), scope.found) if text else None
    if query is not None and query.reads:
        column = f"{node}.{sorted(query.reads)[0]}"
        hint = "it reads tables only; give the one that is meant an alias"
        scope.found.add("L340", query.mark, f"{show(column)}: an assertion is about no record of its own", hint)
        return None
    return query
