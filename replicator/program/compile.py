"""Compiles every link for one flow, in the order in which a batch must run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from replicator.model.link import Link, Missing
from replicator.model.topology import Place
from replicator.program.derive import reread
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
            programs.append(replace(program, limited=_limited(layout), current=reread(layout)))
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
    """Links sorted so that what is referred to, by the link or by a foreign key of the target, comes first. In a circle a
    reference without which a record can be written gives way; if there is none, the order of the files stands where it closes."""
    by_name = {link.name: link for link in links}
    needs, prefers = _parents(links, tables, target)

    def reaches(start: str, end: str) -> bool:
        seen, ahead = {start}, [start]
        while ahead:
            more = needs[ahead.pop()] - seen
            seen |= more
            ahead += more
        return end in seen

    ordered: dict[str, Link] = {}
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered or name in visiting:
            return
        visiting.add(name)
        soft = {other for other in prefers[name] if not reaches(other, name)}
        for other in by_name:
            if other in needs[name] or other in soft:
                visit(other)
        ordered[name] = by_name[name]

    for name in by_name:
        visit(name)
    return list(ordered.values())


def _parents(links: Sequence[Link], tables: Tables, target: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """By link: the links whose records must be there before its own, and those that should."""
    by_name = {link.name: link for link in links}
    needs: dict[str, set[str]] = {}
    prefers: dict[str, set[str]] = {}
    for link in links:
        needs[link.name], prefers[link.name] = set(), set()
        for reference in (field.reference for field in link.fields if field.reference is not None):
            kinds = needs if reference.missing is Missing.WAIT else prefers
            kinds[link.name] |= by_name.keys() & set(reference.links)
        parents = tables[target, link.side(target).table].refers_to
        keyed = {other.name for other in links if other.side(target).table in parents}
        needs[link.name] |= keyed - prefers[link.name]
    return needs, prefers
