"""What a PostgreSQL server says over pgoutput: one immutable class per message.

Units and shapes that hold for every class below:

* LSN: a position in the server's write-ahead log, `int`, 0 to 2**64-1 (`hi/lo` in SQL is `hi << 32 | lo`).
* time: `int`, microseconds since 2000-01-01 00:00 UTC, negative before it.
* xid: `int`, 32 bits without epoch. A field `xid` is None outside a streamed block (StreamStart to
  StreamStop); within one it is the (sub)transaction that made the change, so that a later
  StreamAbort of that subtransaction can take it back.
* OID: `int`, 0 to 2**32-1.
* tuple: `list[Value]`, one value per column of the Relation last sent under that id, in its order.
* names: `str`; a namespace that is empty on the wire reads `pg_catalog` here.

The classes are NamedTuples because nothing else of that shape is as quick to build. It has one
price: `==` compares fields only, so tell messages apart by class, never by equality.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias


class Unchanged(Enum):
    """The one-member type of `UNCHANGED`."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged.UNCHANGED
"""Stands for a TOASTed value that the UPDATE did not touch and the server therefore did not send."""

Value: TypeAlias = bytes | Unchanged | None
"""A cell: its bytes as sent (text, or binary where the stream was started with `binary`), None for NULL, UNCHANGED."""

OldKind: TypeAlias = Literal["K", "O"]
"""What an old tuple holds: `K` only the replica identity's columns (all others None), `O` the whole row."""


class Begin(NamedTuple):
    """A transaction starts; its changes follow up to its Commit.

    `final_lsn` is the LSN of its commit record, `commit_time` when it committed: for a transaction
    that was itself replicated, when it committed at its origin.
    """

    final_lsn: int
    commit_time: int
    xid: int


class Commit(NamedTuple):
    """The transaction opened by Begin is complete. `end_lsn`, just past its commit record, is what to confirm."""

    commit_lsn: int
    end_lsn: int
    commit_time: int


class Origin(NamedTuple):
    """The transaction was replicated into the server from elsewhere: sent right after Begin or first StreamStart.

    `commit_lsn` is its commit's LSN there (0 in a streamed block, where it is not known yet),
    `name` the replication origin's name here. Its absence proves nothing in a streamed transaction:
    servers (15 and 18 seen) leave it out when such a transaction starts with TRUNCATE.
    """

    commit_lsn: int
    name: str


class RelationColumn(NamedTuple):
    """A published column. `key`: it belongs to the replica identity. `type_modifier` is atttypmod, -1 for none."""

    name: str
    key: bool
    type_oid: int
    type_modifier: int


class Relation(NamedTuple):
    """The shape of a table, sent before its first change and again after it altered.

    `identity` is pg_class.relreplident: `d`efault, `n`othing, `f`ull or `i`ndex.
    """

    xid: int | None
    id: int
    namespace: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]


class Type(NamedTuple):
    """A type that is not built in, sent before the Relation whose column has it.

    For a domain, `id` is the domain's but `namespace` and `name` are those of its base type.
    """

    xid: int | None
    id: int
    namespace: str
    name: str


class Insert(NamedTuple):
    """A row came into table `relation_id`."""

    xid: int | None
    relation_id: int
    new: list[Value]


class Update(NamedTuple):
    """A row of table `relation_id` changed.

    `old_kind` is `O` when the replica identity is FULL; else `K` when one of its columns changed or is
    itself TOASTed (then `new` may hold UNCHANGED for it); else None (and `old` None): `new` holds the key.
    """

    xid: int | None
    relation_id: int
    old_kind: OldKind | None
    old: list[Value] | None
    new: list[Value]


class Delete(NamedTuple):
    """A row of table `relation_id` went."""

    xid: int | None
    relation_id: int
    old_kind: OldKind
    old: list[Value]


class Truncate(NamedTuple):
    """The tables `relation_ids` were emptied together, with the CASCADE and RESTART IDENTITY given in the SQL.

    Tables reached by CASCADE are listed too, as far as they are published.
    """

    xid: int | None
    relation_ids: tuple[int, ...]
    cascade: bool
    restart_identity: bool


class LogicalMessage(NamedTuple):
    """Somebody called pg_logical_emit_message(`transactional`, `prefix`, `content`).

    A transactional one stands in its transaction; any other arrives at once, between
    transactions, even if its transaction rolls back. `lsn` is what that function returned: just past its record.
    """

    xid: int | None
    transactional: bool
    lsn: int
    prefix: str
    content: bytes


class StreamStart(NamedTuple):
    """A block of changes of the still running transaction `xid` starts; `first_segment`: it is the first such block."""

    xid: int
    first_segment: bool


class StreamStop(NamedTuple):
    """The block of changes opened by StreamStart ends; the transaction goes on."""


class StreamCommit(NamedTuple):
    """The transaction whose changes came in streamed blocks committed. Fields as in Commit."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_time: int


class StreamAbort(NamedTuple):
    """Of streamed transaction `xid`, what `subxid` changed is void; `subxid == xid` voids all of it.

    `abort_lsn` (just past the abort's record) and `abort_time` are sent only at protocol version 4
    or above with `streaming 'parallel'`, else None.
    """

    xid: int
    subxid: int
    abort_lsn: int | None
    abort_time: int | None


Message: TypeAlias = (
    Begin
    | Commit
    | Origin
    | Relation
    | Type
    | Insert
    | Update
    | Delete
    | Truncate
    | LogicalMessage
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
)
"""All that `Decoder.decode` returns."""
