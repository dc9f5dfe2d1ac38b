"""Links against what was last applied: whether a flow may start with the files as they are.

Promises: what state, slots or publications would not fit is refused with one message, saying which link and what to do;
any other change is taken as it is and noted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import psycopg

from replicator.engines.postgres.applied import remember, remembered
from replicator.engines.postgres.errors import translated
from replicator.errors import ConfigurationError
from replicator.model.link import Link
from replicator.program.applied import Applied, applied_link, blocker, same_pairs
from replicator.program.projection import Tables
from replicator.program.renamed import under_another_name
from replicator.runtime.needs import source_work

NAMED = 3  # links that a message names
HINT = "`replicator plan` shows what has to be done, `replicator plan --apply` does it"


class NotApplied(ConfigurationError):
    """The links are not those that the databases were prepared for."""


def expected(links: Sequence[Link], tables: Tables) -> dict[str, Applied]:
    """How each link would be remembered. `links`: all between two nodes."""
    by_name = {link.name: link for link in links}
    found = {}
    for link in links:
        work = {source: source_work([link], tables, source, target) for source, target in link.flows}
        read = {source: one.tables for source, one in work.items()}
        whole = {source: [table.name for table in one.full_identity] for source, one in work.items()}
        found[link.name] = applied_link(link, by_name, tables, read, whole)
    return found


def require_applied(
    known: Mapping[str, Mapping[str, Applied] | None], wanted: Mapping[str, Applied], others: Sequence[str] = ()
) -> None:
    """`known`: by node. A node that knows of no link is still to be prepared, and so is what is new between it and another.
    `others`: links of it between other nodes."""
    blockers: dict[str, str] = {}
    joining = any(links == {} for links in known.values())
    for node, links in known.items():
        if links is None:
            raise NotApplied(f"the state on {node} was made by an earlier version, which did not remember links", HINT)
        if links:
            told = {name: link for name, link in wanted.items() if name in links or not joining}
            blockers |= {name: f"link {name} {why}" for name, link in told.items() if (why := blocker(links.get(name), link))}
            blockers |= {name: f"link {name} is gone" for name in links if name not in wanted and name not in others}
    if blockers:
        said = list(blockers.values())
        more = f", and {len(said) - NAMED} more" if len(said) > NAMED else ""
        raise NotApplied(f"the links have changed since they were applied: {'; '.join(said[:NAMED])}{more}", HINT)


def accept(
    connections: Mapping[str, psycopg.Connection],
    links: Sequence[Link],
    tables: Tables,
    others: Sequence[str],
    paused: Collection[str],
) -> None:
    """Before flows between two nodes start. Raises NotApplied; notes what else has changed. `paused`: links that do not fit their
    tables, and are not to be looked at."""
    others = [*others, *paused]
    wanted = {name: link for name, link in expected(links, tables).items() if name not in paused}
    known: dict[str, dict[str, Applied] | None] = {}
    for node, connection in connections.items():
        with translated(node):
            known[node] = remembered(connection)
    require_applied(known, wanted, others)
    for node, connection in connections.items():
        changed = [link for name, link in wanted.items() if (known[node] or {}).get(name, link) != link]
        if changed:
            with translated(node):
                remember(connection, changed)


def not_as_applied(links: list[Link], tables: Tables, connections: Mapping[str, psycopg.Connection]) -> list[Link]:
    """The links, under other names where they pair other records than when they were applied: so that statements can be
    tried beside state tables that are not theirs any more."""
    wanted = expected(links, tables)
    for node, connection in connections.items():
        with translated(node):
            known = remembered(connection) or {}
        for name, link in wanted.items():
            if name in known and not same_pairs(known[name], link):
                links = under_another_name(links, name)
    return links
