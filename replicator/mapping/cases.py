"""Test files, `<name>_test.yaml` beside the links: from YAML to a `Suite`, with everything that is wrong in the text.

A suite is given only if its file, the folder's `_test.yaml` and the links it needs have no error. Reading never raises and
never touches a database; whether tables and columns exist is found out where there is one (runtime/suite_run.py).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from replicator.mapping import shape
from replicator.mapping.case_rows import no_rows, read_log, read_tables
from replicator.mapping.classes import classes_of, instances, names_of
from replicator.mapping.config import check_classes, check_name, read_class
from replicator.mapping.findings import Findings, near, show
from replicator.mapping.load import TEST_SUFFIX, load_links
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode, parse_yaml, read_yaml
from replicator.model.case import Case, Expected, Row, Step, Suite, TableRows
from replicator.model.config import Node
from replicator.model.finding import Finding, Mark
from replicator.model.link import Link

SYNC = "sync"
DEFAULTS = TEST_SUFFIX  # the file of a folder that says what all its tests share
DEFAULT_KEYS = ("schema", "given", "before")
KEYS = ("test", "nodes", *DEFAULT_KEYS, "cases")
NODE_KEYS = ("class", "code")
CASE_KEYS = ("case", "given", "do", "expect")
CONFLICT_KEYS = ("link", "field", "kind", "winner", "rule", "status")
PARKED_KEYS = ("link", "on", "reason", "sqlstate", "key", "says")

NODES_EXAMPLE = "nodes: {crm: {}, erp_north: {class: erp, code: NORTH}, erp_south: {class: erp, code: SOUTH}}"
SCHEMA_EXAMPLE = "schema: {crm: crm.sql, erp: erp.sql}"
STEP_EXAMPLE = "do: [{crm: \"update crm.account set phone = '1'\"}, sync]"
CASE_EXAMPLE = "cases: [{case: a name, do: [...], expect: {...}}]"
GIVEN_EXAMPLE = "given: {erp: {erp.country: [{iso2: DE, name: Germany}]}}"
EXPECT_EXAMPLE = "expect: {erp: {erp.customer: [{company_name: Acme}]}}"


def find_suites(path: str | Path) -> list[Path]:
    """The test files of a folder, by name; of a link file, the one beside it; a test file is itself."""
    path = Path(path)
    if path.is_dir():
        return sorted(p for p in path.glob(f"*{TEST_SUFFIX}") if p.name != DEFAULTS and not p.name.startswith("."))
    if path.suffix == ".yaml" and not path.name.endswith(TEST_SUFFIX):
        return [path.with_name(path.stem + TEST_SUFFIX)]
    return [path]


def load_suite(path: str | Path, *, text: str | None = None, defaults: str | None = None) -> tuple[Suite | None, list[Finding]]:
    """The tests of one file. `text` and `defaults` are read in place of the file and of its folder's `_test.yaml`."""
    found = Findings()
    beside = Path(path).with_name(DEFAULTS)
    shared: MappingNode | None = None
    if defaults is not None:
        shared = parse_yaml(defaults, str(beside), found)
    elif beside.is_file():
        shared = read_yaml(beside, found)
    root = read_yaml(path, found) if text is None else parse_yaml(text, str(path), found)
    if root is None:
        return None, found.in_order()
    if shared is not None:
        shape.check_keys(shared, DEFAULT_KEYS, found)
    shape.check_keys(root, KEYS, found)
    suite = _suite(Path(path), root, [part for part in (shared, root) if part is not None], found)
    return (suite if not found.errors else None), found.in_order()


@dataclass
class _Scope:
    members: tuple[Node, ...]
    found: Findings
    links: dict[str, Link] = field(default_factory=dict)

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.members)

    def named(self, key: ScalarNode, others: Collection[str] = ()) -> tuple[str, ...]:
        """The node that the key names; all nodes of a class if it names one."""
        if key.text in self.nodes:
            return (key.text,)
        if found := classes_of(self.members).get(key.text):
            return tuple(node.name for node in found)
        known = (*names_of(self.members), *others)
        hint = near(key.text, known) or f"known are {', '.join(known)}"
        self.found.add("T004", key.mark, f"there is no node {show(key.text)}", hint)
        return ()


def _suite(path: Path, root: MappingNode, parts: list[MappingNode], found: Findings) -> Suite | None:
    names = _names(root, found)
    schema = _schema(root, parts, found)
    members = _members(root, schema, found)
    # A node has the tables of its class, unless the file says something of itself.
    nodes = {node.name: schema[of] for node in members for of in (node.node_class, node.name) if of in schema}
    scope = _Scope(members, found)
    for member in members:
        if member.name not in nodes:
            found.add("T002", member.mark, f"there is no schema for node {member.name}", f"for example `{SCHEMA_EXAMPLE}`")
    if nodes:
        links = _links(path.parent, names, names_of(members) if "nodes" in root else None, scope)
        scope.links = {link.name: link for link in links}
        for name, side in ((link.name, side) for link in links for side in link.sides):
            if side.node not in scope.nodes:
                message = f"there is no schema for node {side.node} of link {name}"
                found.add("T002", root.mark, message, f"for example `{SCHEMA_EXAMPLE}`")
    given = tuple(rows for part in parts for rows in _given(part, scope))
    before = tuple(step for part in parts if (node := part.get("before")) for step in _steps(node, "before", scope))
    cases = _cases(root, scope)
    return Suite(str(path), root.mark, nodes, members, tuple(scope.links.values()), given, before, cases)


def _members(root: MappingNode, schema: Collection[str], found: Findings) -> tuple[Node, ...]:
    """`nodes: {crm: {}, erp_north: {class: erp, code: NORTH}}`; without it, the nodes are those that have a schema."""
    node = root.get("nodes")
    if node is None:
        return tuple(Node(name, "postgres", name, number, root.mark, None, name) for number, name in enumerate(schema, 1))
    value = shape.mapping(node, "nodes", NODES_EXAMPLE, found)
    members = []
    for number, (key, part) in enumerate(value.entries if value else (), 1):
        check_name(key, "C003", "a node's name", found)
        said = shape.mapping(part, key.text, NODES_EXAMPLE, found)
        if said is not None:
            shape.check_keys(said, NODE_KEYS, found)
            members.append(Node(key.text, "postgres", key.text, number, key.mark, *read_class(said, key.text, found)))
    check_classes(members, found)
    return tuple(members)


def _names(root: MappingNode, found: Findings) -> list[ScalarNode]:
    """The links under test."""
    node = shape.required(root, "test", "test: customer", found)
    items = node.items if isinstance(node, SequenceNode) else (node,) if node else ()
    if isinstance(node, SequenceNode) and not items:
        found.add("L113", node.mark, "test is an empty list", "name at least one link")
    texts = [shape.scalar(item, "test", "test: customer", found) for item in items]
    return [text for text in texts if text is not None]


def _schema(root: MappingNode, parts: list[MappingNode], found: Findings) -> dict[str, tuple[str, ...]]:
    """Node -> SQL files. What the file says of a node stands for what the folder says."""
    nodes: dict[str, tuple[str, ...]] = {}
    there = False
    for node in (node for part in parts if (node := part.get("schema")) is not None):
        there = True
        value = shape.mapping(node, "schema", SCHEMA_EXAMPLE, found)
        for key, part in value.entries if value else ():
            items = part.items if isinstance(part, SequenceNode) else (part,)
            files = [_file(item, found) for item in items]
            nodes[key.text] = tuple(name for name in files if name is not None)
    if not there:
        hint = f"for example `{SCHEMA_EXAMPLE}`, here or in {DEFAULTS}; pg_dump --schema-only makes such files"
        found.add("T002", root.mark, "nothing says what tables the nodes have: the key schema is missing", hint)
    return nodes


def _file(node: YamlNode, found: Findings) -> str | None:
    text = shape.scalar(node, "schema", SCHEMA_EXAMPLE, found)
    if text is None:
        return None
    path = Path(text.mark.path).parent / text.text
    try:
        exists = path.is_file()
    except (OSError, ValueError):
        exists = False
    if not exists:
        found.add("T003", text.mark, f"there is no file {show(text.text)}", "it is relative to the file that names it")
        return None
    return os.path.normpath(path)


def _links(folder: Path, names: list[ScalarNode], nodes: Collection[str] | None, scope: _Scope) -> list[Link]:
    """The links of these names and what they refer to. Errors in link files are findings only if they may matter here."""
    links, findings = load_links(folder, nodes)
    by_name = {link.name: link for link in links}
    errors = [finding for finding in findings if finding.severity == "error"]
    wanted: dict[str, Link] = {}
    queue = [name.text for name in names]
    missing = False
    while queue:
        link = by_name.get(queue.pop(0))
        missing |= link is None
        if link is not None and link.name not in wanted:
            wanted[link.name] = link
            queue += [name for f in link.fields if f.reference for name in f.reference.links]
    files = {link.mark.path for link in wanted.values()}
    scope.found.extend(f for f in errors if missing or (isinstance(f.where, Mark) and f.where.path in files))
    broken = {Path(finding.where.path).stem for finding in errors if isinstance(finding.where, Mark)}
    for name in names:
        if name.text not in by_name and name.text not in broken:
            hint = near(name.text, by_name) or f"the folder's links are {', '.join(sorted(by_name))}"
            scope.found.add("T001", name.mark, f"there is no link {show(name.text)} in {folder}", hint)
    return list(instances(list(wanted.values()), scope.members, scope.found))


def _given(part: MappingNode, scope: _Scope) -> Iterator[TableRows]:
    node = part.get("given")
    value = shape.mapping(node, "given", GIVEN_EXAMPLE, scope.found) if node else None
    for key, tables in value.entries if value else ():
        for node_name in scope.named(key):
            yield from read_tables(tables, node_name, GIVEN_EXAMPLE, scope.found, inserted=True)


def _steps(node: YamlNode, key: str, scope: _Scope) -> Iterator[Step]:
    """A step, or a list of steps, in which lists may stand for several (an alias of a list)."""
    if isinstance(node, SequenceNode):
        for item in node.items:
            yield from _steps(item, key, scope)
    elif isinstance(node, ScalarNode) and node.text == SYNC:
        yield Step(None, node.mark)
    elif isinstance(node, MappingNode):
        for name, edit in node.entries:
            for node_name in scope.named(name):
                yield from _edit(edit, node_name, scope)
    else:
        hint = f"for example `{STEP_EXAMPLE}`"
        scope.found.add("L103", node.mark, f"{key} must hold `{SYNC}`, or a node with its edit, not {_shown(node)}", hint)


def _edit(node: YamlNode, name: str, scope: _Scope) -> Iterator[Step]:
    if isinstance(node, MappingNode):
        rows = tuple(read_tables(node, name, GIVEN_EXAMPLE, scope.found, inserted=True))
        yield Step(name, node.mark, rows=rows)
        return
    text = shape.scalar(node, name, STEP_EXAMPLE, scope.found)
    if text is not None:
        yield Step(name, text.mark, sql=text.text, place=text.at)


def _shown(node: YamlNode) -> str:
    return show(node.text) if isinstance(node, ScalarNode) and not node.is_null else shape.kind(node)


def _cases(root: MappingNode, scope: _Scope) -> tuple[Case, ...]:
    node = shape.required(root, "cases", CASE_EXAMPLE, scope.found)
    if node is None:
        return ()
    if not isinstance(node, SequenceNode):
        shape.wrong_kind(node, "cases", "a list", CASE_EXAMPLE, scope.found)
        return ()
    if not node.items:
        scope.found.add("L113", node.mark, "cases is an empty list", f"for example `{CASE_EXAMPLE}`")
    cases = [case for item in node.items if (case := _case(item, scope)) is not None]
    names: dict[str, Mark] = {}
    for case in cases:
        first = names.setdefault(case.name, case.mark)
        if first is not case.mark:
            message = f"the case {show(case.name)} stands first in line {first.line}"
            scope.found.add("T005", case.mark, message, "give each case a name of its own")
    return tuple(cases)


def _case(node: YamlNode, scope: _Scope) -> Case | None:
    found = scope.found
    value = shape.mapping(node, "a case", CASE_EXAMPLE, found)
    if value is None:
        return None
    shape.check_keys(value, CASE_KEYS, found)
    name_node = shape.required(value, "case", "case: keyed in the CRM", found)
    name = shape.scalar(name_node, "case", "case: keyed in the CRM", found) if name_node else None
    do = shape.required(value, "do", STEP_EXAMPLE, found)
    steps = tuple(_steps(do, "do", scope)) if do is not None else ()
    expect = shape.required(value, "expect", EXPECT_EXAMPLE, found)
    expected = _expected(expect, scope) if expect is not None else None
    given = tuple(_given(value, scope))
    if name is None or expected is None:
        return None
    return Case(name.text, name.mark, given, steps, expected)


def _expected(node: YamlNode, scope: _Scope) -> Expected | None:
    value = shape.mapping(node, "expect", EXPECT_EXAMPLE, scope.found)
    if value is None:
        return None
    tables: list[TableRows] = []
    conflicts = parked = no_rows(node.mark)
    for key, part in value.entries:
        if key.text == "conflicts":
            conflicts = read_log(part, "conflicts", (*CONFLICT_KEYS, *scope.nodes), scope.found)
            _check_conflicts(conflicts.rows, scope)
        elif key.text == "parked":
            parked = read_log(part, "parked", PARKED_KEYS, scope.found)
        else:
            for node_name in scope.named(key, ("conflicts", "parked")):
                tables += read_tables(part, node_name, EXPECT_EXAMPLE, scope.found)
    return Expected(tuple(tables), conflicts, parked)


def _check_conflicts(rows: tuple[Row, ...], scope: _Scope) -> None:
    """Links and fields that a conflict is expected of must be there, else it could never come."""
    fields = {link.name: [f.name for f in link.fields] for link in scope.links.values()}
    for row in rows if fields else ():
        cells = {cell.key: cell for cell in row.cells}
        link, field_cell = cells.get("link"), cells.get("field")
        if link is not None and link.text not in fields:
            hint = near(link.text or "", fields) or f"those that take part are {', '.join(fields)}"
            scope.found.add("T001", link.mark, f"no link {show(str(link))} takes part in this test", hint)
            continue
        known = fields[link.text] if link is not None and link.text else [name for names in fields.values() for name in names]
        if field_cell is not None and field_cell.text is not None and field_cell.text not in known:
            hint = near(field_cell.text, known) or "a field's name is its `name`, or the column it names first"
            scope.found.add("T006", field_cell.mark, f"there is no field {show(field_cell.text)}", hint)
