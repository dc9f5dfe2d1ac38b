"""Rules that go by values, not by time: `merge`, `queue`, and what becomes of counters that two records bring together.

A weighed field is written only over the value that its writer knew. What else stands there
is a clash, and one node, the arbiter, decides it: a merge is written there and answered with
the value that the other side is expected to have; a queued field is left alone and waits for
a person. The other side leaves a clash to the arbiter, which will read its edit.

So each side's edits are compared with what really stood on the other, no clock is asked, and
the last word is always the arbiter's: both sides end alike whatever the order of messages.
Rows are locked before they are compared.
"""

from __future__ import annotations

from replicator.mapping.expressions import to_sql_both
from replicator.program.contest import CONFLICT, WRITING, flow_and_link, joined_target, key_text, keys_text
from replicator.program.layout import Layout
from replicator.program.sql import bits, declared, differs, literal, quote


def weigh(layout: Layout, work: str, edits: str) -> str | None:
    """Takes clashes out of `work.fields`, puts merged values in; `answer` are fields to be told to the other side with the
    value it is expected to have, `mine` those whose value here it has to be told as an edit. Returns how many were logged."""
    if not layout.weighed:
        return None
    sets = ["fields = w.fields & (~d.clash)"]
    logged, closed = "", ""
    if layout.decides:
        values, queued = _decisions(layout)
        merges = _mask(layout, "merge", "d.clash")
        sets = [f"fields = (w.fields & (~d.clash)) | {merges} | d.taken", f"answer = {merges} | d.answered", *values]
        logged = f", logged AS ({_log_merges(layout, work, edits)} RETURNING 1)"
        if queued:
            logged += f", queued AS ({_log_queued(layout, work, edits)} RETURNING 1)"
            closed = f", closed AS ({_close(layout, work)} RETURNING 1)"
    else:
        # The arbiter learns what stands here when a field waits, or may: to know the present values, or that they are equal.
        waiting = _mask(layout, "queue", "d.clash")
        sets.append(f"mine = w.mine | CASE WHEN w.act = 'A' OR w.born THEN d.clash ELSE d.same | {waiting} END")
    total = "(SELECT count(*) FROM logged)" if logged else "0"
    if "queued AS" in logged:
        total += " + (SELECT count(*) FROM queued)"
    return (
        f"WITH {_met(layout, work)}, {_decided(layout, work)}{logged}{closed},"
        f" done AS (UPDATE {work} w SET {', '.join(sets)} FROM decided d WHERE d.seq = w.seq RETURNING 1)"
        f" SELECT {total}"
    )


def meet_counters(layout: Layout, work: str) -> str | None:
    """Two records that turn out to be one: the target's counters stand, and the difference goes to the other side."""
    if not layout.counted:
        return None
    mask = layout.mask(set(layout.counted))
    return f"UPDATE {work} SET fields = fields & ~{mask}, mine = mine | {mask} WHERE act = 'A'"


def _met(layout: Layout, work: str) -> str:
    """The rows that weighed fields will be written on, locked; what stands there as t_<field>."""
    now = ", ".join(f"t.{quote(layout.target_column(i).name)} AS here_{i}" for i in layout.weighed)
    return (
        f"met AS MATERIALIZED (SELECT w.seq, {now} FROM {work} w JOIN {joined_target(layout)}"
        f" WHERE w.act IN {WRITING} AND w.fields & {layout.mask(set(layout.weighed))} <> {layout.none} FOR UPDATE OF t)"
    )


def _decided(layout: Layout, work: str) -> str:
    """Per row: `clash`, and `same` (equal, though the writer did not know). At the arbiter also what a person said of what
    waits: `taken` (the incoming value, or the given one, is written), `answered` (the other side is told what stands)."""
    clash, same, settled = [], [], []
    for i in range(layout.width):
        if i not in layout.weighed:
            clash.append("B'0'")
            same.append("B'0'")
            continue
        column = layout.target_column(i)
        other = differs(column, f"met.here_{i}", f"w.v_{i}")
        unknown = f"NOT (get_bit(w.known, {i}) = 1 AND NOT {differs(column, f'met.here_{i}', f'w.x_{i}')})"
        moved = f"get_bit(w.fields, {i}) = 1 AND {unknown}"
        clash.append(f"CASE WHEN {moved} AND {other} THEN B'1' ELSE B'0' END")
        waits = layout.link.fields[i].rule.kind == "queue"
        same.append(f"CASE WHEN {moved} AND NOT ({other}) THEN B'1' ELSE B'0' END" if waits else "B'0'")
    queued = [i for i in layout.weighed if layout.link.fields[i].rule.kind == "queue"] if layout.decides else []
    for i in queued:
        name = literal(layout.link.fields[i].name)
        settled.append(
            f"LEFT JOIN replicator.conflict c_{i} ON c_{i}.status = 'open' AND c_{i}.wanted IS NOT NULL"
            f" AND (c_{i}.flow, c_{i}.link) = ({flow_and_link(layout)}) AND c_{i}.field = {name}"
            f" AND c_{i}.source_key = {key_text([f'w.s_{k}' for k in range(len(layout.source_keys))])}"
            f" AND c_{i}.incoming IS NOT DISTINCT FROM w.v_{i}::text AND c_{i}.existing IS NOT DISTINCT FROM met.here_{i}::text"
        )
    taken = " || ".join(_bit(i in queued, f"c_{i}.wanted IN ({literal(layout.source)}, 'value')") for i in range(layout.width))
    answered = " || ".join(_bit(i in queued, f"c_{i}.wanted IN ({literal(layout.target)}, 'value')") for i in range(layout.width))
    given = "".join(f", c_{i}.wanted AS wanted_{i}, c_{i}.wanted_value AS given_{i}" for i in queued)
    persons = f", {taken} AS taken, {answered} AS answered{given}" if layout.decides else ""
    return (
        f"decided AS MATERIALIZED (SELECT w.seq, {' || '.join(clash)} AS clash, {' || '.join(same)} AS same{persons}"
        f" FROM met JOIN {work} w USING (seq) {' '.join(settled)})"
    )


def _bit(possible: bool, condition: str) -> str:
    return f"CASE WHEN {condition} THEN B'1' ELSE B'0' END" if possible else "B'0'"


def _mask(layout: Layout, kind: str, among: str) -> str:
    numbers = [i for i in layout.weighed if layout.link.fields[i].rule.kind == kind]
    return f"({among} & {bits(sum(1 << i for i in numbers), layout.width)})"


def merged(layout: Layout, number: int, here: str) -> str:
    """The merge of the incoming value and of what stands here."""
    expression = layout.link.fields[number].rule.merge
    assert expression is not None
    sides = {layout.source: f"w.v_{number}", layout.target: here}
    wanted = declared(layout.target_column(number))
    return f"CAST(({to_sql_both(expression, lambda node, column: f'CAST({sides[node]} AS {wanted})')}) AS {wanted})"


def _decisions(layout: Layout) -> tuple[list[str], bool]:
    """Assignments to `work` (`w`, with `d` and the row as it stands) and whether anything can be queued."""
    sets, queued = [], False
    for i in layout.weighed:
        if layout.link.fields[i].rule.kind == "merge":
            value = merged(layout, i, f"(SELECT here_{i} FROM met WHERE met.seq = w.seq)")
            sets.append(f"v_{i} = CASE WHEN get_bit(d.clash, {i}) = 1 THEN {value} ELSE w.v_{i} END")
        else:
            queued = True
            value = f"CAST(d.given_{i} AS {declared(layout.target_column(i))})"
            sets.append(f"v_{i} = CASE WHEN d.wanted_{i} = 'value' THEN {value} ELSE w.v_{i} END")
    return sets, queued


def _log_merges(layout: Layout, work: str, edits: str) -> str:
    numbers = tuple(i for i in layout.weighed if layout.link.fields[i].rule.kind == "merge")
    return _log(layout, work, edits, numbers, "both", "f.merged", "settled", "")


def _log_queued(layout: Layout, work: str, edits: str) -> str:
    numbers = tuple(i for i in layout.weighed if layout.link.fields[i].rule.kind == "queue")
    return (
        f"{_log(layout, work, edits, numbers, None, 'NULL', 'open', ' AND get_bit(d.taken | d.answered, f.number) = 0')}"
        f" ON CONFLICT (flow, link, field, source_key) WHERE status = 'open' DO UPDATE SET incoming = excluded.incoming,"
        f" existing = excluded.existing, incoming_stamp = excluded.incoming_stamp,"
        f" existing_stamp = COALESCE(excluded.existing_stamp, replicator.conflict.existing_stamp), incoming_lsn = excluded.incoming_lsn,"
        f" base = COALESCE(replicator.conflict.base, excluded.base),"
        f" wanted = NULL, wanted_value = NULL"
    )


def _log(
    layout: Layout, work: str, edits: str, numbers: tuple[int, ...], winner: str | None, written: str, status: str, also: str
) -> str:
    rows = []
    for i in numbers:
        field = layout.link.fields[i]
        value = merged(layout, i, f"met.here_{i}") + "::text" if field.rule.kind == "merge" else "NULL::text"
        before = f"CASE WHEN get_bit(w.known, {i}) = 1 THEN w.x_{i}::text END"
        place = literal(str(field.rule.merge.mark if field.rule.merge else field.rule.mark))
        rows.append(
            f"({i}, {literal(field.name)}, w.v_{i}::text, met.here_{i}::text, {before}, {value},"
            f" {literal(str(field.rule))}, {place})"
        )
    if not rows:
        rows = ["(0, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text)"]
        also += " AND false"
    # When the value here was written, if that was lately.
    same = " AND ".join(f"e.t_{i} = w.t_{i}" for i in range(len(layout.target_keys)))
    theirs = f"(SELECT max(e.stamp) FROM {edits} e WHERE {same} AND get_bit(e.fields, f.number) = 1)"
    insert = CONFLICT.replace("place)", "place, base, written, status)")
    return (
        f"{insert} SELECT {flow_and_link(layout)},"
        f" CASE WHEN w.act = 'A' OR w.born THEN 'insert_exists' ELSE 'update_origin_differs' END, f.name, {keys_text(layout)},"
        f" f.incoming, f.existing, w.stamp, {theirs}, w.lsn, {literal(winner) if winner else 'NULL'}, f.rule, f.place,"
        f" f.before, {written}, {literal(status)} FROM decided d JOIN met USING (seq) JOIN {work} w USING (seq)"
        f" CROSS JOIN LATERAL (VALUES {', '.join(rows)}) f (number, name, incoming, existing, before, merged, rule, place)"
        f" WHERE get_bit(d.clash, f.number) = 1{also}"
    )


def _close(layout: Layout, work: str) -> str:
    """What waited and is settled now: by a person's word, or because both sides came to have the same."""
    numbers = [i for i in layout.weighed if layout.link.fields[i].rule.kind == "queue"]
    names = ", ".join(f"({i}, {literal(layout.link.fields[i].name)})" for i in numbers)
    key = key_text([f"w.s_{k}" for k in range(len(layout.source_keys))])
    return (
        f"UPDATE replicator.conflict c SET status = CASE WHEN get_bit(d.taken | d.answered, f.number) = 1 THEN 'resolved'"
        f" ELSE 'gone' END, winner = CASE WHEN get_bit(d.taken | d.answered, f.number) = 1 THEN NULLIF(c.wanted, 'value') END,"
        f" written = CASE WHEN c.wanted = 'value' AND get_bit(d.taken | d.answered, f.number) = 1 THEN c.wanted_value END,"
        f" settled = clock_timestamp(), settled_by = c.wanted_by"
        f" FROM decided d JOIN {work} w USING (seq) CROSS JOIN (VALUES {names}) f (number, name)"
        f" WHERE c.status = 'open' AND (c.flow, c.link) = ({flow_and_link(layout)}) AND c.field = f.name AND c.source_key = {key}"
        f" AND get_bit(w.fields, f.number) = 1 AND (get_bit(d.clash, f.number) = 0 OR get_bit(d.taken | d.answered, f.number) = 1)"
    )


def waits_no_more(layout: Layout, work: str) -> str | None:
    """Fields of deleted records that waited for a person."""
    if not layout.decides or not any(layout.link.fields[i].rule.kind == "queue" for i in layout.weighed):
        return None
    key = key_text([f"w.s_{k}" for k in range(len(layout.source_keys))])
    return (
        f"UPDATE replicator.conflict c SET status = 'gone', settled = clock_timestamp() FROM {work} w WHERE w.act = 'D'"
        f" AND c.status = 'open' AND (c.flow, c.link) = ({flow_and_link(layout)}) AND c.source_key = {key}"
    )
