"""Tables that change under the links: what has changed since they were last looked at, and which links do not fit any more.

Promises: what has changed is noted once in the log, whether or not a replicator ran when it did; a link is at fault only for
what it names, or for a change of a table that it writes; columns and tables that were renamed are known by their numbers, so
that what comes of them can be kept under the names that the links have for them. Nothing of the users' is changed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psycopg

from replicator.capture.feed import Renamed
from replicator.engines.postgres import shapes
from replicator.engines.postgres.applied import remembered
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.pauses import paused
from replicator.engines.postgres.setup import flow_name, has_state, published, slot_name
from replicator.engines.postgres.shapes import Shape
from replicator.mapping.checked import Checked, Tables
from replicator.mapping.structure import errors_of_link, tables_marked
from replicator.mapping.types import mismatch
from replicator.model.finding import Finding, Mark
from replicator.model.link import Link, Side
from replicator.model.pause import SCHEMA, Pause
from replicator.model.table import Column, Table, TableName
from replicator.program.applied import Applied, document_of

log = logging.getLogger("replicator")

Connections = Mapping[str, psycopg.Connection]
Place = tuple[str, TableName]  # node, table
UNPUBLISHED = "{node}: {table} was made anew: its changes do not reach the replicator"
UNPUBLISHED_HINT = "`replicator init` publishes it, then `replicator resume {link}`: its records are copied anew"
MENDED = "then `replicator lint` and `replicator resume {link}`"


@dataclass
class Drift:
    """What was found at the start of the flows between two nodes.

    named     node -> tables that the links name
    shapes    those of them that are there
    renamed   node -> what is called otherwise by now
    added     columns that were not there
    retyped   columns of another type, with both types
    remade    tables that are other ones under the same name
    moved     tables that are called otherwise now
    """

    shapes: dict[str, dict[TableName, Shape]] = field(default_factory=dict)
    renamed: dict[str, Renamed] = field(default_factory=dict)
    added: set[tuple[str, TableName, str]] = field(default_factory=set)
    retyped: dict[tuple[str, TableName, str], tuple[str, str]] = field(default_factory=dict)
    remade: set[Place] = field(default_factory=set)
    moved: dict[Place, TableName] = field(default_factory=dict)
    named: dict[str, set[TableName]] = field(default_factory=dict)

    def is_over(self, connections: Connections) -> bool:
        """Whether a table has changed since."""
        for node, known in self.shapes.items():
            with translated(node):
                if shapes.look(connections[node], self.named[node]) != known:
                    return True
        return False

    def called(self, node: str, table: TableName, column: str) -> str | None:
        """What a column that is not there is called now, if it was renamed."""
        found = self.renamed.get(node)
        return found.columns.get(table, {}).get(column) if found else None


def look(links: Sequence[Link], connections: Connections, named: Mapping[str, set[TableName]]) -> Drift:
    """Compares the tables with what they were when they were last looked at, tells what has changed, and notes what they are.
    `named`: node -> tables that the links name."""
    drift = Drift(named={node: set(names) for node, names in named.items()})
    used = _used(links)
    one, other_node = connections
    for node, connection in connections.items():
        peer = other_node if node == one else one
        with translated(node):
            now = drift.shapes[node] = shapes.look(connection, named[node])
            before = shapes.seen(connection, peer) if has_state(connection) else {}
            gone = {shape.id: name for name, shape in before.items() if name in named[node] and name not in now}
            elsewhere = shapes.named_now(connection, gone) if gone else {}
            # A table that is called otherwise has columns too.
            others = shapes.look(connection, list(elsewhere.values())) if elsewhere else {}
        ids = {shape.id: name for name, shape in now.items()}
        columns: dict[TableName, Mapping[str, str]] = {}
        noted: dict[TableName, Shape] = {}
        for name, was in before.items():
            if name not in named[node]:
                continue
            is_now = now.get(name)
            if is_now is None:
                other = elsewhere.get(was.id)
                if other is None:
                    continue
                drift.moved[node, name] = other
                ids[was.id] = name
                is_now = others[other]
            elif is_now.id != was.id:
                drift.remade.add((node, name))
                was = is_now
                _tell(node, f"{name} was made anew")
            elif is_now != was:
                _tell_changes(drift, node, name, was, is_now, used)
            lost = {c: n for c, n in was.names.items() if c not in is_now.names}
            formerly = {c: n for c, n in {**was.formerly, **lost}.items() if c not in is_now.names and n in is_now.columns}
            noted[name] = replace(is_now, formerly=formerly)
            columns[name] = noted[name].renamed
        noted |= {name: shape for name, shape in now.items() if name not in before}
        drift.renamed[node] = Renamed(ids, columns)
        with translated(node):
            if has_state(connection):
                known = {name: shape for name, shape in noted.items() if name not in before or _differs(before[name], shape)}
                shapes.see(connection, peer, known)
    return drift


def _differs(one: Shape, other: Shape) -> bool:
    return one != other or one.formerly != other.formerly


def _used(links: Sequence[Link]) -> set[tuple[str, TableName, str]]:
    by_name = {link.name: link for link in links}
    return {(use.node, use.table, use.column) for link in links for use in Checked(link, by_name, {}).uses()}


def _tell(node: str, what: str) -> None:
    log.warning("%s: %s", node, what, extra={"fields": {"node": node}})


def _tell_changes(
    drift: Drift, node: str, table: TableName, was: Shape, now: Shape, used: Collection[tuple[str, TableName, str]]
) -> None:
    for number, (name, kind) in now.columns.items():
        if number not in was.columns:
            drift.added.add((node, table, name))
            unread = "" if (node, table, name) in used else ": no link reads it"
            _tell(node, f"{table} has a new column {name} ({kind}){unread}")
            continue
        old_name, old_kind = was.columns[number]
        if old_name != name:
            _tell(node, f"{table}.{old_name} is called {name} now")
        if old_kind != kind:
            drift.retyped[node, table, old_name] = (old_kind, kind)
            _tell(node, f"{table}.{name} is {kind} now, it was {old_kind}")
    for number, (name, _) in was.columns.items():
        if number not in now.columns:
            unread = "" if (node, table, name) in used else ": no link reads it"
            _tell(node, f"{table} has no column {name} any more{unread}")


# -- links that do not fit ---------------------------------------------------------------------------------------------


def faults(
    links: Sequence[Link], tables: Tables, drift: Drift, connections: Connections, refused: Sequence[Finding]
) -> dict[str, Pause]:
    """By name, why each link that does not fit its tables has to be paused. `refused`: what servers said against queries."""
    by_name = {link.name: link for link in links}
    found = {}
    for link in links:
        checked = Checked(link, by_name, tables)
        wrong = [*_missing(checked, drift), *_changed_for_the_worse(checked, drift)]
        wrong += unpublished(link, connections, drift.remade)
        if not wrong:
            mine = (one for one in refused if isinstance(one.where, Mark) and one.where.path == link.mark.path)
            wrong += [_of_finding(link, one) for one in mine]
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            found[link.name] = replace(wrong[0], reason=wrong[0].reason + more)
    return found


def unworkable(links: Sequence[Link], tables: Tables, drift: Drift | None = None) -> dict[str, Pause]:
    """By name, what columns and tables each link names that are not there."""
    by_name = {link.name: link for link in links}
    found = {link.name: _missing(Checked(link, by_name, tables), drift or Drift()) for link in links}
    return {name: wrong[0] for name, wrong in found.items() if wrong}


def _missing(checked: Checked, drift: Drift) -> list[Pause]:
    link, found = checked.link, []
    mended = MENDED.format(link=link.name)
    for node, table, mark in tables_marked(link):
        if checked.tables.get((node, table), ...) is None:
            other = drift.moved.get((node, table))
            hint = f"it is called {other} now: name it so, or rename it back" if other else "make it again, or change the link"
            pause = Pause(link.name, SCHEMA, f"{node} has no table {table}", f"{hint}, {mended}", str(mark), node, str(table))
            if pause not in found:
                found.append(pause)
    for use in checked.uses():
        own = use.table == link.side(use.node).table
        table_now = checked.table(use.node) if own else checked.tables.get((use.node, use.table))
        if table_now is None or use.column in table_now.by_name:
            continue
        called = drift.called(use.node, use.table, use.column)
        reason = f"{use.node}: {use.table} has no column {use.column}"
        hint = f"it is called {called} now: {_by_name(link)}, {mended}" if called else f"change the line, {mended}"
        pause = Pause(link.name, SCHEMA, reason, hint, str(use.mark), use.node, str(use.table), use.column)
        if pause not in found:
            found.append(pause)
    return found


def _by_name(link: Link) -> str:
    """What to do about a column that has another name on one node: of several that one file serves, the others have the old."""
    several = "rename it back, or rename it on all nodes that the file serves and write that"
    return "write that" if link.name == link.declared else several


def _of_finding(link: Link, finding: Finding) -> Pause:
    hint = "; ".join(part for part in (finding.hint, MENDED.format(link=link.name)) if part)
    return Pause(link.name, SCHEMA, finding.message, hint, str(finding.where))


def _tables_of(link: Link) -> set[Place]:
    return {(side.node, table) for side in link.sides for table in side.tables} | set(link.looked_up)


def _changed_for_the_worse(checked: Checked, drift: Drift) -> list[Pause]:
    """What a column that is new, or of another type, has made wrong, though all that the link names is there. What was wrong
    before stays as it was."""
    link = checked.link
    columns = [
        f"{node}: {table}.{name}" for node, table, name in (*drift.added, *drift.retyped) if (node, table) in _tables_of(link)
    ]
    errors = [one for one in errors_of_link(checked) if one.code not in ("L501", "L502")]
    found = [_of_finding(link, one) for one in errors if any(f"{column} " in one.message for column in columns)]
    for copy in checked.copies():
        source, target = link.other(copy.target), link.side(copy.target)
        ends = ((source, copy.source), (target, copy.column))
        hit = next(((s, c) for s, c in ends for t in s.tables if (s.node, t, c.name) in drift.retyped), None)
        what = mismatch(copy.source, copy.column)
        if hit is not None and what:
            side, column = hit
            reason = f"{side.node}: {side.table}.{column.name} is {column.type} now: {what}"
            hint = f"say with `convert` what is meant, or give the column its type back, {MENDED.format(link=link.name)}"
            at = (str(copy.field.mark), side.node, str(side.table), column.name)
            found.append(Pause(link.name, SCHEMA, reason, hint, *at))
    return found


def excused(links: Sequence[Link], tables: Tables, connections: Connections, refused: Sequence[Finding]) -> set[str]:
    """Links that do not fit their tables, though their files are as they were applied, or that are paused anyway: they do not
    keep the others from running. `refused`: what servers said against queries."""
    known: dict[str, Applied] = {}
    found: set[str] = set()
    for node, connection in connections.items():
        with translated(node):
            if has_state(connection):
                known |= remembered(connection) or {}
                found |= {one.pause.link for one in paused(connection)}
    files = {one.where.path for one in refused if isinstance(one.where, Mark)}
    unfit = set(unworkable(links, tables)) | {link.name for link in links if link.mark.path in files}
    for link in links:
        if link.name in unfit and link.name in known and known[link.name].document == document_of(link):
            found.add(link.name)
    return found


def unpublished(link: Link, connections: Connections, among: Collection[Place] | None = None) -> list[Pause]:
    """Tables that the link reads and whose changes do not reach the replicator, as those that were made anew. `among`: only these
    are looked at."""
    found = []
    for source, target in sorted(link.flows):
        side = link.side(source)
        asked = [table for table in side.tables if among is None or (source, table) in among]
        if not asked:
            continue
        with translated(source):
            there = published(connections[source], slot_name(flow_name(source, target)))
        for table in asked:
            if table not in there:
                reason = UNPUBLISHED.format(node=source, table=table)
                hint = UNPUBLISHED_HINT.format(link=link.name)
                found.append(Pause(link.name, SCHEMA, reason, hint, str(side.mark), source, str(table), stale=True))
    return found


def remade(link: Link, connections: Connections) -> bool:
    """Whether a table that the link reads is another one, under the same name, than when it was last looked at."""
    for source, target in link.flows:
        with translated(source):
            was = shapes.seen(connections[source], target)
            now = shapes.look(connections[source], link.side(source).tables)
        if any(name in was and was[name].id != shape.id for name, shape in now.items()):
            return True
    return False


def called_before(link: Link, old: Applied, connections: Connections) -> dict[str, str]:
    """Fields of the link that are called otherwise than they were, for a column of theirs is: their names -> those they had."""
    found = {}
    kept = {one.name for one in link.fields}
    gone = {name: columns for name, columns in _columns(old).items() if name not in kept}
    for one in link.fields:
        for name, columns in gone.items():
            if one.name not in old.fields and columns.keys() == one.columns.keys():
                now = {side.node: _called_now(link, side, columns.get(side.node), connections) for side in link.sides}
                if all(now[node] == column for node, column in one.columns.items()):
                    found[one.name] = name
    return found


def as_called_now(old: Applied, connections: Connections) -> Applied:
    """A link as it was applied, with the names that its tables have now: a table that was renamed is still the same, and so are
    the pairs of its records."""
    nodes = list(old.shape["keys"])
    if not set(nodes) <= connections.keys():
        return old
    names = {node: _renamed_tables(connections[node], node, next(n for n in nodes if n != node)) for node in nodes}
    if not any(names.values()):
        return old
    keys = {node: {**key, "table": names[node].get(key["table"], key["table"])} for node, key in old.shape["keys"].items()}
    rest = {
        what: {node: sorted(names[node].get(name, name) for name in tables) for node, tables in old.shape[what].items()}
        for what in ("read", "whole")
    }
    return replace(old, shape={**old.shape, "keys": keys, **rest})


def _renamed_tables(connection: psycopg.Connection, node: str, peer: str) -> dict[str, str]:
    with translated(node):
        was = shapes.seen(connection, peer)
        there = shapes.look(connection, list(was))
        gone = {shape.id: name for name, shape in was.items() if name not in there}
        return {str(gone[number]): str(name) for number, name in shapes.named_now(connection, gone).items()}


def _columns(old: Applied) -> dict[str, dict[str, str]]:
    return {name: old.document["fields"][name]["columns"] for name in old.fields}


def _called_now(link: Link, side: Side, column: str | None, connections: Connections) -> str | None:
    if column is None:
        return None
    with translated(side.node):
        was = shapes.seen(connections[side.node], link.other(side.node).node).get(side.table)
        now = shapes.look(connections[side.node], [side.table]).get(side.table)
    if was is None or now is None or column in now.names:
        return column
    number = {**was.formerly, **was.names}.get(column, 0)
    return now.columns[number][0] if number in now.columns else column


def as_if_whole(links: Sequence[Link], catalog: Tables, broken: Collection[str]) -> dict[Place, Table | None]:
    """The tables with what the broken links name and is not there: enough to know what to take from the stream for them."""
    tables = dict(catalog)
    by_name = {link.name: link for link in links}
    for link in (by_name[name] for name in sorted(broken)):
        wanted: dict[Place, dict[str, None]] = {place: {} for place in _tables_of(link)}
        for use in Checked(link, by_name, catalog).uses():
            wanted.setdefault((use.node, use.table), {})[use.column] = None
        for side in link.sides:
            for name in side.derived:
                wanted.setdefault((side.node, side.described), {})[name] = None
                wanted[side.node, side.table].pop(name, None)
            # A side's columns may be in the tables that it extends.
            for part in side.extends:
                there = tables.get((side.node, part.table))
                for name in there.by_name if there else ():
                    wanted[side.node, side.table].pop(name, None)
        for place, columns in wanted.items():
            tables[place] = _with(tables.get(place), place[1], list(columns), _key_of(link, place))
    return tables


def _key_of(link: Link, place: Place) -> tuple[str, ...]:
    return next((side.key for side in link.sides if (side.node, side.table) == place), ())


def _with(table: Table | None, name: TableName, columns: Sequence[str], key: tuple[str, ...]) -> Table:
    found = table or Table(name, (), key, (), "full")
    more = tuple(_unknown(column) for column in columns if column not in found.by_name)
    return found.with_columns(more)


def _unknown(name: str) -> Column:
    return Column(name, "text", "text", "text", "S", not_null=False)
