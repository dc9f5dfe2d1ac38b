"""What is wrong with a link only as a whole: every part of it can be read, and they do not go together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from replicator.mapping.findings import show
from replicator.mapping.sides import Scope
from replicator.model.link import Field, Side


def check_slices(
    fields: Sequence[Field], sides: Sequence[Side], match: Mapping[str, tuple[str, ...]], never: Collection[str], scope: Scope
) -> None:
    """A slice that is written from the other side needs to be told which row it belongs to."""
    for side in sides:
        if not side.slice or not scope.is_target(side.node) or side.node in never or match:
            continue
        given = {field.columns[side.node] for field in fields if len(field.columns) == 2 and not field.convert}
        for column in side.key:
            if column not in given:
                other = scope.other(side.node)
                message = f"no field says whose slice it is: {side.node}.{column} is not known of a record of {other}"
                hint = f"add for example `{{{side.node}: {column}, {other}: customer_no, link: customer}}`, or `match`"
                scope.found.add("L220", side.mark, message, hint)


def check_opposed(fields: Sequence[Field], scope: Scope) -> None:
    """`{erp: a, from: "crm.b"}` and `{crm: b, from: "upper(erp.a)"}`: one value, in two one-way fields."""
    earlier: dict[tuple[str, str], Field] = {}
    for field in fields:
        node = next(iter(field.columns))
        if len(field.columns) == 2 or node not in field.convert:
            continue
        column, other = field.columns[node], scope.other(node)
        for read in sorted(field.convert[node].reads):
            back = earlier.get((other, read))
            if back is not None and column in back.convert[other].reads:
                message = (
                    f"{node}.{column} is computed from {other}.{read}, and that from {node}.{column} by the field"
                    f" {show(back.name)} in line {back.mark.line}: two edits at once leave the sides unlike, and are no conflict"
                )
                hint = f"make it one field: `{{{other}: {read}, {node}: {column}, convert: {{{node}: ..., {other}: ...}}}}`"
                scope.found.add("L221", field.mark, message, hint)
        earlier[node, column] = field
