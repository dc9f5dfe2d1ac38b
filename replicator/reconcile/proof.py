"""What a comparison proves, and what of a proof still holds later.

A proof says: with these two snapshots, one on each node, every record was equal but those whose keys are in `doubtful`.
It is made of the first look of a run alone. That a record which differed was found equal in a later look settles that it
was only on its way; but the two looks had different snapshots, so it stays doubtful and is compared again the next time.

What holds later, with two new snapshots:

    nothing    every table that was read has the same row versions as then, and nothing was doubtful: what was equal is
               equal. Nothing is shipped.
    changed    the tables beside the records (lookups, queries' tables, the pairs of links referred to) have the same row
               versions. Then a record and its counterpart are equal as they were, unless a row of one of the two, or their
               pair, has another version than then, or they were doubtful. These are compared again; so are all records
               that have no pair. A version that is gone leaves no trace: that a record or a pair is gone is found by
               anti-joins on each node and by comparing the nodes' pairs (without pairs: the keys), over everything.
    whole      else. Also after any change of the link's statements or of a table's shape, and on another server.

A transaction that was running at a snapshot was not seen there; its rows count as changed later (ports/proofs.py, `young`).
Both nodes keep a row of the same run, each in its own database: a backup that takes one of them back takes its proof back
too, and the runs no longer agree. A row is written after the snapshot it speaks of, so what that saw is on the disk when the
row is. What the proof cannot know is a function of the user's that changes its mind: `--full` is for that.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from replicator.ports.proofs import Proof
from replicator.reconcile.compare import Key
from replicator.reconcile.difference import Difference, Differences
from replicator.reconcile.link_plan import LinkPlan
from replicator.reconcile.node import Node

DOUBTFUL = 10_000  # with more, the next run compares everything

NOTHING, CHANGED, WHOLE = "nothing", "changed", "whole"


@dataclass(frozen=True, slots=True)
class Standing:
    """`now`: what each node would remember, `doubtful` still to be filled in (empty where no proof can be kept);
    `before`: what they do. `how` much has to be compared, and `why`."""

    now: Mapping[str, Proof]
    before: Mapping[str, Proof]
    how: str
    why: str


def standing(plan: LinkPlan, nodes: Mapping[str, Node], full: bool) -> Standing:
    """In the transactions of a look, before anything else."""
    if not all(node.proofs.keeps() for node in nodes.values()):
        return Standing({}, {}, WHOLE, "the state is of an earlier version, which kept no proofs")
    run = uuid.uuid4().hex

    def of(node: Node) -> tuple[Proof, Proof | None]:
        tables = node.proofs.versions(plan.read[node.name].all)
        now = Proof(run, plan.digest, node.proofs.identity(), node.proofs.snapshot(), tables, (), 0)
        return now, node.proofs.load(plan.link.name)

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(nodes, pool.map(of, nodes.values()), strict=True))
    now = {name: one for name, (one, _) in found.items()}
    odd = [table for proof in now.values() for table, seen in proof.tables.items() if seen.shape is None]
    if odd:
        return Standing({}, {}, WHOLE, f"{odd[0]} is no ordinary table, or row security hides some of it")
    before = {name: one for name, (_, one) in found.items() if one is not None}
    if full:
        return Standing(now, before, WHOLE, "asked for")
    since = f"equal at {min((one.at for one in before.values()), default='')[:19]}"
    why = _not_valid(nodes, now, before)
    if not why and all(now[name].tables == before[name].tables and not before[name].doubtful for name in nodes):
        return Standing(now, before, NOTHING, since)
    why = why or _not_told(plan, now, before)
    return Standing(now, before, WHOLE if why else CHANGED, why or since)


def _not_valid(nodes: Mapping[str, Node], now: Mapping[str, Proof], before: Mapping[str, Proof]) -> str:
    """Why what is remembered says nothing about now."""
    if len(before) < len(nodes) or len({one.run for one in before.values()}) > 1:
        return "nothing is proven yet"
    for name, node in nodes.items():
        new, old = now[name], before[name]
        if new.identity != old.identity:
            return f"{name} is another server or database than that of the proof"
        if new.program != old.program or new.tables.keys() != old.tables.keys():
            return "the link has changed"
        if node.proofs.too_old(old.snapshot):
            return f"the proof on {name} is too old"
        for table, seen in new.tables.items():
            if seen.shape != old.tables[table].shape:
                return f"{name}: {table} has changed its shape"
    return ""


def _not_told(plan: LinkPlan, now: Mapping[str, Proof], before: Mapping[str, Proof]) -> str:
    """Why it is not known which records the changes concern."""
    for name, new in now.items():
        old = before[name]
        for table in plan.read[name].around:
            if new.tables[table] != old.tables[table]:
                return f"{name}: {table} has changed, and it is not known which records that concerns"
    if not plan.paired and plan.key_sums is None:
        return "the keys cannot be compared in place"
    return ""


def keep(plan: LinkPlan, nodes: Mapping[str, Node], standing: Standing, found: Differences, unlinked: int) -> bool:
    """After the first look, outside of its transactions. Whether there is a proof now."""
    if not standing.now:
        return False
    provable = len(found) <= DOUBTFUL
    for name, node in nodes.items():
        node.session.begin()
        if provable:
            doubtful = tuple(dict.fromkeys(key for one in found for key in _doubtful(one, name)))
            node.proofs.save(plan.link.name, replace(standing.now[name], doubtful=doubtful, unlinked=unlinked))
        else:
            node.proofs.forget(plan.link.name)
        node.session.commit()
    return provable


def _doubtful(one: Difference, node: str) -> list[Key]:
    """Under the keys of both nodes: nothing of it may be missed."""
    return [one.keys[node]] if node in one.keys and one.kind != "assertion" else []
