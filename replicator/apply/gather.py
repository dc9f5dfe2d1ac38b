"""The gather step: what else concerns the records of a batch becomes one change with what was captured of them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from replicator.apply.chunk import EXISTS
from replicator.apply.outcome import Outcome
from replicator.apply.waiting import parked_ids, set_aside
from replicator.apply.write import Changes
from replicator.capture.batch import DELETE, UPDATE, Key, RowChange
from replicator.capture.block import Block
from replicator.capture.messages import Value
from replicator.capture.payload import from_json, key_texts, value_in
from replicator.model.failure import BY_REASON
from replicator.ports.state import Parked, Wanted
from replicator.ports.writer import Writer
from replicator.program.program import Program

log = logging.getLogger("replicator")


def newest_of(changes: Changes) -> int:
    """The position of the last of these changes."""
    lists = (rows for rows in changes.values() if rows)
    return max((rows.newest if isinstance(rows, Block) else max(row.lsn for row in rows) for rows in lists), default=0)


def newest_waited(changes: Changes) -> int:
    """The greatest stamp of parked changes among these. What has one is no block any more."""
    lists = (rows for rows in changes.values() if not isinstance(rows, Block))
    return max((row.stamp for rows in lists for row in rows if row.parked is not None), default=0)


def one_by_one(changes: Changes, link: str) -> list[RowChange]:
    """The link's changes as a list that can grow."""
    rows = changes.get(link, [])
    if isinstance(rows, Block):
        rows = list(rows)
    changes[link] = rows
    return rows


def meet(programs: Mapping[str, Program], changes: Changes, answers: Sequence[tuple[str, RowChange]]) -> None:
    """Takes answers in: each as one with the change of the same record, if there is one."""
    places: dict[str, dict[Key, RowChange]] = {}
    for link, answer in answers:
        rows = one_by_one(changes, link)
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


def rejoin(
    programs: Mapping[str, Program], source: Writer, changes: Changes, some: Iterable[Parked], paused: Collection[str] = ()
) -> None:
    """Takes parked changes up again: each as one with the change of the same record, if there is one. `paused`: links whose
    changes are not to be written now."""
    places: dict[str, dict[Key, int]] = {}
    for parked in some:
        program = programs.get(parked.link)
        if program is None or not parked.payload:
            continue  # a link that is gone, or a TRUNCATE: for a person to see
        earlier = from_json(parked.payload, program.feed.columns)
        earlier.parked = parked.id
        rows = one_by_one(changes, parked.link)
        if parked.link not in places:
            places[parked.link] = {row.first_key: place for place, row in reversed(list(enumerate(rows)))}
        place = places[parked.link].get(earlier.key)
        if place is not None:
            # A copy: the batch is gathered again if somebody holds a row, and must not have changed by then.
            rows[place] = earlier.followed_by(replace(rows[place]), program.feed.tracked)
            _edit(program, rows[place], parked)
            places[parked.link].setdefault(rows[place].first_key, place)
            continue
        if program.reread and earlier.op in (UPDATE, EXISTS) and parked.link not in paused:
            # Both sides may have moved on while it waited: its fields take the values they have on the source now.
            found = source.query(program.reread, key_texts(earlier.key))
            if found:
                earlier.values, earlier.absent = [None if text is None else text.encode() for text in found[0][0]], 0
        _edit(program, earlier, parked)
        places[parked.link].setdefault(earlier.first_key, len(rows))
        rows.append(earlier)


def complete(programs: Mapping[str, Program], source: Writer, changes: Changes, broken: Collection[str]) -> Outcome:
    """What a row lacks, because its table had no such column when it was written, is read as it is now. A record that is gone
    by now waits for its own delete, which is on its way. `broken`: links that cannot be read there."""
    waiting = Outcome()
    for link, rows in changes.items():
        if link in broken or isinstance(rows, Block) or not any(row.absent for row in rows):
            continue
        program, kept = programs[link], []
        for row in rows:
            if row.absent and row.op != DELETE:
                found = source.query(program.current, key_texts(row.key))
                if not found:
                    message = f"the record is gone on {program.source}, and its delete is on its way"
                    waiting.parked.append(set_aside(program, row, BY_REASON["waits"], message))
                    waiting.unparked += parked_ids([row])
                    continue
                for place, text in enumerate(found[0][0]):
                    if row.absent >> place & 1:
                        row.values[place] = None if text is None else text.encode()
                row.absent = 0
            kept.append(row)
        changes[link] = kept
    return waiting


def _edit(program: Program, row: RowChange, parked: Parked) -> None:
    """Takes in what people have entered instead of values that were refused."""
    for edit in parked.edits:
        columns = program.feed.columns
        place = columns.index(edit.column) if edit.column in columns else None
        if place is not None and row.values[place] == value_in(edit.before):
            row.values[place] = value_in(edit.after)
            log.info("parked change %d of %s is tried with %s's value of %s", parked.id, parked.link, edit.by, edit.column)


def restored(programs: Mapping[str, Program], set_aside: Sequence[Parked]) -> Changes:
    """What was set aside in this very transaction, as changes again."""
    changes: Changes = {}
    for parked in set_aside:
        row = from_json(parked.payload, programs[parked.link].feed.columns)
        one_by_one(changes, parked.link).append(row)
    return changes


def asked_for(program: Program | None, wanted: Wanted, target: Writer, source: Writer) -> RowChange | None:
    """What a person has decided of, as the record is on the source now: an edit of the field that waits, so that the step
    that left it waiting decides. None: it is gone."""
    numbers = [i for i, f in enumerate(program.link.fields) if f.name == wanted.field] if program else []
    if program is None or program.reread is None or program.find_key is None or not numbers:
        return None
    key = target.query(program.find_key, (wanted.key,))
    found = source.query(program.reread, key[0][0]) if key else []
    if not found:
        return None
    values: list[Value] = [None if text is None else text.encode() for text in found[0][0]]
    fields = 1 << numbers[0]
    return RowChange(UPDATE, tuple(values[: program.feed.keys]), values, {}, fields, [], wanted.stamp, wanted.lsn)
