"""Links whose records are paired in a crosswalk: generated keys, two ways, or both.

Each batch is projected into `work` (one row a record, its pair found, its values cast),
and every later step reads only that. A decision changes `work.act` or takes bits out of
`work.fields`; writing obeys them and decides nothing.
"""

from __future__ import annotations

from replicator.program.adopt import adopt, match_names
from replicator.program.contest import contest, pair_of, put_back
from replicator.program.crosswalk import bury, find_key, pair, rekey
from replicator.program.derive import derive_of, reread
from replicator.program.existence import clashes, missed, nothing_to_delete, restore, revive, rise, stand_up, too_late
from replicator.program.existing import pages_of
from replicator.program.heal import heal_of
from replicator.program.joined import joined_ddl
from replicator.program.layout import Layout
from replicator.program.ledger import edits_ddl, edits_recover, forget_ledger, newest_entry, remember
from replicator.program.mirror import mirror_of
from replicator.program.passing import alone, announce
from replicator.program.program import Program, Steps
from replicator.program.returned import before, hold_still, returned
from replicator.program.rows import aside, insert, insert_alone, mint, swallowed, update
from replicator.program.slices import crowded, move_of
from replicator.program.sql import PARAMETER, with_parameters
from replicator.program.staging import (
    delete_statement,
    loosen,
    stage_ddl,
    stage_load,
    stage_load_bulk,
    stage_load_one,
    staged_columns,
    waits_of,
)
from replicator.program.stubs import comes_from_stubs, fills_stubs, stubs_of_batch
from replicator.program.waiting import hold, later, resolve_self
from replicator.program.weigh import meet_counters, waits_no_more, weigh
from replicator.program.work import acts, enter, project, work_ddl


def compile_paired(layout: Layout) -> Program:
    stage, work, edits = layout.temporary("stage"), layout.temporary("work"), layout.temporary("edits")
    tracked = bool(layout.tracked)
    remembered = layout.link.two_way  # edits that were made here and are not known on the other side yet
    joined = joined_ddl(layout.target_side, layout.link.name, layout.tables)
    setup = [*joined, stage_ddl(layout, stage), work_ddl(layout, work)]
    if remembered:
        setup.append(edits_ddl(layout, edits))
    return Program(
        link=layout.link,
        source=layout.source,
        target=layout.target,
        feed=layout.feed,
        paired=True,
        setup=tuple(setup),
        load=stage_load(stage),
        load_one=stage_load_one(layout, stage),
        load_bulk=stage_load_bulk(layout, stage),
        staged=staged_columns(layout),
        steps=Steps(
            project=project(layout, stage, work),
            enter=enter(layout, stage, work),
            acts=acts(layout, work),
            hold=hold(layout, work),
            adopt=adopt(layout, work),
            restore=restore(layout, work),
            later=later(layout, work),
            crowded=crowded(layout, work, [name for _, name in match_names(layout)]),
            ambiguous=f"DELETE FROM {work} WHERE act = 'M' RETURNING seq",
            mint=mint(layout, work),
            contest=contest(layout, work, edits) if tracked or layout.weighed else None,
            stand_up=stand_up(layout, work, edits) if remembered else None,
            missed=missed(layout, work),
            revive=revive(layout, work),
            rise=rise(layout, work),
            weigh=weigh(layout, work, edits),
            meet_counters=meet_counters(layout, work),
            before=before(layout, work),
            hold_still=hold_still(layout, work),
            put_back=put_back(layout, work),
            insert=insert(layout, work),
            insert_alone=insert_alone(layout, work),
            pair=pair(layout, work),
            swallowed=swallowed(layout, work) if layout.target_table.has_triggers else None,
            resolve_self=resolve_self(layout, work),
            update=update(layout, work),
            aside=aside(layout, work),
            too_late=too_late(layout, work),
            nothing_to_delete=nothing_to_delete(layout, work),
            clashes=clashes(layout, work),
            waits_no_more=waits_no_more(layout, work),
            rekey=rekey(layout, work),
            loosen=loosen(layout, work),
            delete=delete_statement(layout, f"{work} w", f"w.act = 'D' AND {pair_of('t', layout.target_side.key)}"),
            move=move_of(layout, work, [name for _, name in match_names(layout)], bury(layout, work, "'G', 'H'")),
            bury=bury(layout, work, "'D', 'E'" if comes_from_stubs(layout) else "'D'"),
            announce=announce(layout, work),
            alone=alone(layout, work) if match_names(layout) else None,
            remember=remember(layout, work) if remembered else None,
            returned=returned(layout, work),
            clear=(f"TRUNCATE {stage}, {work}",),
            sweep=(f"DELETE FROM {stage}", f"DELETE FROM {work}"),
        ),
        enrichments=layout.enrichments,
        waits=waits_of(layout),
        stubs=stubs_of_batch(layout, work),
        fills=fills_stubs(layout),
        mirror=mirror_of(layout),
        heal=heal_of(layout) if tracked else None,
        derive=derive_of(layout),
        pages=pages_of(layout),
        edits_load=f"COPY {edits} FROM STDIN" if remembered else None,
        edits_forget=with_parameters(f"DELETE FROM {edits} WHERE until <= CAST({PARAMETER} AS pg_lsn)") if remembered else None,
        edits_landed=f"DELETE FROM {edits} WHERE until IS NULL" if remembered else None,
        edits_recover=edits_recover(layout) if remembered else None,
        forget_ledger=forget_ledger(layout) if remembered else None,
        newest_entry=newest_entry(layout) if remembered else None,
        find_key=find_key(layout) if layout.weighed else None,
        reread=reread(layout) if tracked or layout.weighed or layout.link.update_wins else None,
    )
