"""Classes of nodes: one link file for several ERPs.

A file that names a class in place of a node is read and checked once, with the class's name. `instances` makes of it one
link for each node of the class, such as `customer@erp_north`, as if that node had been written. Promises: pure functions
over links; what comes out names nodes only, holds no `route` and no code that is not known, and marks the same places of the
file; so whoever works with a Config never meets a class.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from replicator.mapping import expressions, queries
from replicator.mapping.expressions import literal
from replicator.mapping.findings import Findings
from replicator.mapping.sides import query_name
from replicator.model.config import Node
from replicator.model.finding import Finding
from replicator.model.link import (
    Assertion,
    DeleteRule,
    Expression,
    Field,
    Link,
    Lookup,
    MatchRule,
    Query,
    Reference,
    Restore,
    Rule,
    Side,
    Stub,
)

Value = TypeVar("Value")
Assigned = TypeVar("Assigned", DeleteRule, Restore, Stub)


def classes_of(nodes: Sequence[Node]) -> dict[str, tuple[Node, ...]]:
    """Class -> its nodes, both in the order of the file."""
    names = dict.fromkeys(node.node_class for node in nodes if node.node_class is not None)
    return {name: tuple(node for node in nodes if node.node_class == name) for name in names}


def names_of(nodes: Sequence[Node]) -> list[str]:
    """What may stand in a link file for a node: nodes, then classes."""
    return [*(node.name for node in nodes), *classes_of(nodes)]


def instances(links: Sequence[Link], nodes: Sequence[Node], found: Findings) -> tuple[Link, ...]:
    """Every link between two nodes. A link that cannot be one is left out, with a finding."""
    classes = classes_of(nodes)
    codes = {node.name: node.code for node in nodes}
    named = {link.name: frozenset(side.node for side in link.sides) for link in links}
    made: list[Link] = []
    for link in links:
        own = [side.node for side in link.sides if side.node in classes]
        if not own:
            made.append(_known(link, codes, None))
        elif _may_be(link, classes, found):
            _check_owners(link, own[0], classes[own[0]], found)
            alike = {name for name, joined in named.items() if joined == named[link.name]}
            made += [_known(_Instance(own[0], node.name, alike).link(link), codes, node.name) for node in classes[own[0]]]
    return tuple(made)


def _may_be(link: Link, classes: Mapping[str, Sequence[Node]], found: Findings) -> bool:
    one, other = link.sides
    message = ""
    if one.node in classes and other.node in classes:
        message = f"{one.node} and {other.node} are both classes of nodes"
    else:
        of, single = (one, other) if one.node in classes else (other, one)
        if single.node in {node.name for node in classes[of.node]}:
            message = f"{single.node} is itself one of the class {of.node}"
    if message:
        found.add("L119", other.mark, message, "join a class with a single node that is not one of it")
    return not message


def _check_owners(link: Link, name: str, members: Sequence[Node], found: Findings) -> None:
    other = link.other(name).node
    for field in link.fields:
        if field.rule.owner == name and len(field.writes) == 2 and len(members) > 1 and name not in link.route:
            message = f"{name} is {len(members)} nodes, and of what several of them own {other} has what one of them wrote last"
            hint = f"use `latest` or `{other}`, or `route` if a record is in one of them only"
            found.add("L223", field.rule.mark, message, hint)


def instance_name(link: str, node: str) -> str:
    return f"{link}@{node}"


def _known(link: Link, codes: Mapping[str, str], node: str | None) -> Link:
    """With what only the nodes' codes tell: what fields hold that tell the node, and, where `node` is one of a class, which
    records may be made there. A node that is named itself takes whatever comes."""
    fields = tuple(_coded(field, codes) for field in link.fields)
    create, sides = dict(link.create), link.sides
    if node is not None and node in link.route:
        route, source = link.route[node], link.other(node)
        if link.two_way:
            create[node] = _routed(route, create.get(node), codes[node])
        else:
            there = replace(source, where=_routed(route, source.where, codes[node]))
            sides = (there, sides[1]) if sides[0] is source else (sides[0], there)
    return replace(link, sides=sides, fields=fields, create=create, route={})


def _routed(route: Expression, create: Expression | None, code: str) -> Expression:
    """The condition under which a record is made on the node with this code, or, of a link one way, goes there at all."""
    # One text or several: ARRAY makes a list of texts of either.
    here = f"{literal(code)} = any (cast(array[{_closed(route)}] as text[]))"
    if create is None:
        return replace(route, text=here)
    if create.text == "false":
        return create
    text = f"{_closed(create)} and {here}"
    return Expression(text, route.mark, route.node or create.node, route.reads | create.reads)


def _coded(field: Field, codes: Mapping[str, str]) -> Field:
    if field.code is None:
        return field
    code = literal(codes.get(field.code, field.code))
    return replace(field, convert={node: replace(e, text=code) for node, e in field.convert.items()}, code=None)


def _closed(expression: Expression) -> str:
    """In parentheses, which a comment at its end must not swallow."""
    return f"({expression.text}\n)" if "--" in expression.text else f"({expression.text})"


@dataclass(frozen=True, slots=True)
class _Instance:
    """A link as it would be written for the node `new` in place of the class `old`. `alike`: links between the same sides."""

    old: str
    new: str
    alike: Collection[str]

    def link(self, link: Link) -> Link:
        one, other = link.sides
        name = instance_name(link.name, self.new)
        return replace(
            link,
            name=name,
            sides=(self._side(one, name), self._side(other, name)),
            flows=frozenset((self._node(source), self._node(target)) for source, target in link.flows),
            match=self._keys(link.match),
            create=self._expressions(link.create),
            delete={self._node(node): self._assigned(rule) for node, rule in link.delete.items()},
            rule=self._rule(link.rule),
            fields=tuple(self._field(field) for field in link.fields),
            restore={self._node(node): self._assigned(restore) for node, restore in link.restore.items()},
            stub={self._node(node): self._assigned(stub) for node, stub in link.stub.items()},
            matching=tuple(self._match(rule) for rule in link.matching),
            asserts=tuple(self._assertion(assertion) for assertion in link.asserts),
            route=self._expressions(link.route),
        )

    def _node(self, name: str) -> str:
        return self.new if name == self.old else name

    def _keys(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {self._node(node): value for node, value in values.items()}

    def _expression(self, expression: Expression) -> Expression:
        return expressions.renamed(expression, self.old, self.new)

    def _expressions(self, values: Mapping[str, Expression]) -> dict[str, Expression]:
        return {self._node(node): self._expression(value) for node, value in values.items()}

    def _query(self, query: Query) -> Query:
        return queries.renamed(query, self.new) if query.node == self.old else query

    def _side(self, side: Side, link: str) -> Side:
        node = self._node(side.node)
        return replace(
            side,
            node=node,
            table=query_name(link, node) if side.query is not None else side.table,
            where=None if side.where is None else self._expression(side.where),
            derived={name: self._query(query) for name, query in side.derived.items()},
            # What looks like the own record's column there is one of a table called so: the query itself is the record.
            query=None if side.query is None else replace(side.query, node=node, reads=frozenset()),
        )

    def _assigned(self, what: Assigned) -> Assigned:
        assigned = tuple((column, self._expression(value)) for column, value in what.assignments)
        return replace(what, node=self._node(what.node), assignments=assigned)

    def _rule(self, rule: Rule) -> Rule:
        owner = None if rule.owner is None else self._node(rule.owner)
        return replace(rule, owner=owner, merge=None if rule.merge is None else self._expression(rule.merge))

    def _match(self, rule: MatchRule) -> MatchRule:
        return replace(rule, columns=self._keys(rule.columns))

    def _assertion(self, assertion: Assertion) -> Assertion:
        return replace(assertion, queries={self._node(node): self._query(query) for node, query in assertion.queries.items()})

    def _field(self, field: Field) -> Field:
        return replace(
            field,
            columns=self._keys(field.columns),
            writes=frozenset(self._node(node) for node in field.writes),
            rule=self._rule(field.rule),
            convert=self._expressions(field.convert),
            initial=self._expressions(field.initial),
            lookup=None if field.lookup is None else self._lookup(field.lookup),
            reference=None if field.reference is None else self._reference(field.reference),
            first=self._node(field.first),
            carried=None if field.carried is None else self._node(field.carried),
            code=None if field.code is None else self._node(field.code),
        )

    def _lookup(self, lookup: Lookup) -> Lookup:
        match = {column: self._expression(value) for column, value in lookup.match.items()}
        return replace(lookup, node=self._node(lookup.node), match=match)

    def _reference(self, reference: Reference) -> Reference:
        """A record of another link is one of its instance between the same nodes."""
        kinds = tuple(
            replace(
                kind,
                link=instance_name(kind.link, self.new) if kind.link in self.alike else kind.link,
                names=self._keys(kind.names),
            )
            for kind in reference.kinds
        )
        return replace(reference, kinds=kinds, places=self._keys(reference.places), tables=self._keys(reference.tables))


def said_once(findings: Sequence[Finding], nodes: Sequence[Node]) -> list[Finding]:
    """What holds for all nodes of a class is said once, of the class."""
    said = list(dict.fromkeys(findings))
    for name, members in classes_of(nodes).items():
        if len(members) < 2:
            continue
        told: dict[Finding, list[Finding]] = {}
        for finding in said:
            told.setdefault(_of_class(finding, name, members), []).append(finding)
        said = [
            one
            for of_class, each in told.items()
            for one in ([of_class] if len(each) == len(members) and of_class not in each else each)
        ]
    return said


def _of_class(finding: Finding, name: str, members: Sequence[Node]) -> Finding:
    """As it would have been said of the class. What concerns a node itself stays its own."""
    if isinstance(finding.where, str):
        return finding
    one = "|".join(re.escape(node.name) for node in members)
    texts = (re.sub(rf"\b(?:{one})\b", name, re.sub(rf"@(?:{one})\b", "", text)) for text in (finding.message, finding.hint))
    message, hint = texts
    return replace(finding, message=message, hint=hint)
