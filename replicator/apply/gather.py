"""The gather step: what else concerns the records of a batch becomes one change with what was captured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replicator.apply.write import Changes
from replicator.capture.batch import DELETE, Key, RowChange
from replicator.capture.payload import from_json, key_texts
from replicator.ports.state import Parked
from replicator.program.program import Program


def meet(programs: Mapping[str, Program], changes: Changes, answers: Sequence[tuple[str, RowChange]]) -> None:
    """Takes answers in: each as one with the change of the same record, if there is one."""
    places: dict[str, dict[Key, RowChange]] = {}
    for link, answer in answers:
        rows = changes.setdefault(link, [])
        if link not in places:
            places[link] = {row.key: row for row in rows}
        row = places[link].get(answer.key)
        if row is None:
            places[link][answer.key] = answer
            rows.append(answer)
        elif row.op != DELETE:
            row.met_by(answer, programs[link].feed)


def take_up(programs: Mapping[str, Program], changes: Changes, carried: list[Parked]) -> None:
    """Parked in an earlier part of this transaction (`carried`) and changed again in this one: one change."""
    for link, rows in changes.items():
        program = programs[link]
        set_aside = {tuple(p.key): p for p in carried if p.link == link}
        for row in rows:
            parked = set_aside.get(tuple(key_texts(row.first_key)))
            if parked is not None:
                carried.remove(parked)
                from_json(parked.payload, program.feed.columns).followed_by(row, program.feed.tracked)
