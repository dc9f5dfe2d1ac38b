"""What compiling yields: the statements of one link in one flow, by the step that runs them.

Only data; the engine runs it, `pipeline.py` gives the order. A step that a link does not
need is None. Temporary tables are per session and carry the link's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from replicator.capture.feed import Feed
from replicator.capture.satellites import Satellite
from replicator.model.link import Link
from replicator.program.pages import Pages
from replicator.program.projection import Enrichment


@dataclass(frozen=True, slots=True)
class Wait:
    """What to say of a field whose value may be missing: `waits`, with the name of the link whose record would help, or
    `unknown`, where none would."""

    field: int
    waits: str
    unknown: str

    def message(self, link: str | None) -> str:
        return self.unknown if link is None else f"{self.waits} {link} that is not there yet"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a record would wait for: a record of `link` (None: nothing that would come)."""

    link: str | None
    message: str


@dataclass(frozen=True, slots=True)
class MakeStubs:
    """How records of `link` that a field refers to, and that are not there yet, get a stub; see program/stubs.py.

    own     whether these are records of the field's own link
    make    the stubs and their pairs; returns the pairs as text, with their seq
    settle  run if there were any: what refers to them
    """

    link: str
    own: bool
    make: str
    settle: tuple[str, ...]


class Move(NamedTuple):
    """How slices leave their row before others come to it, statement by statement; `mark` tells how many do. See
    program/slices.py."""

    mark: str
    leave: str
    bury: str
    enter: str


@dataclass(frozen=True, slots=True)
class Steps:
    """SQL by step. Rows of `work` carry `act`: I insert, A adopt, U update, D delete, T too late (the pair is dead),
    M ambiguous match, P to be paired only with what is there, Z marked as deleted once, X nothing to do.

    project     stage -> work: pair, values, what is missing
    enter       the same before rows are written: see program/work.py
    acts        how many rows of work have which act; see program/work.py
    hold        takes out what cannot be told yet; returns (seq, field, raw value, link waited for)
    adopt       match keys: I -> A, or M; `ambiguous` takes the M out and returns their seq
    restore     records that were only marked as deleted take part again
    later       after the records are made: references left empty until their record comes; (seq, field, raw value, link)
    mint        keys that the target generates, for rows to insert (if `enter` has not)
    contest     takes the lost fields out of `work.fields`, logs conflicts; returns the number logged
    stand_up    deletes that meet an edit made here unseen: logged; where edits win, kept back (K); returns the number logged
    missed      after project: rows (seq) that will make their record again
    revive      edits of records that are gone here become V or R (make it again), where edits win
    rise        those records
    weigh       clashes of fields that go by values: decided or left to the arbiter; returns the number logged
    meet_counters   counters of two records that turn out to be one
    before      what stood here, for tables whose triggers may change more than is written
    hold_still  locks records of which values go back although nothing is written on them
    put_back    edits of fields that the target owns: logged, marked to be returned
    insert, update, delete   the target's rows; each returns its count
    insert_new  the same as `insert` if all are inserts and none of them is there already (links without pairs)
    loosen      records of a circle of foreign keys let go of each other, before they are deleted
    aside       unique values about to change step aside first, so that rows may swap them (after a refusal only)
    update_partial   the same for rows with an unchanged TOAST value that their wire image lacks
    pair        new pairs into the crosswalk; returns them as text for the other node, with their seq
    swallowed   how many records that were inserted are not there (tables with triggers only)
    resolve_self   references to records of the same link that have a pair by now
    too_late    logs changes of dead pairs and of rows that are gone
    nothing_to_delete   logs deletes of rows that are gone
    waits_no_more   closes conflicts of deleted records that waited for a person
    clashes     after project, for a row that was refused: (unique columns, key of the record that has the values)
    rekey       the source's key has changed
    move        slices whose record has become another's leave their row (act G for the moment) and look for the other;
                those that are deleted make room (H)
    crowded     slices whose row has another record's: (seq, that record's key, part by part)
    bury        pairs of deleted records become tombstones; returns them as text for the other node
    clear, sweep   empty the session's tables: for good, or cheaply after a few rows
    announce    says in the target's log with which stamps the rows that follow are written, for the flows that pass them on
    alone       nobody else may adopt or create records of the target's table until the commit (where others write it too)
    remember    the ledger of what was written here, with the position; see CONVERGENCE.md
    returned    rows whose values must flow back; program/returned.py says in which columns
    """

    project: str
    insert: str
    update: str
    delete: str
    clear: tuple[str, ...]
    sweep: tuple[str, ...]
    update_partial: str | None = None
    aside: str | None = None
    apart: str | None = None
    insert_alone: str | None = None
    insert_new: str | None = None
    loosen: str | None = None
    enter: str | None = None
    acts: str | None = None
    hold: str | None = None
    adopt: str | None = None
    ambiguous: str | None = None
    crowded: str | None = None
    restore: str | None = None
    later: str | None = None
    mint: str | None = None
    contest: str | None = None
    stand_up: str | None = None
    missed: str | None = None
    revive: str | None = None
    rise: str | None = None
    weigh: str | None = None
    meet_counters: str | None = None
    before: str | None = None
    hold_still: str | None = None
    put_back: str | None = None
    pair: str | None = None
    swallowed: str | None = None
    resolve_self: str | None = None
    too_late: str | None = None
    nothing_to_delete: str | None = None
    clashes: str | None = None
    waits_no_more: str | None = None
    rekey: str | None = None
    move: Move | None = None
    bury: str | None = None
    announce: str | None = None
    alone: str | None = None
    remember: str | None = None
    returned: str | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """How pairs made or buried on the target become known on the source. `load` is COPY's statement. `fresh` is all there is
    to do if none is dead and it writes every one of them; else `merge`. `clear` a few rows, or `empty` the session's table."""

    setup: str
    load: str
    fresh: str
    merge: tuple[str, ...]
    clear: str
    empty: str
    recover: str


@dataclass(frozen=True, slots=True)
class Heal:
    """How edits that were read late are put right on their own node. `columns`: positions in the feed that are staged.
    `announce` comes before `merge`: see Steps."""

    setup: str
    load: str
    columns: tuple[int, ...]
    merge: str
    clear: str
    announce: str | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """A table that the link reads on its source beside its own record. `load`: COPY of its changed rows, old and new;
    `keys`: statements that give the keys of the records they concern; `fields`: those whose value may have changed."""

    satellite: Satellite
    setup: str
    load: str
    keys: tuple[str, ...]
    clear: str
    fields: int


@dataclass(frozen=True, slots=True)
class Derive:
    """How values that are not on the wire are read on the source: keys are loaded, `read` gives (seq, the feed's columns)
    of the records that are there. `is_query`: there is no other record than the query's row."""

    setup: tuple[str, ...]
    load: str
    read: str
    clear: str
    beside: tuple[Beside, ...]
    is_query: bool


@dataclass(frozen=True, slots=True)
class Program:
    """One link in one flow.

    setup   DDL of the session's temporary tables
    pages   how the source's records are read as they are
    stubs   made for records that are referred to and not there, before `hold`
    fills   whether the target may have a stub of a record that is new on the source
    load    the COPY statement that fills the stage; `load_one` takes one line, its values as parameters; `load_bulk` lines of
            apply/bulk.py, which name the stage's columns of the feed, `staged`, in the order of the wire
    edits_load, edits_forget   the target's own users' edits that were read lately, kept in the session
    newest_entry    position of the newest entry in the target's ledger that lies behind a position
    find_key    run on the target: the source's key, part by part, of a pair whose source key is this text
    reread  run on the source: the record's staged columns as they are now, as text, by key; None: values that waited are as good
    current the same, of every link
    limited         the target's column types that hold so many characters, each with the fields that fill one
    edits_recover   run on the target at start: edits of the *source's* users that the target's ledger remembers
    """

    link: Link
    source: str
    target: str
    feed: Feed
    paired: bool
    setup: tuple[str, ...]
    load: str
    load_one: str
    load_bulk: str
    staged: tuple[str, ...]
    steps: Steps
    pages: Pages
    enrichments: tuple[Enrichment, ...] = ()
    limited: tuple[tuple[str, str], ...] = ()
    waits: tuple[Wait, ...] = ()
    stubs: tuple[MakeStubs, ...] = ()
    fills: bool = False
    mirror: Mirror | None = None
    heal: Heal | None = None
    derive: Derive | None = None
    edits_load: str | None = None
    edits_forget: str | None = None
    edits_landed: str | None = None
    edits_recover: str | None = None
    forget_ledger: str | None = None
    newest_entry: str | None = None
    find_key: str | None = None
    reread: str | None = None
    current: str = ""

    @property
    def tells_stays(self) -> bool:
        """Whether the stage tells of each row that it has not moved (`RowChange.stays`)."""
        return self.paired and bool(self.feed.deciding)

    @property
    def reads_source(self) -> bool:
        """Whether more is read on the source than what was captured, before a change is written."""
        return bool(self.derive or self.enrichments or self.steps.missed)

    def filling(self, said: str) -> str:
        """Which fields it may concern that a server finds a value too long for a type, for it does not say which column."""
        return " or ".join(
            fields for kind, fields in self.limited if said.startswith(f"{self.target}: value too long for type {kind} ")
        )
