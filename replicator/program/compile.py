"""Compiles every link for one flow, in the order in which a batch must run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from replicator.model.link import Link
from replicator.model.topology import Place
from replicator.program.direct import compile_direct
from replicator.program.layout import Layout
from replicator.program.paired import compile_paired
from replicator.program.program import Program
from replicator.program.projection import Tables


def compile_flow(
    links: Sequence[Link], tables: Tables, source: str, target: str, passed: frozenset[Place] = frozenset()
) -> tuple[Program, ...]:
    """The programs of the flow source -> target, a link after every link it refers to. `passed`: see model/topology.py."""
    by_name = {link.name: link for link in links}
    programs = []
    for link in in_order(links, tables, target):
        if (source, target) in link.flows:
            layout = Layout(link, by_name, tables, source, target, passed)
            program = compile_direct(layout) if layout.direct else compile_paired(layout)
            programs.append(replace(program, limited=_limited(layout)))
    return tuple(programs)


def _limited(layout: Layout) -> tuple[tuple[str, str], ...]:
    places: dict[str, list[str]] = {}
    for number, field in enumerate(layout.link.fields):
        if number in layout.written or layout.target in field.initial:
            kind = layout.target_column(number).type
            if kind.startswith("character"):
                places.setdefault(kind, []).append(f"{field.name} ({field.mark})")
    return tuple((kind, " or ".join(fields)) for kind, fields in places.items())


def in_order(links: Sequence[Link], tables: Tables, target: str) -> list[Link]:
    """Links sorted so that what is referred to, by the link or by a foreign key of the target, comes first; a cycle keeps
    the order of the files where it closes."""
    by_name = {link.name: link for link in links}
    ordered: dict[str, Link] = {}
    visiting: set[str] = set()

    def visit(link: Link) -> None:
        if link.name in ordered or link.name in visiting:
            return
        visiting.add(link.name)
        for field in link.fields:
            if field.reference is not None and field.reference.link in by_name:
                visit(by_name[field.reference.link])
        parents = tables[target, link.side(target).table].refers_to
        for other in links:
            if other.side(target).table in parents:
                visit(other)
        ordered[link.name] = link

    for link in links:
        visit(link)
    return list(ordered.values())
