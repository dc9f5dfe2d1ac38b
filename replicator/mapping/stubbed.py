"""Stubs: what one has, of whose record nothing is known but the key, and of which links there can be any.

Decided here for lint and for the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replicator.mapping.findings import Findings
from replicator.model.link import Expression, Field, Kind, Link, Missing
from replicator.model.topology import nodes_of, passed_places


def columns_of_stub(link: Link, node: str) -> dict[str, Expression | None]:
    """The columns that are filled when a stub is made on `node`, each with its expression over the other node's key; None:
    that key itself. `stub: set ...` goes first, then what fields tell of the key alone."""
    known: dict[str, Expression | None] = {}
    other = link.other(node)
    for field in link.fields:
        column = field.columns.get(node)
        if column is None or field.rule.owner == node:
            continue
        made = field.initial.get(node) or (field.convert.get(node) if node in field.writes else None)
        plain = not (field.values or field.lookup or field.reference or field.convert or node in field.initial)
        if made is not None and field.reference is None and made.reads <= set(other.key):
            known[column] = made
        elif plain and node in field.writes and field.columns.get(other.node) in other.key:
            known[column] = None
    stub = link.stub.get(node)
    return known | dict(stub.assignments if stub else ())


def stubbed(link: Link, links: Mapping[str, Link], node: str) -> bool:
    """Whether records of `link` may be stubs on `node`."""
    return any(
        field.reference is not None
        and field.reference.missing is Missing.STUB
        and link.name in field.reference.links
        and node in field.writes
        for other in links.values()
        for field in other.fields
    )


def check_stubs(field: Field, kind: Kind, target: Link, links: Sequence[Link], found: Findings) -> None:
    """Whether records of `target` can have stubs where the field is written."""
    if field.reference is None or field.reference.missing is not Missing.STUB:
        return
    for node in sorted(field.writes):
        why, hint = _no_stub(target, node, links) if node in {side.node for side in target.sides} else ("", "")
        if why:
            found.add("L410", kind.mark, f"no stub of link {target.name} can be made on {node}: {why}", hint)


def _no_stub(link: Link, node: str, links: Sequence[Link]) -> tuple[str, str]:
    other = link.other(node).node
    elsewhere = f"use `missing: later` or `wait`, or write the field on {other} only (`to: {other}`)"
    create = link.create.get(node)
    if (other, node) not in link.flows:
        return "the link never writes there", elsewhere
    if create is not None and create.text == "false":
        return "`create` says never", elsewhere
    if link.side(node).slice:
        return "its records are part of rows that another link makes", elsewhere
    valued = [f.name for f in link.fields if f.rule.kind in ("delta", "merge", "queue") and len(f.writes) == 2]
    if valued:
        return (
            f"the field {valued[0]} goes by values, and a stub's are nobody's",
            "give it the rule latest or an owner, or use another `missing`",
        )
    if any((node, name) in passed_places(links, nodes_of(link)) for name in link.side(node).records):
        return (
            "what is written there is passed on to further nodes, which would take it for a record",
            "use `missing: later` or `wait`",
        )
    return "", ""
