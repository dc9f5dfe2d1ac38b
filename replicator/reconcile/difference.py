"""What does not agree, in the words of the report, and a place for any number of such findings.

kinds
    missing     the record is on one node, and should be on `lacks` too
    extra       the record is where only the replicator's should be, and its source is gone
    differs     both have it, and fields differ
    unpaired    both have it, by `match`, and no pair says that they are one
    duplicate   several that have no pair match the same one
    crosswalk   one node alone knows the pair
    twice       the nodes have the record in different pairs
    dead pair   the pair points to records that are gone on both sides
    waits       the other side's values cannot be told: what a reference or a lookup names is not there
    refused     a value cannot be converted, so nothing can be compared
    assertion   what the link file states does not hold
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import IO

from replicator.reconcile.compare import Key, Values

KINDS = (
    "missing", "extra", "differs", "unpaired", "duplicate", "crosswalk", "twice", "dead pair", "waits", "refused", "assertion",
)  # fmt: skip
IN_MEMORY = 5_000


@dataclass(frozen=True, slots=True)
class Difference:
    """keys    by node; a node is left out where the record has no key that is known
    source  the node from whose records it was seen: of `fields` it has the value that would come, the other node that
            which stands
    lacks   the node that should have the record, or the pair, and does not
    fields  name -> values; of an assertion the columns' names
    cause   why it is so, where that is known: `parked`, `waits for a person`, `deleted`
    said    the details in words, without values
    seen    a digest of all that was compared, to tell whether it changes
    """

    link: str
    kind: str
    keys: dict[str, Key]
    source: str
    lacks: str | None = None
    fields: dict[str, Values] = field(default_factory=dict)
    cause: str | None = None
    said: str = ""
    seen: str = ""

    @property
    def place(self) -> tuple[str, str, str, Key]:
        """The same for the same record, whatever is the matter with it."""
        group = self.kind if self.kind in ("crosswalk", "twice", "dead pair", "assertion") else "record"
        if group == "record" and self.source in self.keys:
            return group, "", self.source, self.keys[self.source]
        return (
            group,
            self.said if group == "assertion" else "",
            "",
            tuple(p for node in sorted(self.keys) for p in self.keys[node]),
        )

    @property
    def view(self) -> tuple[object, ...]:
        """The same while nothing has moved."""
        return self.kind, tuple(sorted(self.keys.items())), self.lacks, tuple(sorted(self.fields.items())), self.seen

    def because(self, cause: str, said: str = "") -> Difference:
        return replace(self, cause=cause, said="; ".join(part for part in (self.said, said) if part))


class Differences:
    """Any number of them, in order: the first in memory, the rest in a file that nobody else can open."""

    def __init__(self) -> None:
        self._first: list[Difference] = []
        self._rest: IO[str] | None = None
        self.kinds: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.fields: Counter[str] = Counter()

    def add(self, one: Difference) -> None:
        self.kinds[one.kind] += 1
        if one.cause:
            self.causes[one.cause] += 1
        self.fields.update(dict.fromkeys(one.fields, 1))
        if len(self._first) < IN_MEMORY:
            self._first.append(one)
            return
        if self._rest is None:
            self._rest = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed when this is forgotten
        parts = (one.link, one.kind, one.keys, one.source, one.lacks, one.fields, one.cause, one.said, one.seen)
        self._rest.write(json.dumps(parts) + "\n")

    def __len__(self) -> int:
        return self.kinds.total()

    def __iter__(self) -> Iterator[Difference]:
        yield from self._first
        if self._rest is None:
            return
        self._rest.flush()
        place = 0
        while True:
            self._rest.seek(place)
            line = self._rest.readline()
            if not line:
                break
            place = self._rest.tell()
            link, kind, keys, source, lacks, fields, cause, said, seen = json.loads(line)
            yield Difference(
                link, kind, {n: tuple(k) for n, k in keys.items()}, source, lacks,
                {n: (a, b) for n, (a, b) in fields.items()}, cause, said, seen,
            )  # fmt: skip
        self._rest.seek(0, 2)
