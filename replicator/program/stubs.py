"""Stubs: rows that stand for records which are referred to and have not come yet (`missing: stub`).

A stub is made on the target, with its pair, whose crosswalk row names the node that has the stub. What may become of it:

    the record comes    it is filled in as if it were made now: every field, initial values, answers (act A)
    the stub is gone    somebody deleted it: a record that comes is made as any (act I), under a new key
    the record leaves or stays outside    nothing; if it is deleted, so is the stub
    an edit of the stub comes back   it is no edit of the record's: logged and dropped (act S)
    the stub's delete comes back     the pair goes, and nothing else (act E)

So a stub is never a record of its own on the other side. Both nodes know of it, for the pair is mirrored with its mark.
"""

from __future__ import annotations

from collections.abc import Callable

from replicator.mapping.expressions import to_sql
from replicator.mapping.stubbed import columns_of_stub, stubbed
from replicator.program import names
from replicator.program.layout import Layout
from replicator.program.program import MakeStubs
from replicator.program.references import Option
from replicator.program.sql import declared, literal, quote, state
from replicator.program.staging import act_filter, can_be_stub, joins_of

STUB = "'0/0'"  # stands, in a pair that is not dead, where a dead one has its position on the source


def fills_stubs(layout: Layout) -> bool:
    """Whether the target may have stubs of the link's records."""
    return stubbed(layout.link, dict(layout.links), layout.target)


def comes_from_stubs(layout: Layout) -> bool:
    """Whether what comes from the source may be a stub's."""
    return stubbed(layout.link, dict(layout.links), layout.source)


def stubs_of_batch(layout: Layout, work: str) -> tuple[MakeStubs, ...]:
    """Of links with pairs: what was missing stands in `work` (l_<field>: the key, k_<field>: its link)."""

    def wanted(number: int, option: Option) -> str:
        return (
            f"SELECT CAST(w.l_{number} AS {option.type}) AS raw, w.stamp FROM {work} w WHERE w.act IN ('I', 'A', 'U')"
            f" AND w.k_{number} = {literal(option.link)} AND w.v_{number} IS NULL AND get_bit(w.fields, {number}) = 1"
        )

    def settle(number: int, option: Option) -> tuple[str, ...]:
        skey, tkey = _keys(layout, option)
        crosswalk = state(names.crosswalk(layout.links[option.link]))
        found = (
            f"UPDATE {work} w SET v_{number} = {option.value(f'x.{tkey}')} FROM {crosswalk} x"
            f" WHERE w.v_{number} IS NULL AND w.k_{number} = {literal(option.link)} AND x.{skey} = CAST(w.l_{number} AS {option.type})"
        )
        if option.link != layout.link.name:
            return (found,)
        # Records of one batch that refer to each other in a circle: one of them has a stub by now.
        own = (
            f"UPDATE {work} w SET act = 'A', t_0 = x.{tkey}, stub = true FROM {crosswalk} x"
            f" WHERE w.act = 'I' AND x.{skey} = w.s_0 AND x.stub = {literal(layout.target)}"
        )
        return (found, own)

    return _all(layout, wanted, settle)


def stubs_of_copies(layout: Layout, stage: str) -> tuple[MakeStubs, ...]:
    """Of links without pairs: what is missing is told by the stage."""
    conditions = act_filter(layout, "'I', 'U'")
    if layout.may_create:
        same = " AND ".join(
            f"t.{quote(c.name)} = CAST(s.{quote(names.fitted('o_' + k))} AS {declared(c)})"
            for c, k in zip(layout.key_columns(layout.target), layout.source_side.key, strict=True)
        )
        conditions.append(f"({layout.may_create} OR EXISTS (SELECT FROM {layout.target_relation} t WHERE {same}))")

    def wanted(number: int, option: Option) -> str:
        asked = [*conditions, f"get_bit(s.fields, {number}) = 1"]
        return f"SELECT {option.key} AS raw, NULL::bigint AS stamp FROM {stage} s {joins_of(layout)} WHERE {' AND '.join(asked)}"

    return _all(layout, wanted, lambda number, option: ())


def _all(
    layout: Layout, wanted: Callable[[int, Option], str], settle: Callable[[int, Option], tuple[str, ...]]
) -> tuple[MakeStubs, ...]:
    return tuple(
        MakeStubs(option.link, option.link == layout.link.name, _make(layout, option, wanted(i, option)), settle(i, option))
        for i in can_be_stub(layout)
        for option in layout.projected[i].options
    )


def _keys(layout: Layout, option: Option) -> tuple[str, str]:
    """The quoted names of both keys in the crosswalk of the record's link."""
    link = layout.links[option.link]
    return quote(names.pair_columns(link, layout.source)[0]), quote(names.pair_columns(link, layout.target)[0])


def _make(layout: Layout, option: Option, wanted: str) -> str:
    its = Layout(layout.links[option.link], layout.links, layout.tables, layout.source, layout.target, layout.passed)
    crosswalk = state(names.crosswalk(its.link))
    skey, tkey = _keys(layout, option)
    key = its.key_columns(its.target)[0]
    values = {
        column: f"CAST(({to_sql(given, lambda _: 's.raw') if given else 's.raw'}) AS {declared(its.target_table.column(column))})"
        for column, given in columns_of_stub(its.link, its.target).items()
    }
    copied = key.name in values
    made = values.pop(key.name, None) or key.default or "NULL"
    # A key that both sides share may be there already: then that row is the record's.
    there = f" WHERE NOT EXISTS (SELECT FROM {its.target_relation} t WHERE t.{quote(key.name)} = s.key)" if copied else ""
    columns = ", ".join(quote(c) for c in (key.name, *values))
    overriding = " OVERRIDING SYSTEM VALUE" if key.identity_always else ""
    return (
        f"WITH wanted AS MATERIALIZED (SELECT DISTINCT ON (u.raw) u.raw, u.stamp FROM ({wanted}) u WHERE u.raw IS NOT NULL"
        f" AND NOT EXISTS (SELECT FROM {crosswalk} x WHERE x.{skey} = u.raw) ORDER BY u.raw, u.stamp),"
        f" keyed AS MATERIALIZED (SELECT s.raw, s.stamp, CAST({made} AS {declared(key)}) AS key FROM wanted s),"
        f" made AS (INSERT INTO {its.target_relation} ({columns}){overriding}"
        f" SELECT {', '.join(['s.key', *values.values()])} FROM keyed s{there} RETURNING 1)"
        f" INSERT INTO {crosswalk} ({skey}, {tkey}, seq, made, stub)"
        f" SELECT raw, key, nextval('replicator.pair_seq'), stamp, {literal(its.target)} FROM keyed"
        f" RETURNING {skey}::text, {tkey}::text, seq, {STUB}, NULL, NULL"
    )
