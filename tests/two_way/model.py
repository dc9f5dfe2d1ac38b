"""What two-way links must yield, in plain Python: the executable model.

One list of what users did, in the order of their commits (the test commits one after the
other, so commit times follow that order). Per field the newest edit wins; a delete beats
every edit of that record; a record made anew under the key of a deleted one is another
record; two records made on both sides with the same match key are one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Record:
    """`values`: field -> every value that may stand at the end (more than one only where two rules meet)."""

    values: dict[str, set[Any]]
    alive: set[bool] = field(default_factory=lambda: {True})
    reborn: bool = False
    deleted: bool = False


@dataclass
class Model:
    records: dict[str, Record] = field(default_factory=dict)

    def insert(self, name: str, values: dict[str, Any]) -> None:
        """Also the second insert of a record that both sides made (same match key): its fields are newer edits."""
        known = self.records.get(name)
        if known is None:
            self.records[name] = Record({f: {v} for f, v in values.items()})
        else:
            known.values.update({f: {v} for f, v in values.items()})

    def edit(self, name: str, values: dict[str, Any]) -> None:
        record = self.records[name]
        for f, v in values.items():
            if record.reborn:
                record.values[f].add(v)  # an edit of the old record, or of the new one: the delete may have beaten it
            else:
                record.values[f] = {v}

    def delete(self, name: str) -> None:
        record = self.records[name]
        record.alive = {True, False} if record.reborn else {False}
        record.deleted = True

    def replace(self, name: str, values: dict[str, Any]) -> None:
        """Deleted and made anew under the same key while the other side may still edit the old one."""
        # A delete on the other side that is still on its way may meet either of the two.
        deleted = self.records[name].deleted
        alive = {True, False} if deleted else {True}
        self.records[name] = Record({f: {v} for f, v in values.items()}, alive, reborn=True, deleted=deleted)
