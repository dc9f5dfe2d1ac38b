"""What mends a difference: decided by the fields' rules, without a session of its own.

    send      the record goes through the flow from a node once more, with a mask of fields (apply/backfill.py): the link's
              program and rules do the rest
    again     the pair is taken apart on both nodes first, for one of its records is gone; then it is sent and made anew
    remove    the record goes, as the link's delete rule says: what it was made from is gone
    tell      the other node is told of the pair
    forget    the pair is forgotten: both its records are gone

What no rule decides is left alone, with what a person can do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from replicator.model.link import Field, Link
from replicator.program.sql import bit_text, mask_of
from replicator.reconcile.compare import Key
from replicator.reconcile.difference import Difference

How = Literal["send", "again", "remove", "tell", "forget"]


@dataclass(frozen=True, slots=True)
class Mending:
    """`source`: whose record is sent; for `tell` who knows the pair, for `remove` the node it is removed from.
    `fields`: name -> why its value stands; `mask`: theirs, None for all."""

    how: How
    link: str
    keys: Mapping[str, Key]
    source: str
    fields: Mapping[str, str] = field(default_factory=dict)
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A difference, or fields of one, that no rule decides; `advice` says what a person can do."""

    difference: Difference
    fields: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the nodes' own tables say of a record that differs. `newer`: field -> the node where its newest known edit was made.
    `there`: nodes that have the row."""

    newer: Mapping[str, str]
    there: frozenset[str]


ADVICE = {
    "duplicate": "`replicator match` lists what matches several, for a person to decide",
    "unpaired": "`replicator match --apply` pairs them",
    "twice": "`replicator unmatch` takes the wrong pair apart",
    "waits": "what it refers to has to come first: backfill or mend that link",
    "refused": "the value has to be changed on the side that has it",
    "assertion": "the rows it adds up have to be mended",
}
PARKED = "what is parked has to go through first: `replicator parked list`"
PERSON = "a person has to settle it: `replicator conflicts list --open`"
COUNTER = "a counter has no right side: set it by hand on one of them"
NOBODY = "nothing is known of when either was changed: say --prefer NODE"


def decide(link: Link, one: Difference, known: Known, prefer: str | None) -> tuple[list[Mending], list[Left]]:
    """`prefer`: the node whose value stands where no rule decides."""
    nodes = [side.node for side in link.sides]
    if one.cause == "parked":
        return [], [Left(one, (), PARKED)]
    if one.cause == "waits for a person":
        return [], [Left(one, (), PERSON)]
    if one.kind in ADVICE:
        return [], [Left(one, (), ADVICE[one.kind])]
    if one.kind == "differs":
        return _differs(link, one, known, prefer)
    if one.kind == "dead pair":
        return [Mending("forget", one.link, one.keys, one.source)], []
    if one.kind == "crosswalk":
        if all(node in known.there for node in nodes):
            return [Mending("tell", one.link, one.keys, one.source)], []
        return [Mending("forget", one.link, one.keys, one.source)], []
    if one.kind == "missing":
        return _missing(link, one, known)
    return _extra(link, one, known)


def _differs(link: Link, one: Difference, known: Known, prefer: str | None) -> tuple[list[Mending], list[Left]]:
    numbers = {f.name: i for i, f in enumerate(link.fields)}
    from_node: dict[str, dict[str, str]] = {}
    undecided: dict[str, list[str]] = {}
    for name in one.fields:
        node, why = _stands(link, link.fields[numbers[name]], known.newer.get(name), prefer)
        if node is None:
            undecided.setdefault(why, []).append(name)
        else:
            from_node.setdefault(node, {})[name] = why
    mendings = [
        Mending("send", one.link, one.keys, node, fields, bit_text(mask_of(numbers[n] for n in fields), len(link.fields)))
        for node, fields in from_node.items()
    ]
    return mendings, [Left(one, tuple(fields), advice) for advice, fields in undecided.items()]


def _stands(link: Link, one: Field, newer: str | None, prefer: str | None) -> tuple[str | None, str]:
    """The node whose value stands, and why; None and advice."""
    nodes = [side.node for side in link.sides]
    if len(one.writes) < 2:
        target = next(iter(one.writes or one.columns))
        return link.other(target).node, "it flows one way"
    kind = one.rule.kind
    if kind == "owner" and one.rule.owner is not None:
        return one.rule.owner, f"{one.rule.owner} owns it"
    if kind == "delta":
        return None, COUNTER
    if kind in ("merge", "queue"):
        # Whichever is sent, the arbiter weighs both.
        return link.other(link.arbiter).node, "merged" if kind == "merge" else "left to a person"
    if newer is not None:
        return newer, f"{newer} edited it last"
    if prefer in nodes:
        return prefer, f"{prefer} is preferred"
    return None, NOBODY


def _missing(link: Link, one: Difference, known: Known) -> tuple[list[Mending], list[Left]]:
    if one.lacks is not None and (one.source, one.lacks) not in link.flows:
        return _extra(link, one, known)
    if one.cause == "deleted":
        return [], [Left(one, (), f"it was deleted on {one.lacks}: delete it on {one.source} too, or make it anew")]
    if len(one.keys) < 2:
        return [Mending("send", one.link, one.keys, one.source)], []
    if one.lacks in known.there:
        return [], [Left(one, (), f"its row on {one.lacks} is there, but takes no part any more: look why")]
    return [Mending("again", one.link, one.keys, one.source)], []


def _extra(link: Link, one: Difference, known: Known) -> tuple[list[Mending], list[Left]]:
    """What it was made from is gone, or takes no part any more."""
    if one.lacks in known.there and one.lacks is not None and (one.lacks, one.source) in link.flows and len(one.keys) == 2:
        return [Mending("send", one.link, one.keys, one.lacks)], []  # its flow sees that it has left
    return [Mending("remove", one.link, one.keys, one.source)], []
