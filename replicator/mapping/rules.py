"""What becomes of fields that both sides write: `rule`, `groups`, `update_deleted`.

Promises: a rule that is given fits its field (both nodes are written, the value is copied as it is where two values
are added or merged), so that later layers need not ask; what does not fit is a finding at the rule's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replicator.mapping import shape
from replicator.mapping.expressions import BothColumns, parse_expression
from replicator.mapping.findings import Findings, near, show
from replicator.mapping.sides import Scope
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode
from replicator.model.finding import Mark
from replicator.model.link import DeleteRule, Expression, Field, Group, Rule, Side

RULE_WORDS = frozenset(("latest", "delta", "queue", "merge", "update"))
_OF_ONE_FIELD = ("delta", "merge")
_TRANSLATIONS = ("values", "lookup", "link", "convert")


def read_link_rule(node: YamlNode | None, scope: Scope, default: Rule) -> Rule:
    """The rule of fields that name none: `latest`, a node, or `queue`."""
    if node is None:
        return default
    word = "merge" if isinstance(node, MappingNode) else node.text if isinstance(node, ScalarNode) else ""
    if word in _OF_ONE_FIELD:
        hint = f"write it at the field it is meant for, and here {_or(('latest', 'queue', *scope.nodes))}"
        scope.found.add("L115", node.mark, f"rule cannot be {word} for a whole link", hint)
        return default
    text = shape.one_of(node, "rule", ("latest", "queue", *scope.nodes), scope.found)
    if text == "queue" and len(scope.flows) < 2:
        hint = "remove the rule, or let `flow` go both ways"
        scope.found.add("L211", node.mark, "queue needs edits on both nodes, and the link goes one way", hint)
    return default if text is None else _plain(text, node.mark)


def read_field_rule(node: MappingNode, columns: Mapping[str, str], writes: frozenset[str], scope: Scope, link_rule: Rule) -> Rule:
    """The rule of the field that `node` holds; the link's where it names none."""
    given = node.get("rule")
    if given is None:
        return Rule("latest", None, link_rule.mark) if link_rule.kind == "queue" and len(writes) < 2 else link_rule
    kind = _kind(given, columns, scope)
    if kind in ("delta", "merge", "queue") and not _fits(node, given.mark, kind, columns, writes, scope):
        return link_rule
    if kind == "merge":
        merge = _merge(given, columns, scope) if isinstance(given, MappingNode) else None
        return Rule("merge", None, given.mark, merge)
    rule = link_rule if kind is None else _plain(kind, given.mark)
    if kind is not None and rule.owner is not None and writes == {rule.owner}:
        message = f"{rule.owner} owns the field, but the field is written there only, so nothing ever comes from it"
        scope.found.add("L210", rule.mark, message, "remove the rule, or write the field on both nodes")
    return rule


def _plain(word: str, mark: Mark) -> Rule:
    if word in ("latest", "delta", "queue"):
        return Rule(word, None, mark)  # type: ignore[arg-type]
    return Rule("owner", word, mark)


def _kind(given: YamlNode, columns: Mapping[str, str], scope: Scope) -> str | None:
    if isinstance(given, MappingNode):
        return "merge"
    if isinstance(given, ScalarNode) and given.text == "merge":
        message = "merge needs the expression that makes one value of two"
        scope.found.add("L115", given.mark, message, f"for example `rule: {_merge_example(columns, scope)}`")
        return None
    return shape.one_of(given, "rule", ("latest", "delta", "queue", *scope.nodes), scope.found)


def _merge_example(columns: Mapping[str, str], scope: Scope) -> str:
    both = ", ".join(f"{node}.{columns.get(node, 'column')}" for node in scope.nodes)
    return f'{{merge: "greatest({both})"}}'


def _fits(node: MappingNode, mark: Mark, kind: str, columns: Mapping[str, str], writes: frozenset[str], scope: Scope) -> bool:
    before = scope.found.errors
    if len(writes) < 2:
        said = "has a column on one node only" if len(columns) < 2 else f"is written on {_or(sorted(writes) or ['none'])} only"
        hint = "remove the rule, or write the field on both nodes (no `to`, `flow` both ways)"
        scope.found.add("L211", mark, f"{kind} needs a field that both nodes may edit, and this one {said}", hint)
    translated = [key for key in _TRANSLATIONS if key in node]
    if kind in _OF_ONE_FIELD and translated:
        hint = f"copy the column as it is, or use latest, queue or {_or(scope.nodes)}"
        message = f"{kind} computes with the values of both nodes, which `{translated[0]}` makes different ones"
        scope.found.add("L212", mark, message, hint)
    return scope.found.errors == before


def _merge(given: MappingNode, columns: Mapping[str, str], scope: Scope) -> Expression | None:
    example = f"rule: {_merge_example(columns, scope)}"
    shape.check_keys(given, ("merge",), scope.found)
    node = shape.required(given, "merge", example, scope.found)
    if node is None or not all(columns.values()):  # a column that cannot be read has its finding
        return None
    if not isinstance(node, ScalarNode):
        shape.wrong_kind(node, "merge", "an SQL expression", example, scope.found)
        return None
    return parse_expression(node, BothColumns(scope.nodes, columns), scope.found)


def check_keys_and_match(
    fields: Sequence[Field], sides: Sequence[Side], match: Mapping[str, tuple[str, ...]], found: Findings
) -> None:
    """A key or a match column tells which record it is: it cannot be the sum or mixture of two."""
    for field in fields:
        kind = field.rule.kind
        for side in sides if kind in _OF_ONE_FIELD else ():
            column = field.columns[side.node]
            what = "key" if column in side.key else "match" if column in match.get(side.node, ()) else ""
            if what == "key" or (what == "match" and kind == "delta"):
                message = f"{side.node}.{column} is part of the {what}, and {kind} would make it another record's"
                found.add("L213", field.rule.mark, message, "use latest, queue or the node that owns it")
                break


def read_groups(node: YamlNode | None, fields: Sequence[Field], complete: bool, scope: Scope) -> tuple[Group, ...]:
    """`groups: {address: [street, zip]}`. `complete`: whether `fields` are all, so that a name not there is wrong."""
    if node is None:
        return ()
    example = "groups: {address: [street, zip, city]}"
    value = shape.mapping(node, "groups", example, scope.found)
    groups: list[Group] = []
    taken: dict[int, str] = {}
    for key, members in value.entries if value else ():
        if not isinstance(members, SequenceNode):
            shape.wrong_kind(members, key.text, "a list of fields", example, scope.found)
            continue
        before = scope.found.errors
        numbers = _members(key.text, members, fields, complete, taken, scope)
        if scope.found.errors == before and (complete or len(numbers) > 1):
            _check_group(key, [fields[number] for number in numbers], scope)
        groups.append(Group(key.text, tuple(sorted(numbers)), key.mark))
    return tuple(groups)


def _members(
    group: str, members: SequenceNode, fields: Sequence[Field], complete: bool, taken: dict[int, str], scope: Scope
) -> list[int]:
    by_name = {field.name: number for number, field in enumerate(fields)}
    numbers: list[int] = []
    for item in members.items:
        name = shape.scalar(item, f"a field of {group}", f"{group}: [street, zip]", scope.found)
        number = by_name.get(name.text) if name else None
        if name is None or (number is None and not complete):
            continue
        if number is None:
            hint = near(name.text, by_name) or _by_column(name.text, fields) or f"fields are {', '.join(list(by_name)[:12])}"
            scope.found.add("L214", name.mark, f"{group}: there is no field {show(name.text)}", hint)
        elif number in taken:
            where = "this group already" if taken[number] == group else f"the group {taken[number]} too"
            message = f"the field {show(name.text)} is in {where}"
            scope.found.add("L216", name.mark, message, "name it once; put fields that belong together into one group")
        else:
            taken[number] = group
            numbers.append(number)
    return numbers


def _by_column(name: str, fields: Sequence[Field]) -> str:
    """A field goes by its first column's name; someone may write the other's."""
    meant = next((field.name for field in fields if name in field.columns.values()), None)
    return f"that field is called {show(meant)}" if meant else ""


def _check_group(key: ScalarNode, fields: Sequence[Field], scope: Scope) -> None:
    if len(fields) < 2:
        message = f"the group {show(key.text)} has fewer than two fields"
        scope.found.add("L215", key.mark, message, "name the fields that win or lose together, or remove the group")
        return
    first = fields[0]
    for field in fields:
        message = hint = ""
        if field.rule.kind not in ("latest", "owner"):
            message = f"the field {show(field.name)} has the rule {field.rule.kind}, which decides for it alone"
            hint = f"give it the rule latest or {_or(scope.nodes)}, or leave it out"
        elif (field.rule.kind, field.rule.owner) != (first.rule.kind, first.rule.owner):
            message = f"the field {show(field.name)} has the rule {field.rule}, and {show(first.name)} {first.rule}"
            hint = "give all fields of a group the same rule"
        elif field.writes != first.writes:
            message = f"the field {show(field.name)} is not written on the same nodes as {show(first.name)}"
            hint = "give all fields of a group the same `to`, or none"
        if message:
            scope.found.add("L217", key.mark, f"{key.text}: {message}", hint)
            return
    if len(first.writes) < 2:
        message = f"the fields of {show(key.text)} are not written on both nodes, so no two edits of them can meet"
        scope.found.add("L210", key.mark, message, "remove the group")


def read_update_wins(root: MappingNode, delete: Mapping[str, DeleteRule], never: Sequence[str], scope: Scope) -> bool:
    """`update_deleted: update`: an edit that meets a delete wins. `never`: nodes where no record may be made."""
    node = root.get("update_deleted")
    if node is None:
        return False
    mark = root.key("update_deleted").mark
    text = shape.one_of(node, "update_deleted", ("delete", "update"), scope.found)
    if len(scope.flows) < 2:
        message = "no edit can meet a delete where changes go one way"
        scope.found.add("L210", mark, message, "remove it, or let `flow` go both ways")
        return False
    if text != "update":
        return False
    for target in scope.nodes:
        source = scope.other(target)
        kept = delete[target].kind
        if source in never:
            message = f"an edit on {target} makes a record again that {source} has deleted, though `create` says never there"
            scope.found.add("L116", mark, message, f"let `create` allow {source}, or leave out update_deleted")
        elif kept != "delete":
            message = f"what a delete on {source} sets on {target} may stay set when an edit makes the record again"
            if kept == "ignore":
                message = f"nobody on {target} sees a delete on {source}, and still an edit made at that moment undoes it"
            scope.found.add("L116", mark, message, f"let `delete` at {target} delete, or leave out update_deleted")
    return True


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
