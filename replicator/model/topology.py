"""Which nodes hear of what through which: (node, table) places joined by links, taken as a whole.

Promises: pure functions over links. Links between the same two nodes count as one way; places
that links join, however far apart, must form a tree of nodes (`rings` finds those that do not).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.model.link import Link
from replicator.model.table import TableName

Place = tuple[str, TableName]
NodePair = frozenset[str]


def nodes_of(link: Link) -> NodePair:
    return frozenset(side.node for side in link.sides)


def _places(link: Link) -> list[Place]:
    return [(side.node, table) for side in link.sides for table in side.records or (side.table,)]


def passed_places(links: Sequence[Link], pair: NodePair) -> frozenset[Place]:
    """Places of these two nodes that flows to a third node read: who writes there must say with which stamps."""
    others = (link for link in links if nodes_of(link) != pair)
    return frozenset(
        (source, table) for link in others for source, _ in link.flows if source in pair for table in link.side(source).tables
    )


def passed_on(links: Sequence[Link], source: str, target: str) -> frozenset[str]:
    """The nodes whose changes reach `target` through `source`: neighbours of `source` that write where this flow reads."""
    read = {table for link in links if (source, target) in link.flows for table in link.side(source).tables}
    return frozenset(
        peer
        for link in links
        for peer, node in link.flows
        if node == source and peer != target and not read.isdisjoint(link.side(node).records)
    )


def beyond(links: Sequence[Link], link: Link, source: str) -> frozenset[str]:
    """The nodes whose edits of this link's records come from `source`, itself included."""
    pair = nodes_of(link)
    others = [other for other in links if nodes_of(other) != pair]
    reached, nodes = {(source, table) for table in link.side(source).records}, {source}
    grown = True
    while grown:
        grown = False
        for other in others:
            places = set(_places(other))
            if places & reached and not places <= reached:
                reached |= places
                nodes |= nodes_of(other)
                grown = True
    return frozenset(nodes)


def also_owned(links: Sequence[Link], link: Link, source: str) -> dict[str, frozenset[int]]:
    """Further owners of what the link's other node owns: node -> numbers of fields whose column on `source` that node owns as
    well, by a link of its own. Each factory owns the state of the orders it has."""
    target, records = link.other(source).node, set(link.side(source).records)
    found: dict[str, frozenset[int]] = {}
    for other in links:
        owner = other.other(source).node
        if source not in nodes_of(other) or owner == target or records.isdisjoint(other.side(source).records):
            continue
        columns = {f.columns[source] for f in other.fields if f.rule.owner == owner and {source, owner} <= f.writes}
        owned = (i for i, f in enumerate(link.fields) if f.rule.owner == target and {source, target} <= f.writes)
        numbers = frozenset(i for i in owned if link.fields[i].columns[source] in columns)
        if numbers:
            found[owner] = found.get(owner, frozenset()) | numbers
    return found


def rings(links: Sequence[Link]) -> Iterator[tuple[Link, tuple[str, ...]]]:
    """Links that close a ring of nodes over places that are joined already, with the ring's nodes in order."""
    joined: dict[Place, Place] = {}

    def root(place: Place) -> Place:
        while joined.setdefault(place, place) != place:
            place = joined[place]
        return place

    for link in links:
        first, *others = _places(link)
        for other in others:
            joined[root(other)] = root(first)
    ways: dict[Place, list[NodePair]] = {}
    for link in links:
        pair = nodes_of(link)
        known = ways.setdefault(root(_places(link)[0]), [])
        if pair not in known:
            way = _way(known, link.sides[0].node, link.sides[1].node)
            if way:
                yield link, way
            known.append(pair)


def _way(pairs: Sequence[NodePair], start: str, end: str) -> tuple[str, ...]:
    """A shortest way from one node to the other."""
    ways: list[tuple[str, ...]] = [(start,)]
    for way in ways:  # grows while it is walked
        if way[-1] == end:
            return way
        for pair in pairs:
            if way[-1] in pair:
                ways += [(*way, node) for node in pair - set(way)]
    return ()
