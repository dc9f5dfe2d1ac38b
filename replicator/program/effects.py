"""What a flow hears of changes that its own target has caused on the source.

The other direction writes on the source, as a user does: its rows fire triggers, cascade, and are what other links read.
An order that came from the CRM is one of the order history that goes to the CRM; a part that the CRM has booked leaves
the stock that the CRM shows. Such changes carry the origin of the target and would not come back to it. Promises: a link
hears of them, except of what it has said itself: of a two-way link only fields that it never writes on the source count
(the rest comes back by `returned`), and what decides whether a record takes part (`Feed.entry`); of a one-way link nothing,
if what it writes leads back to where it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from replicator.model.link import Link
from replicator.model.table import Table, TableName


def heard(link: Link, links: Iterable[Link], source: str, target: str, reads: Iterable[frozenset[str]]) -> int | None:
    """Of changes of this link's records that the target has caused: the mask of fields that count, None: everything.
    `reads`: the source's columns that each field's value depends on."""
    if not link.two_way:
        return 0 if _leads_back(link, links, source, target) else None
    written = {f.columns[source] for f in link.fields if source in f.writes}
    mask = 0
    for number, (field, read) in enumerate(zip(link.fields, reads, strict=True)):
        if target in field.writes and source not in field.writes and written.isdisjoint(read):
            mask |= 1 << number
    return mask


def is_shared(link: Link, links: Iterable[Link], table: Table, source: str, target: str) -> bool:
    """Whether anything but the link itself can change its records when the target writes on the source: another link that
    writes the same rows, or a trigger."""
    own = set(link.side(source).records)
    others = (other for other in links if other.name != link.name and (target, source) in other.flows)
    return table.reaches_out or any(not own.isdisjoint(other.side(source).records) for other in others)


def _leads_back(link: Link, links: Iterable[Link], source: str, target: str) -> bool:
    """Whether rows that the link makes can come to be rows that it reads, link by link: it would go on for ever."""
    ways = [
        ({(start, t) for t in other.side(start).records}, {(end, t) for t in other.side(end).records})
        for other in links
        for start, end in other.flows
        if other.name != link.name
    ]
    reached = {(target, table) for table in link.side(target).records}
    start = {(source, table) for table in link.side(source).records}
    grown = True
    while grown:
        grown = False
        for come, go in ways:
            if come & reached and not go <= reached:
                reached |= go
                grown = True
    return bool(reached & start)


def is_listening(
    links: Iterable[Link], read: Iterable[TableName], tables: Mapping[tuple[str, TableName], Table], source: str, target: str
) -> bool:
    """Whether the target can have caused changes in any of the tables `read`, which the flow's links read on the source."""
    written = {table for link in links if (target, source) in link.flows for table in link.side(source).records}
    anywhere = any(tables[source, table].reaches_out for table in written)
    return any(anywhere or table in written for table in read)
