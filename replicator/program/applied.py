"""What a node remembers of a link as it was last applied, and how the link's file differs from that.

State depends on links in two ways: its masks of fields go by the fields' numbers, and its tables, like slots and
publications, by what `shape` says. A link that differs in one of these needs `replicator plan --apply`
(`blocker` says why); anything else is read anew at every start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from replicator.model.finding import Mark
from replicator.model.link import DeleteRule, Expression, Field, Link, Query, Restore, Rule, Stub, ValueMap
from replicator.model.table import TableName
from replicator.program.layout import Layout
from replicator.program.projection import Tables

Sign = str  # "+", "-" or "~"
UNTOLD = {"name", "fields", "sides", "flows", "rule"}  # parts of a link that the document has in another form


@dataclass(frozen=True, slots=True)
class Applied:
    """fields    names, in the order of the bits in masks
    shape     what state tables, slots, publications and replica identities depend on
    document  the whole link, without places in files
    """

    name: str
    fields: tuple[str, ...]
    shape: dict[str, Any]
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    sign: Sign
    what: str


def applied_link(
    link: Link,
    links: Mapping[str, Link],
    tables: Tables,
    read: Mapping[str, Collection[TableName]],
    whole: Mapping[str, Collection[TableName]],
) -> Applied:
    """`read`: node -> tables that a flow captures there for this link; `whole`: those that need whole before images."""
    layout = Layout(link, links, tables, *sorted(link.flows)[0])
    shape = {
        "flows": [f"{source} -> {target}" for source, target in sorted(link.flows)],
        "paired": not layout.direct,
        "keys": {
            side.node: {
                "table": str(side.table),
                "key": [[column.name, column.portable] for column in layout.key_columns(side.node)],
            }
            for side in sorted(link.sides, key=lambda side: side.node)
        },
        "read": {node: sorted(map(str, names)) for node, names in sorted(read.items())},
        "whole": {node: sorted(map(str, names)) for node, names in sorted(whole.items())},
    }
    return Applied(link.name, tuple(field.name for field in link.fields), shape, document_of(link))


def same_pairs(old: Applied, new: Applied) -> bool:
    """Whether the crosswalk of the one can be the other's."""
    return bool(old.shape["keys"] == new.shape["keys"])


def blocker(old: Applied | None, new: Applied) -> str | None:
    """Why a flow must not start with the link as it is now, in words; None if it may."""
    if old is None:
        return "is new"
    if not same_pairs(old, new):
        return "has another key, or another table"
    if old.shape["flows"] != new.shape["flows"]:
        return f"goes {_and(new.shape['flows'])}, it went {_and(old.shape['flows'])}"
    if old.fields != new.fields:
        added = [name for name in new.fields if name not in old.fields]
        gone = [name for name in old.fields if name not in new.fields]
        said = [*(f"{name} is new" for name in added), *(f"{name} is gone" for name in gone)]
        return f"has other fields ({', '.join(said)})" if said else "has its fields in another order"
    if old.shape["paired"] != new.shape["paired"]:
        return "needs a crosswalk now" if new.shape["paired"] else "needs no crosswalk any more"
    for what, words in (("read", "is to be captured now"), ("whole", "needs REPLICA IDENTITY FULL now")):
        for node, tables in new.shape[what].items():
            more = sorted(set(tables) - set(old.shape[what].get(node, ())))
            if more:
                return f"reads more: {', '.join(more)} on {node} {words}"
    return None


def differences(old: Applied, new: Applied) -> list[Difference]:
    """What a person would want to know, in the order of the file."""
    found = []
    before, after = dict(old.document), dict(new.document)
    was, now = before.pop("fields"), after.pop("fields")
    for name in [*after, *(n for n in before if n not in after)]:
        found += _compared(name, before.get(name), after.get(name))
    for number, name in enumerate(new.fields):
        if name not in was:
            found.append(Difference("+", f"field {name} ({_columns(now[name])}), number {number + 1} of {len(new.fields)}"))
        elif was[name] != now[name]:
            one, other = was[name], now[name]
            changes = [d for part in _parts(one, other) for d in _compared(part, one.get(part), other.get(part))]
            found += [Difference("~", f"field {name}: {change.what}") for change in changes]
    found += [Difference("-", f"field {name} ({_columns(was[name])})") for name in old.fields if name not in now]
    if [n for n in old.fields if n in now] != [n for n in new.fields if n in was]:
        found.append(Difference("~", f"the order of the fields: {', '.join(new.fields)}"))
    for node, key in new.shape["keys"].items():
        if key["key"] != old.shape["keys"].get(node, {}).get("key"):
            found.append(Difference("~", f"key on {node}: {', '.join(f'{name} {kind}' for name, kind in key['key'])}"))
    return found


def new_numbers(old: Sequence[str], new: Sequence[str]) -> list[int | None]:
    """For each field of `new` the number that it had in `old`."""
    places = {name: number for number, name in enumerate(old)}
    return [places.get(name) for name in new]


# -- the document ------------------------------------------------------------------------------------------------------


def document_of(link: Link) -> dict[str, Any]:
    sides = {f"on {side.node}": _plain(side) for side in link.sides}
    for side in sides.values():
        side.pop("node")
    rest = {f.name: _plain(getattr(link, f.name)) for f in fields(link) if f.name not in UNTOLD and not f.name.endswith("mark")}
    document = {**sides, "flow": [f"{source} -> {target}" for source, target in sorted(link.flows)], **rest}
    document["groups"] = {group.name: [link.fields[i].name for i in group.fields] for group in link.groups}
    return {k: v for k, v in document.items() if v} | {"fields": {f.name: _field(f) for f in link.fields}}


def _field(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = _plain(field)
    found.pop("name")
    return found


def _plain(value: Any) -> Any:
    """As JSON can have it; what is empty is left out."""
    if isinstance(value, Expression | Query):
        return value.text
    if isinstance(value, TableName):
        return str(value)
    if isinstance(value, Rule):
        return f"merge {value.merge.text}" if value.merge is not None else str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, ValueMap):
        defaults = {"forward": value.forward_default, "backward": value.backward_default}
        others = [f"others {way}: {default}" for way, default in defaults.items() if default is not None]
        return [*(f"{one}: {other}" for one, other in value.pairs), *others]
    if isinstance(value, DeleteRule | Restore | Stub):
        sets = [f"{column} = {expression.text}" for column, expression in value.assignments]
        return sets or getattr(value, "kind", "")
    if is_dataclass(value):
        parts = {f.name: getattr(value, f.name) for f in fields(value) if not isinstance(getattr(value, f.name), Mark)}
        return {name: plain for name, part in parts.items() if (plain := _plain(part)) not in (None, False, "", [], {})}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(part) for part in value)
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value


# -- in words ----------------------------------------------------------------------------------------------------------


def _parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [*other, *(name for name in one if name not in other)]


def _compared(name: str, old: Any, new: Any) -> list[Difference]:
    if old == new:
        return []
    if isinstance(old or {}, Mapping) and isinstance(new or {}, Mapping) and (old or new):
        one, other = old or {}, new or {}
        return [d for part in _parts(one, other) for d in _compared(f"{name}.{part}", one.get(part), other.get(part))]
    if old in (None, False):
        return [Difference("+", f"{name}: {_text(new)}")]
    if new in (None, False):
        return [Difference("-", f"{name}: {_text(old)}")]
    return [Difference("~", f"{name}: {_text(old)} -> {_text(new)}")]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _columns(field: Mapping[str, Any]) -> str:
    nodes = sorted(field["columns"], key=lambda node: node != field["first"])
    columns = [f"{node}.{field['columns'][node]}" for node in nodes]
    writes = field.get("writes", [])
    if len(columns) < 2:
        return columns[0]
    arrow = "<->" if len(writes) == 2 else "->" if writes == nodes[1:] else "<-"
    return f"{columns[0]} {arrow} {columns[1]}"


def _and(flows: Sequence[str]) -> str:
    return " and ".join(flows)
