"""What another rule would have decided: logged conflicts are decided again, and nothing is changed.

Promises: the nodes are read in transactions in which the server refuses every write; an expression passes the same
checks as one in a link file; where the log does not hold what a rule wants to know, that is counted and not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import psycopg

from replicator.engines.postgres.catalog import read_tables
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.history import Selection, reading
from replicator.engines.postgres.records import Evaluated, evaluate
from replicator.errors import ConfigurationError
from replicator.mapping.chosen import links_named
from replicator.mapping.expressions import BothColumns, Passage, parse_expression
from replicator.mapping.findings import Findings, near
from replicator.model.config import Config
from replicator.model.finding import Mark
from replicator.model.link import Expression, Field, Link
from replicator.model.table import Column
from replicator.runtime.history import Conflict, Connections, field_of, select

Verdict = Literal["same", "otherwise", "would wait", "not known"]
VERDICTS: tuple[Verdict, ...] = ("same", "otherwise", "would wait", "not known")
EXAMPLES = "latest, queue, owner:NODE or merge:EXPRESSION"
SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """The rule to try for one field. `text` as it was given."""

    link: Link
    field: Field
    text: str
    kind: str
    owner: str | None = None
    merge: Expression | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """`was`, `would_be`: the value that stood and the one that would have; None with `waits` for no value yet."""

    conflict: Conflict
    was: str | None
    would_be: str | None
    waited: bool
    waits: bool


@dataclass
class Replayed:
    """`verdicts`: of all logged conflicts of the field."""

    wish: Wish
    logged: int = 0
    verdicts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _End:
    """How a conflict ended, or would have. `known` False: nobody can tell."""

    value: str | None = None
    waits: bool = False
    known: bool = True


def parse_wishes(config: Config, rules: Sequence[str], link_name: str | None) -> list[Wish]:
    """`FIELD=RULE` or `LINK.FIELD=RULE`. ConfigurationError for what makes no sense."""
    wishes = []
    for given in rules:
        name, equals, text = given.partition("=")
        if not equals or not text:
            raise ConfigurationError("--rule must be written FIELD=RULE", f"where RULE is {EXAMPLES}")
        name, text = name.strip(), text.strip()
        found = _fields_named(config, name, link_name)
        if not found:
            fields = sorted({f.name for link in _links(config, link_name) for f in link.fields})
            hint = near(name, fields) or f"fields are {', '.join(fields[:12])}"
            raise ConfigurationError(f"{link_name or 'no link'} has {'no' if link_name else 'a'} field {name!r}", hint)
        wishes += [_wish(link, one, text) for link, one in found]
    places = [(wish.link.name, wish.field.name) for wish in wishes]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice:
        raise ConfigurationError(f"two rules are given for {'.'.join(twice)}", "give one rule a field")
    return wishes


def replay(connections: Connections, wishes: Sequence[Wish], selection: Selection) -> list[Replayed]:
    """`selection`: of which conflicts, apart from link and field."""
    done = []
    with ExitStack() as stack:
        for node, connection in connections.items():
            stack.enter_context(translated(node))
            stack.enter_context(reading(connection))
        for wish in wishes:
            asked = replace(selection, links=(wish.link.name,), field=wish.field.name)
            found, _ = select(connections, asked)
            done.append(_replayed(connections, wish, found))
    return done


def as_document(done: Replayed) -> dict[str, Any]:
    """For --json."""
    return {
        "link": done.wish.link.name, "field": done.wish.field.name, "rule": done.wish.text,
        "rule_now": str(done.wish.field.rule), "logged": done.logged,
        **{verdict.replace(" ", "_"): count for verdict, count in done.verdicts.items()},
        "samples": [
            {
                "id": s.conflict.id, "keys": s.conflict.keys, "was": s.was, "waited": s.waited,
                "would_be": s.would_be, "would_wait": s.waits,
            }
            for s in done.samples
        ],
    }  # fmt: skip


def _fields_named(config: Config, name: str, link_name: str | None) -> list[tuple[Link, Field]]:
    """Those that can clash, if any of them can: the ones that both nodes write."""
    links = _links(config, link_name)
    exact = [(link, one) for link in links if (one := field_of(link, name)) is not None]
    if exact:
        return [(link, one) for link, one in exact if len(one.writes) > 1] or exact
    prefix, _, rest = name.partition(".")
    return [(link, one) for link in links if prefix in (link.name, link.declared) and (one := field_of(link, rest)) is not None]


def _links(config: Config, name: str | None) -> Sequence[Link]:
    return config.links if name is None else links_named(config, name)


def _wish(link: Link, one: Field, text: str) -> Wish:
    kind, _, rest = text.partition(":")
    nodes = [side.node for side in link.sides]
    where = f"{link.name}.{one.name}"
    if kind == "owner":
        if rest not in nodes:
            raise ConfigurationError(f"{where}: owner must be a node of the link", f"write owner:{nodes[0]} or owner:{nodes[1]}")
        return Wish(link, one, text, "owner", owner=rest)
    if kind == "merge" and rest:
        return Wish(link, one, text, "merge", merge=_merge(link, one, rest))
    if text in ("latest", "queue"):
        return Wish(link, one, text, text)
    if text == "delta":
        raise ConfigurationError(
            f"{where}: delta cannot be replayed", "the log has the values that met, not what each side added"
        )
    raise ConfigurationError(f"{where}: {text!r} is not a rule", f"write {EXAMPLES}")


def _merge(link: Link, one: Field, text: str) -> Expression:
    where = f"{link.name}.{one.name}"
    if len(one.columns) < 2 or one.values or one.lookup or one.reference or one.convert:
        raise ConfigurationError(
            f"{where}: merge needs a field that both nodes have as a plain copy", "try latest, queue or owner:NODE"
        )
    found = Findings()
    columns = {side.node: one.columns[side.node] for side in link.sides}
    passage = Passage(text, lambda index: Mark("--rule", 1, index + 1))
    expression = parse_expression(passage, BothColumns([side.node for side in link.sides], columns), found)
    if expression is None:
        first = found.in_order()[0]
        raise ConfigurationError(f"{where}: {first.message}", first.hint)
    return expression


def _replayed(connections: Connections, wish: Wish, conflicts: Sequence[Conflict]) -> Replayed:
    done = Replayed(wish, len(conflicts))
    merged = _merged(connections, wish, conflicts) if wish.merge is not None else {}
    for one in conflicts:
        was, would = ended(one), _would_end(one, wish, merged)
        verdict: Verdict
        if not (was.known and would.known):
            verdict = "not known"
        elif would.waits:
            verdict = "same" if was.waits else "would wait"
        else:
            found = merged.get(one.id)
            same = not found.differs if found is not None else was.value == would.value
            verdict = "same" if same and not was.waits else "otherwise"
        done.verdicts[verdict] += 1
        if verdict in ("otherwise", "would wait") and len(done.samples) < SAMPLES:
            done.samples.append(Sample(one, was.value, would.value, was.waits, would.waits))
    return done


def ended(one: Conflict) -> _End:
    """What became of it."""
    if one.waits:
        return _End(waits=True)
    if one.winner in one.nodes:
        return _End(one.edit(one.winner).value)
    if one.winner == "both" or (one.status == "resolved" and one.written is not None):
        return _End(one.written)
    return _End(known=False)


def _would_end(one: Conflict, wish: Wish, merged: Mapping[str, Evaluated]) -> _End:
    if wish.kind == "queue":
        return _End(waits=True)
    if wish.kind == "owner" and wish.owner is not None:
        return _End(one.edit(wish.owner).value)
    if wish.kind == "merge":
        found = merged.get(one.id)
        return _End(known=False) if found is None else _End(found.value)
    incoming, existing = one.row.incoming_stamp, one.row.existing_stamp
    if incoming is None or existing is None:
        return _End(known=False)
    return _End(one.incoming.value if incoming > existing else one.existing.value)


def _merged(connections: Connections, wish: Wish, conflicts: Sequence[Conflict]) -> dict[str, Evaluated]:
    """The expression's value for each; without those that it fails for, as it would have for the replicator."""
    assert wish.merge is not None
    found: dict[str, Evaluated] = {}
    for node, connection in connections.items():
        here = [one for one in conflicts if one.node == node]
        column = _column(connection, wish, node) if here else None
        if column is None:
            continue
        for source in {one.incoming.node for one in here}:
            some = [one for one in here if one.incoming.node == source]
            values = [(one.incoming.value, one.existing.value, ended(one).value) for one in some]
            with translated(node):
                results = evaluate(connection, wish.merge, column, (source, node), values)
            found |= {one.id: result for one, result in zip(some, results, strict=True) if result is not None}
    return found


def _column(connection: psycopg.Connection, wish: Wish, node: str) -> Column | None:
    table = wish.link.side(node).table
    with translated(node):
        known = read_tables(connection, {table})[table]
    return known.by_name.get(wish.field.columns[node]) if known is not None else None
