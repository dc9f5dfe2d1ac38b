"""What must hold between links: references lead to links that can translate the key, and do not wait in a circle;
nodes are joined in a tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from replicator.mapping.findings import Findings, near, show
from replicator.mapping.stubbed import check_stubs
from replicator.model.link import Field, Kind, Link, Missing
from replicator.model.topology import rings


def check_between(links: Sequence[Link], unread: Collection[str], found: Findings) -> None:
    """`unread` names links whose files have errors: they exist, but nothing more is known of them."""
    by_name = {link.name: link for link in links}
    for link in links:
        for _, kind in _references(link):
            target = by_name.get(kind.link)
            if target is not None:
                _check_target(link, kind, target, found)
            elif kind.link not in unread:
                hint = near(kind.link, (*by_name, *unread)) or "write the link's file, or use a `lookup`"
                found.add("L402", kind.mark, f"there is no link {show(kind.link)}", hint)
    _check_circles(by_name, found)
    check_joined(links, found)


def check_joined(links: Sequence[Link], found: Findings) -> None:
    """What depends on which nodes hear of what through which: stubs, and rings of nodes."""
    by_name = {link.name: link for link in links}
    for link in links:
        for field, kind in _references(link):
            if kind.link in by_name:
                check_stubs(field, kind, by_name[kind.link], links, found)
    for link, way in rings(links):
        message = f"records get from {way[0]} to {way[-1]} already, by way of {', '.join(way[1:-1])}"
        found.add("L409", link.mark, message, "leave this link out, or one of the others in the ring")


def _references(link: Link) -> Iterator[tuple[Field, Kind]]:
    """Each once: of a reference that is two fields, that of the key."""
    for field in link.fields:
        if field.reference is not None and field.reference.part == "key":
            for kind in field.reference.kinds:
                yield field, kind


def _check_target(link: Link, reference: Kind, target: Link, found: Findings) -> None:
    nodes, target_nodes = {s.node for s in link.sides}, {s.node for s in target.sides}
    if nodes != target_nodes:
        theirs, ours = " and ".join(sorted(target_nodes)), " and ".join(sorted(nodes))
        message = f"the link {target.name} joins {theirs}, this one {ours}"
        found.add("L403", reference.mark, message, "reference a link between the same two nodes")
        return
    for side in target.sides:
        if len(side.key) > 1:
            message = f"the link {target.name} has a key of {len(side.key)} columns on {side.node}; a field holds one"
            found.add("L404", reference.mark, message, f"give {target.name} a key of one column")
            return


def _check_circles(by_name: dict[str, Link], found: Findings) -> None:
    """Per node: links whose records wait there for each other's. A link may wait for itself (a tree)."""
    reported: set[frozenset[str]] = set()
    for node in sorted({side.node for link in by_name.values() for side in link.sides}):
        waits = {name: dict(_waits(link, node, by_name)) for name, link in by_name.items()}
        for name in waits:
            circle = _circle(name, waits)
            if circle and frozenset(circle) not in reported:
                reported.add(frozenset(circle))
                way = " -> ".join((*circle, circle[0]))
                mark = waits[circle[0]][circle[1]].mark
                message = f"records on {node} can wait for each other for ever: {way}"
                found.add("L405", mark, message, "give one of these references `missing: later` or `stub`")


def _waits(link: Link, node: str, by_name: dict[str, Link]) -> Iterator[tuple[str, Kind]]:
    for field, kind in _references(link):
        waiting = field.reference is not None and field.reference.missing is Missing.WAIT and node in field.writes
        if waiting and kind.link in by_name and kind.link != link.name:
            yield kind.link, kind


def _circle(start: str, waits: dict[str, dict[str, Kind]]) -> list[str]:
    """A shortest way from a link back to itself."""
    ways, seen = [[start]], {start}
    for way in ways:  # grows while it is walked
        for following in waits[way[-1]]:
            if following == start:
                return way
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []
