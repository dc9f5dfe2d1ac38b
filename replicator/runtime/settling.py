"""Conflicts that wait for a person, and what a person wants of them: checked before anything is written.

Promises: either every entry can be settled as asked, or ConfigurationError says which cannot and why; a value that the
field's column cannot hold never reaches the daemon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.engines.postgres.catalog import read_tables
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.records import value_refused
from replicator.errors import ConfigurationError
from replicator.model.config import Config
from replicator.model.link import Field, Link
from replicator.runtime.history import Conflict, Connections, field_of, link_of

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """`take`: the node whose value is to stand; None for `value`, which is written as the entry's own node has it."""

    take: str | None
    value: str | None

    @property
    def wanted(self) -> str:
        return self.take if self.take is not None else "value"

    def stands(self, one: Conflict) -> str | None:
        """What both sides will have, as the entry's node writes it."""
        return self.value if self.take is None else one.edit(self.take).value


def check(config: Config, connections: Connections, conflicts: Sequence[Conflict], wish: Wish) -> None:
    """Whether all of these can be settled so."""
    decided = [one for one in conflicts if not one.waits]
    if decided:
        what = ", ".join(f"{one.id} ({_was(one)})" for one in decided[:SHOWN])
        hint = "only what waits for a person can be settled: `replicator conflicts list --open`; edit the record to change it"
        raise ConfigurationError(f"not waiting: {what}{', ...' if len(decided) > SHOWN else ''}", hint)
    for one in conflicts:
        if field_of(link_of(config, one.link), one.field) is None:
            where = f"{one.link}.{one.field}"
            raise ConfigurationError(f"{one.id} is of {where}, which is not in the configuration any more", "settle it by hand")
        if wish.take is not None and wish.take not in one.nodes:
            hint = f"take {one.nodes[0]} or {one.nodes[1]}; `--link` picks the conflicts of one link"
            raise ConfigurationError(f"{one.id} ({one.link}) is not between {wish.take} and another node", hint)
    if wish.value is not None:
        _check_value(config, connections, conflicts, wish.value)


def _was(one: Conflict) -> str:
    if one.status == "resolved":
        return f"settled by {one.settled_by or 'a person'}"
    return "the two sides agree by now" if one.status == "gone" else f"decided by rule {one.rule}"


def _check_value(config: Config, connections: Connections, conflicts: Sequence[Conflict], value: str) -> None:
    places = {(one.link, one.field, one.node) for one in conflicts}
    if len(places) > 1:
        fields = ", ".join(sorted(f"{link}.{field}" for link, field, _ in places))
        hint = "name one field with --link and --field, or use --take"
        raise ConfigurationError(f"one --value for different fields: {fields}", hint)
    for link_name, field_name, node in places:
        link = link_of(config, link_name)
        field = field_of(link, field_name)
        assert link is not None
        assert field is not None
        table, name = link.side(node).table, field.columns[node]
        with translated(node):
            known = read_tables(connections[node], {table})[table]
            column = known.by_name.get(name) if known is not None else None
            refused = (
                value_refused(connections[node], column, value) if column is not None else "cannot be checked: no such column"
            )
        if refused:
            hint = f"write it as {node} has it, in {table}.{name}"
            raise ConfigurationError(f"--value {refused}", hint)
        _check_mapped(link, field, node, value)


def _check_mapped(link: Link, field: Field, node: str, value: str) -> None:
    """A value that has no counterpart on the other side could not be written there."""
    if field.values is None:
        return
    forward = field.first == node
    default = field.values.forward_default if forward else field.values.backward_default
    listed = [one if forward else other for one, other in field.values.pairs]
    if default is None and value not in listed:
        message = f"--value has no counterpart on {link.other(node).node}: it is not among the `values` of {field.mark}"
        raise ConfigurationError(message, "list it there, or choose one that is")
