"""Which way a link is compared, and with which statements.

Forward leads from the link's first side, if a flow leads from there, else from its other side; every field that the
program of that flow projects is compared there, once. The way back serves to learn what becomes of records that only the
other side has, and compares the fields that nothing forward projects: only then all of its records have to be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replicator.model.link import Link
from replicator.model.table import Column
from replicator.program.asserted import Asserted, asserted
from replicator.program.changed import Read, tables_read
from replicator.program.compare import Compare, compare_of
from replicator.program.layout import Layout
from replicator.program.pairs import Extras, PairChecks, extras, pair_checks
from replicator.program.program import Program
from replicator.program.sums import Sums, key_sums_of, sums_of


@dataclass(frozen=True, slots=True)
class Way:
    layout: Layout
    program: Program
    asked: Compare

    @property
    def source(self) -> str:
        return self.layout.source

    @property
    def target(self) -> str:
        return self.layout.target


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """back_fields: whether the way back has fields of its own. checks, sums, read: by node. extras, key_sums: of links
    without pairs. digest: of everything that decides what is equal."""

    link: Link
    forward: Way
    back: Way | None
    back_fields: bool
    checks: Mapping[str, PairChecks]
    extras: Extras | None
    sums: Mapping[str, Sums] | None
    key_sums: Mapping[str, Sums] | None
    read: Mapping[str, Read]
    digest: str
    assertions: tuple[Asserted, ...]

    @property
    def paired(self) -> bool:
        return self.forward.program.paired

    @property
    def nodes(self) -> tuple[str, str]:
        return self.forward.source, self.forward.target


def link_plan(
    programs: Mapping[tuple[str, str], Program],
    layouts: Mapping[tuple[str, str], Layout],
    gives: Mapping[tuple[str, str], Sequence[Column]],
) -> LinkPlan:
    """The first two by flow, of one link. `gives`: by assertion and node, the columns of its query."""
    link = next(iter(programs.values())).link
    one, other = (side.node for side in link.sides)
    flow = (one, other) if (one, other) in programs else (other, one)
    forward = _way(flow, programs, layouts, frozenset())
    back_flow = (flow[1], flow[0])
    back = _way(back_flow, programs, layouts, frozenset(forward.layout.projected)) if back_flow in programs else None
    by_source = {source: layout for (source, _), layout in layouts.items()}
    layout = forward.layout
    checks = {node: pair_checks(link, by_source, node) for node in flow}
    return LinkPlan(
        link=link,
        forward=forward,
        back=back,
        back_fields=back is not None and back.asked.fields is not None,
        checks=checks,
        extras=None if forward.program.paired else extras(layout),
        sums=sums_of(link, layout, sorted({*layout.projected, *(back.layout.projected if back else ())})),
        key_sums=key_sums_of(link, layout),
        read={node: tables_read(link, layout.links, node, forward.program.paired) for node in flow},
        digest=_digest(forward, *([back] if back is not None else [])),
        assertions=tuple(
            asserted(layout, one, number, {node: gives[one.name, node] for node in flow}, checks[layout.target].keys)
            for number, one in enumerate(link.asserts)
        ),
    )


def _way(
    flow: tuple[str, str],
    programs: Mapping[tuple[str, str], Program],
    layouts: Mapping[tuple[str, str], Layout],
    compared: frozenset[int],
) -> Way:
    layout, program = layouts[flow], programs[flow]
    return Way(layout, program, compare_of(layout, program, [i for i in layout.projected if i not in compared]))


def _digest(*ways: Way) -> str:
    parts = []
    for way in ways:
        steps, asked = way.program.steps, way.asked
        parts += [way.program.setup, asked.records(0, "0/0", inside=True), asked.sift, asked.acts, asked.fields]
        parts += [steps.project, steps.adopt, steps.hold]
    return hashlib.sha256(repr(parts).encode()).hexdigest()
