"""`replicator.yaml`: the nodes, the folder of links, the settings.

Promises: a DSN is only ever named by its environment variable, and no finding holds the value of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from replicator.mapping import shape
from replicator.mapping.across import check_joined
from replicator.mapping.classes import classes_of, instances, names_of, said_once
from replicator.mapping.findings import Findings, near, show
from replicator.mapping.load import WORDS, load_links
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, YamlNode, read_yaml
from replicator.model.config import Config, Node, Settings
from replicator.model.finding import Finding
from replicator.model.link import Link
from replicator.model.stamp import NODES

ENGINES = ("postgres",)
_KEYS = frozenset(("nodes", "mappings", "settings"))
_NODE_KEYS = frozenset(("engine", "dsn", "class", "code"))
_NODE_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NODES_EXAMPLE = 'nodes: {crm: {engine: postgres, dsn: "${CRM_DSN}"}}'


@dataclass(frozen=True, slots=True)
class Bounds:
    least: int
    most: int


BOUNDS: dict[str, Bounds] = {
    "batch_rows": Bounds(1, 1_000_000),
    "lock_timeout_ms": Bounds(1, 600_000),
    "parked_limit": Bounds(1, 100_000_000),
    "parked_percent": Bounds(1, 100),
    "clock_limit_ms": Bounds(1, 3_600_000),
    "retention_days": Bounds(1, 3_650),
    "history_days": Bounds(1, 3_650),
}


def load_config(path: str | Path, environ: Mapping[str, str]) -> tuple[Config | None, list[Finding]]:
    """The configuration with its links, and every finding in it and in them.

    None if `replicator.yaml` itself has an error. Links with errors are left out, so look at the findings.
    `environ` serves only to keep the values of the DSN variables out of the findings.
    """
    found = Findings()
    root = read_yaml(path, found)
    if root is None:
        return None, found.in_order()
    shape.check_keys(root, _KEYS, found)
    nodes = _nodes(root, found)
    folder = _folder(root, Path(path), found)
    settings = _settings(root, found)
    config = None
    before = found.errors
    links, link_findings = load_links(folder, names_of(nodes) or None) if folder else ((), [])
    found.extend(link_findings)
    if before == 0 and folder:
        links = instances(links, nodes, found)
        config = Config(str(path), nodes, folder, settings, links)
        found.extend(_joined(links, nodes, found.in_order()))
    return config, _without_secrets(found.in_order(), [environ.get(n.dsn_env, "") for n in nodes])


def _joined(links: Sequence[Link], nodes: Sequence[Node], known: Sequence[Finding]) -> list[Finding]:
    """What is wrong between links only when a class is the nodes it stands for, such as a ring through two of them."""
    found = Findings()
    check_joined(links, found)
    places = {(finding.code, finding.where) for finding in known}
    return [finding for finding in said_once(found.in_order(), nodes) if (finding.code, finding.where) not in places]


def missing_environment(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """A finding for each node whose DSN variable is not set. Names the variable, never a value."""
    found = Findings()
    for node in config.nodes:
        if not environ.get(node.dsn_env, "").strip():
            message = f"{node.dsn_env}, the DSN of {node.name}, is not set"
            found.add("C002", node.mark, message, f"export {node.dsn_env}=postgresql://user:password@host/database")
    return found.in_order()


def _without_secrets(findings: list[Finding], secrets: list[str]) -> list[Finding]:
    """Whoever pastes a DSN where a name belongs must not find it in a log. (Messages show texts by repr().)"""
    clean = []
    for finding in findings:
        message, hint = finding.message, finding.hint
        for shown in (text for secret in secrets if secret for text in _as_shown(secret)):
            message, hint = message.replace(shown, "***"), hint.replace(shown, "***")
        clean.append(replace(finding, message=message, hint=hint))
    return clean


def _as_shown(secret: str) -> list[str]:
    """A secret as messages may hold it: as it is, escaped, or cut off."""
    escaped = repr(secret)[1:-1]
    return [secret, escaped, *(escaped[:length] + "..." for length in range(len(escaped), 7, -1))]


def _nodes(root: MappingNode, found: Findings) -> tuple[Node, ...]:
    node = shape.required(root, "nodes", _NODES_EXAMPLE, found)
    value = shape.mapping(node, "nodes", _NODES_EXAMPLE, found) if node else None
    if value is None:
        return ()
    nodes = [_node(key, part, number, found) for number, (key, part) in enumerate(value.entries, 1)]
    if not 2 <= len(value.entries) < NODES:
        message = f"{len(value.entries)} nodes are declared"
        found.add("C006", value.mark, message, f"declare at least two, and {NODES - 1} at most")
    by_variable: dict[str, Node] = {}
    for one in filter(None, nodes):
        first = by_variable.setdefault(one.dsn_env, one)
        if first is not one and one.dsn_env:
            message = f"{one.name} has the same DSN variable as {first.name}"
            found.add("C007", one.mark, message, "give each node a variable of its own")
    known = tuple(filter(None, nodes))
    check_classes(known, found)
    return known


def check_classes(nodes: Sequence[Node], found: Findings) -> None:
    """What nodes and classes are called, and by which codes data picks a node of a class."""
    names = {node.name for node in nodes}
    for name, members in classes_of(nodes).items():
        if name in names:
            found.add("C009", members[0].mark, f"{show(name)} is a node's name already", "call the class otherwise")
        by_code: dict[str, Node] = {}
        for node in members:
            first = by_code.setdefault(node.code, node)
            if first is not node:
                message = f"{node.name} has the code {show(node.code)}, and so has {first.name}"
                found.add("C010", node.mark, message, f"give each node of the class {name} a code of its own")


def _node(key: ScalarNode, part: YamlNode, number: int, found: Findings) -> Node | None:
    check_name(key, "C003", "a node's name", found)
    value = shape.mapping(part, key.text, _NODES_EXAMPLE, found)
    if value is None:
        return None
    shape.check_keys(value, _NODE_KEYS, found)
    engine_node = shape.required(value, "engine", "engine: postgres", found, key.mark)
    dsn_node = shape.required(value, "dsn", 'dsn: "${CRM_DSN}"', found, key.mark)
    engine = _engine(engine_node, found) if engine_node else ""
    variable = _variable(dsn_node, key.text, found) if dsn_node else ""
    return Node(key.text, engine, variable, number, key.mark, *read_class(value, key.text, found))


def read_class(value: MappingNode, node: str, found: Findings) -> tuple[str | None, str]:
    """The class that a node is one of, and its code."""
    class_node, code_node = value.get("class"), value.get("code")
    node_class = shape.scalar(class_node, "class", "class: erp", found) if class_node else None
    code = shape.scalar(code_node, "code", "code: NORTH", found) if code_node else None
    if node_class is not None:
        check_name(node_class, "C009", "the name of a class of nodes", found)
    if code is not None and not code.text:
        found.add("C010", code.mark, f"the code of {node} is empty", "write what data calls the node, or leave it out")
    return node_class.text if node_class else None, code.text if code else node


def check_name(name: ScalarNode, code: str, what: str, found: Findings) -> None:
    if not _NODE_NAME.fullmatch(name.text):
        hint = "use lower-case letters, digits and _, beginning with a letter, 31 characters at most"
        found.add(code, name.mark, f"{show(name.text)} cannot be {what}", hint)
    elif _is_reserved(name.text):
        hint = f"choose another, such as {name.text[:28]}_db"
        found.add(code, name.mark, f"{show(name.text)} is a word of SQL or of link files", hint)


def _is_reserved(name: str) -> bool:
    if name in WORDS:
        return True
    try:
        tree = sqlglot.parse_one(f"{name}.x", read="postgres", into=exp.Condition)
    except (SqlglotError, ValueError):
        return True
    return not isinstance(tree, exp.Column)


def _engine(node: YamlNode, found: Findings) -> str:
    text = node.text if isinstance(node, ScalarNode) else ""
    if text not in ENGINES:
        found.add("C004", node.mark, "this engine is not known", near(text, ENGINES) or f"write {' or '.join(ENGINES)}")
    return text


def _variable(node: YamlNode, name: str, found: Findings) -> str:
    """The variable's name. What stands there instead is never shown: it may be a password."""
    text = node.text if isinstance(node, ScalarNode) else ""
    variable = _VARIABLE.fullmatch(text.strip())
    if variable is None:
        hint = f'put it into an environment variable and write dsn: "${{{name.upper()[:31]}_DSN}}"'
        found.add("C001", node.mark, "the DSN must come from the environment", hint)
        return ""
    return variable[1]


def _folder(root: MappingNode, path: Path, found: Findings) -> str | None:
    example = "mappings: mappings/crm_erp"
    node = shape.required(root, "mappings", example, found)
    text = shape.scalar(node, "mappings", example, found) if node else None
    if text is None:
        return None
    folder = path.parent / text.text
    try:
        exists = folder.is_dir()
    except (OSError, ValueError):
        exists = False
    if not exists:
        found.add("C008", text.mark, f"the folder {show(text.text)} does not exist", "it is relative to this file")
        return None
    return str(folder)


def _settings(root: MappingNode, found: Findings) -> Settings:
    example = "settings: {batch_rows: 20000}"
    node = root.get("settings")
    value = shape.mapping(node, "settings", example, found) if node else None
    if value is None:
        return Settings()
    known = [f.name for f in fields(Settings)]
    shape.check_keys(value, known, found)
    given: dict[str, int] = {}
    for key, setting in value.entries:
        if key.text in known and (number := _number(key.text, setting, found)) is not None:
            given[key.text] = number
    return Settings(**given)


def _number(key: str, node: YamlNode, found: Findings) -> int | None:
    bounds = BOUNDS[key]
    text = node.text.replace("_", "") if isinstance(node, ScalarNode) else ""
    number = int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None
    if number is None or not bounds.least <= number <= bounds.most:
        hint = f"between {bounds.least} and {bounds.most}"
        found.add("C005", node.mark, f"{key} must be a whole number within its bounds", hint)
        return None
    return number
