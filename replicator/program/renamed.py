"""A link under another name, for statements beside state tables that are not its own any more."""

from __future__ import annotations

from dataclasses import replace

from replicator.model.link import Link
from replicator.program.names import fitted


def under_another_name(links: list[Link], name: str) -> list[Link]:
    """The links, one of them renamed: its crosswalk is then another than the one that is there."""
    new = other_name(name)

    def renamed(one: Link) -> Link:
        fields = tuple(replace(f, reference=f.reference.renamed(name, new)) if f.reference else f for f in one.fields)
        return replace(one, name=new if one.name == name else one.name, fields=fields)

    return [renamed(one) for one in links]


def other_name(name: str) -> str:
    return fitted(f"{name} as planned")
