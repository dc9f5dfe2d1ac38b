"""Link files to links: one file, or a folder of them with the checks between links.

A link is given only if its file has no error; what is wrong is in the findings, all of it, in the
order of the file. Reading never raises and never touches a database.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from replicator.mapping import shape
from replicator.mapping.across import check_between
from replicator.mapping.assertions import KEYS as ASSERTION_KEYS
from replicator.mapping.assertions import read_assertions
from replicator.mapping.fields import FIELD_KEYS, read_fields
from replicator.mapping.findings import Findings, show
from replicator.mapping.references import together
from replicator.mapping.rules import RULE_WORDS, check_keys_and_match, read_groups, read_link_rule, read_update_wins
from replicator.mapping.sides import (
    LINK_KEYS,
    Scope,
    emptied,
    read_create,
    read_delete,
    read_flows,
    read_match,
    read_restore,
    read_route,
    read_side,
    read_stub,
    side_names,
)
from replicator.mapping.whole import check_opposed, check_slices
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, parse_yaml, read_yaml
from replicator.model.finding import Finding, Mark
from replicator.model.link import Link, Rule

# Words that a link file gives a meaning of its own, which therefore cannot be the name of a node or of a class of nodes.
WORDS = LINK_KEYS | FIELD_KEYS | RULE_WORDS | ASSERTION_KEYS | {"missing", "never", "ignore", "map", "default", "back_default"}
TEST_SUFFIX = "_test.yaml"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class _LinkFile:
    """`name` is known even for some files whose link is not, so that references to them are not called wrong."""

    name: str | None
    link: Link | None


def load_link(
    path: str | Path, nodes: Collection[str] | None = None, *, text: str | None = None
) -> tuple[Link | None, list[Finding]]:
    """The link of one file, with everything there is to say about it.

    `nodes` are the declared nodes and classes of nodes; without them the two top-level keys that look like sides are taken.
    `text` is read in place of the file if given, as the file's content.
    """
    found = Findings()
    file = _load(path, nodes, found, text)
    return file.link, found.in_order()


def load_links(folder: str | Path, nodes: Collection[str] | None = None) -> tuple[tuple[Link, ...], list[Finding]]:
    """The links of a folder's `*.yaml` files (not `*_test.yaml`), by file name, and what is wrong with them."""
    found = Findings()
    if not _is_folder(folder):
        found.add("C008", Mark(str(folder), 1, 1), "the mapping folder does not exist", "check `mappings`")
        return (), found.in_order()
    paths = sorted(p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith("."))
    files: list[_LinkFile] = []
    for path in paths:
        if path.suffix == ".yml":
            found.add("L407", Mark(str(path), 1, 1), "files are read only if they end in .yaml", "rename it")
        elif path.suffix == ".yaml" and not path.name.endswith(TEST_SUFFIX):
            files.append(_load(path, nodes, found, None))
    if not files:
        found.add("L408", Mark(str(folder), 1, 1), "the folder has no link file", "write one link a file, `name.yaml`")
    links = _distinct([file.link for file in files if file.link], found)
    check_between(links, {file.name for file in files if file.name and not file.link}, found)
    return tuple(links), found.in_order()


def _is_folder(folder: str | Path) -> bool:
    try:
        return Path(folder).is_dir()
    except (OSError, ValueError):
        return False


def _distinct(links: list[Link], found: Findings) -> list[Link]:
    by_name: dict[str, Link] = {}
    for link in links:
        first = by_name.setdefault(link.name, link)
        if first is not link:
            message = f"the link name {show(link.name)} is used twice, first in {first.mark}"
            found.add("L401", link.mark, message, "rename one of the two")
    return list(by_name.values())


def _load(path: str | Path, nodes: Collection[str] | None, found: Findings, text: str | None) -> _LinkFile:
    before = found.errors
    root = read_yaml(path, found) if text is None else parse_yaml(text, str(path), found)
    if root is None:
        return _LinkFile(None, None)
    name_node = root.get("link")
    name = name_node.text if isinstance(name_node, ScalarNode) else None
    link = _read_link(root, nodes, found)
    return _LinkFile(name, link if found.errors == before else None)


def _read_link(root: MappingNode, declared: Collection[str] | None, found: Findings) -> Link | None:
    name, mark = _link_name(root, found)
    nodes = side_names(root, declared, found)
    fields_node = shape.required(root, "fields", "fields: [{crm: name, erp: customer_name}]", found)
    if nodes is None:
        return None
    scope = Scope(nodes, read_flows(root, nodes, found), found)
    sides = read_side(root, nodes[0], scope), read_side(root, nodes[1], scope)
    derived = frozenset((side.node, name) for side in sides if side for name in side.derived)
    fixed = frozenset((side.node, name) for side in sides if side and side.slice for name in side.key)
    scope = replace(scope, read_only=derived, fixed=fixed)
    matching = read_match(root, scope)
    # While changes flow, only what leaves no doubt is paired: the most trusted rule, if it goes by the very values.
    match = matching[0].columns if matching and not matching[0].loose else {}
    create = read_create(root, scope)
    route = read_route(root, create, scope)
    delete = read_delete(root, scope, mark)
    restore = read_restore(root, delete, scope)
    stub = read_stub(root, (sides[0], sides[1]), scope)
    never = [node for node, condition in create.items() if condition.text == "false"]
    update_wins = read_update_wins(root, delete, never, scope)
    rule = read_link_rule(root.get("rule"), scope, Rule("latest", None, mark))
    fields = read_fields(fields_node, scope, rule) if fields_node else ()
    asserts = read_assertions(root, scope)
    read = {field.mark for field in fields}
    complete = isinstance(fields_node, SequenceNode) and len(fields_node.items) == len(read)
    groups = together(read_groups(root.get("groups"), fields, complete, scope), fields)
    if name is None or sides[0] is None or sides[1] is None:
        return None
    for side in (sides[0], sides[1]):
        if side.node in delete:
            delete[side.node] = emptied(side, fields, delete[side.node])
    check_keys_and_match(fields, (sides[0], sides[1]), match, found)
    check_opposed(fields, scope)
    if complete:
        check_slices(fields, (sides[0], sides[1]), match, never, scope)
    return Link(
        name=name, sides=(sides[0], sides[1]), flows=scope.flows, match=match, create=create, delete=delete,
        rule=rule, fields=fields, mark=mark, match_mark=matching[0].mark if matching else None, groups=groups,
        update_wins=update_wins, restore=restore, stub=stub, matching=matching, asserts=asserts, route=route,
    )  # fmt: skip


def _link_name(root: MappingNode, found: Findings) -> tuple[str | None, Mark]:
    node = shape.required(root, "link", "link: customer", found)
    text = shape.scalar(node, "link", "link: customer", found) if node else None
    if text is None:
        return None, root.mark
    if not _NAME.fullmatch(text.text):
        hint = "use lower-case letters, digits and _, beginning with a letter, 40 characters at most"
        found.add("L104", text.mark, f"{show(text.text)} cannot be a link's name", hint)
    return text.text, text.mark
