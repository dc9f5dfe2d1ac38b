"""From decoded messages to batches of whole transactions. Sans-I/O: no socket, no clock of its own.

Promises: a batch holds whole transactions in commit order and says at which position it
ends; a transaction that came from one of `own_origins` leaves nothing but its end position,
unless the flow is listening to it: then what its feeds say they hear; messages of tables that
no link reads are skipped. A transaction larger than the limits is handed out in parts (`take`
with `complete=False`), so memory stays bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from replicator.capture.batch import Batch
from replicator.capture.block import LEAST, Raw, block_of, is_plain
from replicator.capture.clock import STEP_PREFIX, Clock
from replicator.capture.feed import BoundFeed, Feed, Renamed, bind, check_row
from replicator.capture.messages import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    Truncate,
    Type,
    Update,
    Value,
)
from replicator.capture.satellites import BoundSatellite, Satellite, bind_satellite
from replicator.errors import ProtocolError
from replicator.model.table import TableName

Payload = bytes
ROWS = (Update, Insert, Delete)
RECENT = 10_000  # more than can be committed and not yet visible at once: each of these is a session that waits


class Assembler:
    """feeds: table -> feeds that read it. `skip_to`: transactions that end at or before it were applied already.
    `satellites`: table -> links that read it beside their own record. `own_origins`: of transactions in which the target of
    this flow has written here; `listening`: whether what these caused counts."""

    _in_bulk = True  # whether rows may be taken as they come

    def __init__(
        self,
        feeds: Mapping[TableName, Sequence[Feed]],
        clock: Clock,
        own_origins: frozenset[str],
        skip_to: int,
        satellites: Mapping[TableName, Sequence[Satellite]] | None = None,
        listening: bool = False,
        renamed: Renamed | None = None,
    ) -> None:
        self._feeds = feeds
        self._satellites = satellites or {}
        self._beside: dict[int, list[BoundSatellite]] = {}
        self._clock = clock
        self._own_origins = own_origins
        self._listening = listening
        self._renamed = renamed or Renamed()
        self._relations: dict[int, Relation] = {}
        self._unread: dict[int, dict[str, str]] = {}  # relation -> links that have no use for its rows, and why
        self._caused = False  # whether the open transaction is one of these, and counts
        self._skip_to = skip_to
        self._bound: dict[int, list[BoundFeed]] = {}
        self._names: dict[int, TableName] = {}
        self._widths: dict[int, int] = {}
        self._batch = Batch()
        self._raw: dict[int, Raw] = {}  # relations whose rows are taken as they come
        self._open: Begin | None = None
        self._skipping = False
        self._stamp = 0
        self._before = 0  # what the clock said before this transaction
        self._lsn = 0
        self.commit_time = 0  # of the last transaction
        self.recent: deque[int] = deque(maxlen=RECENT)  # numbers of the last transactions

    @property
    def rows(self) -> int:
        """Captured changes waiting to be taken."""
        return self._batch.rows

    @property
    def bytes(self) -> int:
        return self._batch.bytes

    @property
    def commits_at(self) -> int:
        """Position of the commit of the transaction that is open, or was last."""
        return self._lsn

    def table(self, relation: int) -> TableName | None:
        """What a message means by this number."""
        return self._names.get(relation)

    @property
    def in_transaction(self) -> bool:
        return self._open is not None

    @property
    def ready(self) -> bool:
        """Whether whole transactions are waiting."""
        return self._open is None and self._batch.transactions > 0

    def take(self) -> Batch:
        """Hands over what was gathered. If a transaction is open, the batch is a part of it (not `complete`)."""
        for relation in self._raw:
            self._settle(relation)
        batch, self._batch = self._batch, Batch()
        batch.complete = self._open is None
        return batch

    def take_row(self, relation: int, message: Payload) -> bool:
        """A row message with its XLogData header, not decoded yet. False: it has to be, and received."""
        raw = self._raw.get(relation)
        if raw is None:
            return False
        if self._skipping:
            return True
        if self._caused and raw.bound.feed.heard is not None:
            deaf = raw.bound.feed.deaf
            if not deaf:
                self._settle(relation, in_bulk=False)  # so that what comes one by one now comes behind it
            return deaf
        batch = self._batch
        batch.rows += 1
        batch.bytes += len(message)
        raw.add(message, self._stamp, self._lsn, batch.rows)
        return True

    def _settle(self, relation: int, in_bulk: bool = True) -> None:
        """What was taken as it came becomes a block, or changes one by one."""
        raw = self._raw[relation]
        if not raw.messages:
            return
        self._raw[relation] = Raw(raw.bound)
        batch, feed = self._batch, raw.bound.feed
        block = None
        if in_bulk and len(raw.messages) >= LEAST and feed.link not in batch.links and feed.link not in batch.blocks:
            block = block_of(raw)
        if block is not None:
            batch.blocks[feed.link] = block
            return
        changes = batch.changes(feed)
        before = batch.blocks.pop(feed.link, None)
        if before is not None:
            before.replay(changes)
        raw.replay(changes, last=True)

    def receive(self, message: Message, size: int) -> None:
        """`size` is the message's length on the wire. Raises ProtocolError on a sequence that cannot be."""
        kind = type(message)
        if kind in ROWS and not self._skipping:
            check_row(message, self._widths.get(message.relation_id))  # type: ignore[union-attr]
        if kind is Update:
            self._update(message, size)  # type: ignore[arg-type]
        elif kind is Insert:
            self._insert(message, size)  # type: ignore[arg-type]
        elif kind is Delete:
            self._delete(message, size)  # type: ignore[arg-type]
        elif kind is Begin:
            self._begin(message)  # type: ignore[arg-type]
        elif kind is Commit:
            self._commit(message)  # type: ignore[arg-type]
        elif kind is Origin:
            self._origin(message)  # type: ignore[arg-type]
        elif kind is Relation:
            self._relation(message)  # type: ignore[arg-type]
        elif kind is Truncate:
            self._truncate(message)  # type: ignore[arg-type]
        elif kind is LogicalMessage:
            self._message(message)  # type: ignore[arg-type]
        elif kind is Type:
            pass
        else:
            raise ProtocolError(f"unexpected message {kind.__name__}: streaming of open transactions was not asked for")

    def _begin(self, message: Begin) -> None:
        if self._open is not None:
            raise ProtocolError("a transaction begins inside another one")
        self._open = message
        self._lsn = message.final_lsn
        self._skipping = message.final_lsn < self._skip_to
        self._caused = False
        self._before = self._clock.last
        self.commit_time = message.commit_time
        self.recent.append(message.xid)
        self._batch.begun.add(message.xid)
        self._stamp = 0 if self._skipping else self._clock.stamp(message.commit_time)

    def _origin(self, message: Origin) -> None:
        if not self._skipping and message.name in self._own_origins:
            # Where the server drops it nobody sees it, so it must not move the clock.
            self._clock.last = self._before
            self._skipping, self._caused = not self._listening, self._listening

    def _message(self, message: LogicalMessage) -> None:
        if message.prefix == STEP_PREFIX and message.content.isdigit():  # anybody may say anything under that prefix
            self._clock.received(int(message.content))

    def _commit(self, message: Commit) -> None:
        if self._open is None:
            raise ProtocolError("a transaction commits that did not begin")
        self._open = None
        batch = self._batch
        batch.end = message.end_lsn
        batch.transactions += 1
        batch.clock = self._clock.last
        if not self._skipping and not self._caused:
            batch.stamp, batch.commit_time = max(batch.stamp, self._stamp), self.commit_time
            if not batch.oldest_commit:
                batch.oldest_commit = self.commit_time

    def _relation(self, message: Relation) -> None:
        name = self._renamed.table(message)
        if self._relations.get(message.id) != message:
            self._relations[message.id] = message
            self._batch.restructured = True
        feeds, unread = [], dict[str, str]()
        for feed in self._feeds.get(name, ()):
            found = bind(feed, message, self._renamed)
            if isinstance(found, str):
                unread[feed.link] = found
            else:
                feeds.append(found)
        known = self._raw.get(message.id)
        fits = known is not None and [known.bound.shape] == [bound.shape for bound in feeds]
        if known is not None and not fits:
            self._settle(message.id)
        self._names[message.id], self._bound[message.id] = name, feeds
        self._widths[message.id] = len(message.columns)
        beside = []
        for satellite in self._satellites.get(name, ()):
            of_table = bind_satellite(satellite, message, self._renamed)
            if of_table is None:
                unread[satellite.link] = f"changes of {name} came without what the link reads there"
            else:
                beside.append(of_table)
        if beside:
            self._beside[message.id] = beside
        else:
            self._beside.pop(message.id, None)
        if unread:
            self._unread[message.id] = unread
        else:
            self._unread.pop(message.id, None)
        plain = len(feeds) == 1 and not feeds[0].absent and is_plain(feeds[0].feed)
        if not (self._in_bulk and plain and not beside and not unread):
            self._raw.pop(message.id, None)
        elif not fits:  # else: said once more, and nothing has changed
            self._raw[message.id] = Raw(feeds[0])

    def _insert(self, message: Insert, size: int) -> None:
        if self._skipping:
            return
        self._note_unread(message.relation_id)
        batch = self._batch
        for bound in self._bound[message.relation_id]:
            if self._caused and bound.feed.heard is not None:
                continue  # its own word
            batch.rows += 1
            batch.bytes += size
            batch.changes(bound.feed).insert(bound, message.new, self._stamp, self._lsn, batch.rows)
        if message.relation_id in self._beside:
            self._note(message.relation_id, None, message.new, size)

    def _update(self, message: Update, size: int) -> None:
        if self._skipping:
            return
        self._note_unread(message.relation_id)
        batch = self._batch
        full = message.old_kind == "O"
        for bound in self._bound[message.relation_id]:
            heard = bound.feed.heard if self._caused else None
            if self._caused and bound.feed.deaf:
                continue
            batch.rows += 1
            batch.bytes += size
            changes = batch.changes(bound.feed)
            changes.update(bound, message.old, full, message.new, self._stamp, self._lsn, batch.rows, heard)
        if message.relation_id in self._beside:
            self._note(message.relation_id, message.old if full else None, message.new, size)

    def _delete(self, message: Delete, size: int) -> None:
        if self._skipping:
            return
        self._note_unread(message.relation_id)
        batch = self._batch
        for bound in self._bound[message.relation_id]:
            if self._caused and bound.feed.heard is not None:
                continue  # its own word
            batch.rows += 1
            batch.bytes += size
            changes = batch.changes(bound.feed)
            changes.delete(bound, message.old, message.old_kind == "O", self._stamp, self._lsn, batch.rows)
        if message.relation_id in self._beside:
            self._note(message.relation_id, message.old, None, size)

    def _note_unread(self, relation: int) -> None:
        if relation in self._unread:
            self._batch.unread |= self._unread[relation]

    def _note(self, relation: int, old: list[Value] | None, new: list[Value] | None, size: int) -> None:
        batch = self._batch
        batch.rows += 1
        batch.bytes += size
        for bound in self._beside[relation]:
            batch.beside(bound, old, new, self._stamp, self._lsn)

    def _truncate(self, message: Truncate) -> None:
        if not self._skipping:
            self._batch.truncated += [str(self._names[i]) for i in message.relation_ids if self._bound.get(i)]
