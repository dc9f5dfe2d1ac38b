"""References whose record is not there yet: what is held back for them, what is written all the same, and how records of
one link that refer to each other find their pairs pass by pass."""

from __future__ import annotations

from replicator.program import names
from replicator.program.layout import Layout
from replicator.program.sql import declared, literal, quote, state
from replicator.program.staging import can_come_later, can_miss


def self_references(layout: Layout) -> list[int]:
    return [i for i in layout.projected if layout.refers_to_self(i) and i in layout.written]


def refers_to_itself(layout: Layout) -> bool:
    """Whether records may wait for others of their own link, in the same batch too."""
    references = (layout.link.fields[i].reference for i in layout.written)
    return any(reference is not None and layout.link.name in reference.links for reference in references)


def awaited(layout: Layout) -> list[int]:
    """References to records of this link without which a record is not written (`missing: wait`)."""
    return [i for i in self_references(layout) if layout.projected[i].miss is not None and i not in can_come_later(layout)]


def unsettled(number: int) -> str:
    """A condition over `work`: this reference to a record of its own link has found nothing yet."""
    return f"(f_{number} IS NOT NULL AND v_{number} IS NULL AND get_bit(fields, {number}) = 1)"


def may_wait(layout: Layout) -> str:
    """A condition over a row of `work` just projected: `hold` may take it out."""
    return " OR ".join([*(["miss IS NOT NULL"] if can_miss(layout) else []), *map(unsettled, awaited(layout))]) or "false"


def hold(layout: Layout, work: str) -> str | None:
    """What still cannot be told: misses found when projecting, and references to records of this link not made yet."""
    selfs = awaited(layout)
    if not can_miss(layout) and not selfs:
        return None
    pending = " ".join(f"WHEN {unsettled(i)} THEN {i}" for i in selfs)
    number = f"CASE WHEN miss IS NOT NULL THEN miss {pending} END"
    raw = f"CASE WHEN miss IS NOT NULL THEN raw {' '.join(f'WHEN {unsettled(i)} THEN f_{i}::text' for i in selfs)} END"
    link = f"CASE WHEN miss IS NOT NULL THEN awaited ELSE {literal(layout.link.name)} END"
    acts = "'I', 'A', 'U', 'P'" if layout.target_side.slice else "'I', 'A', 'U'"
    return f"DELETE FROM {work} WHERE act IN ({acts}) AND {number} IS NOT NULL RETURNING seq, {number}, {raw}, {link}"


def later(layout: Layout, work: str) -> str | None:
    """References that are left empty until their record comes: (seq, field, raw value, link)."""
    asked = [
        f"SELECT seq, {i}, l_{i}, k_{i} FROM {work} WHERE act IN ('I', 'N', 'U') AND l_{i} IS NOT NULL AND v_{i} IS NULL AND get_bit(fields, {i}) = 1"
        for i in can_come_later(layout)
    ]
    return " UNION ALL ".join(asked) or None


def resolve_self(layout: Layout, work: str) -> str | None:
    selfs = self_references(layout)
    if not selfs:
        return None
    crosswalk = state(names.crosswalk(layout.link))
    source_key, target_key = quote(layout.source_keys[0]), quote(layout.target_keys[0])
    found = {i: f"(SELECT x.{target_key} FROM {crosswalk} x WHERE x.{source_key} = w.f_{i})" for i in selfs}
    sets = ", ".join(f"v_{i} = COALESCE(w.v_{i}, CAST({f} AS {declared(layout.target_column(i))}))" for i, f in found.items())
    news = " OR ".join(f"({unsettled(i)} AND {f} IS NOT NULL)" for i, f in found.items())
    return f"UPDATE {work} w SET {sets} WHERE act IN ('I', 'A', 'U') AND ({news})"
