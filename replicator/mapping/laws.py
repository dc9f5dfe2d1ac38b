"""Three laws that a merge must keep so that it does not matter in what order, from which side or how often edits meet.

    sides    M(a, b) = M(b, a)
    again    M(r, r) = r for r = M(a, b): what is merged stays as it is. M(a, a) = a is not asked, so that a merge may
             also tidy up: lower(), a limit, an order of elements
    order    M(M(a, b), c) = M(a, M(b, c))

NULL is a value like any other here. Two equal values do not meet (nothing is merged then), so `order` takes one of them
for both; what the type itself calls equal (1.0 and 1.00) is one value. Trying values proves nothing, but an expression
that does what its author would not expect is found by everyday values. Pure: who evaluates is told from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Value = str | None  # as text
Pair = tuple[Value, Value]
Law = Literal["sides", "again", "order"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A value, or what kept it from being computed."""

    value: Value = None
    said: str = ""
    sqlstate: str = ""

    @property
    def failed(self) -> bool:
        return self.sqlstate != ""


Evaluate = Callable[[Sequence[Pair]], Sequence[Answer]]
Same = Callable[[Sequence[Pair]], Sequence[bool]]


@dataclass(frozen=True, slots=True)
class Breach:
    """A law that does not hold, with the values that show it, in words."""

    law: Law
    example: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Two values for which there is no merged one."""

    values: Pair
    answer: Answer


class Merge:
    """A merge as a table of what has been computed of it."""

    def __init__(self, evaluate: Evaluate, same: Same) -> None:
        self._evaluate, self._same = evaluate, same
        self._known: dict[Pair, Answer] = {}

    def prepare(self, pairs: Sequence[Pair]) -> None:
        wanted = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        self._known.update(zip(wanted, self._evaluate(wanted), strict=True))

    def of(self, one: Value, other: Value) -> Answer:
        return self._known[one, other]

    def met(self, one: Value, other: Value) -> Answer:
        return Answer(one) if one == other else self.of(one, other)

    def unlike(self, answers: Sequence[tuple[Answer, Answer]]) -> Iterator[int]:
        """Which of these differ. What could not be computed is compared with nothing."""
        told = [i for i, (a, b) in enumerate(answers) if not a.failed and not b.failed and a.value != b.value]
        same = self._same([(answers[i][0].value, answers[i][1].value) for i in told])
        yield from (i for i, equal in zip(told, same, strict=True) if not equal)


def broken(values: Sequence[Value], evaluate: Evaluate, same: Same) -> tuple[Breach | None, Failure | None]:
    """The first law that does not hold for these values, and the first two of them that cannot be merged."""
    merge = Merge(evaluate, same)
    # Most values that cannot be merged at all show alone: without them there are far fewer pairs to fail.
    merge.prepare([(a, a) for a in values])
    good = [a for a in values if not merge.of(a, a).failed]
    bad = [a for a in values if merge.of(a, a).failed]
    pairs = [(a, b) for a in good for b in good]
    tried = [pair for a in bad[:1] for b in values if b != a for pair in ((a, b), (b, a))] + pairs
    merge.prepare(tried)
    failure = next((Failure(pair, merge.of(*pair)) for pair in tried if merge.of(*pair).failed), None)
    return _sides(merge, pairs) or _again(merge, pairs) or _order(merge, good), failure


def _sides(merge: Merge, pairs: Sequence[Pair]) -> Breach | None:
    answers = [(merge.of(a, b), merge.of(b, a)) for a, b in pairs]
    for i in merge.unlike(answers):
        (a, b), (one, other) = pairs[i], answers[i]
        example = f"of {shown(a)} and {shown(b)} it makes {shown(one.value)}, of {shown(b)} and {shown(a)} {shown(other.value)}"
        return Breach("sides", example)
    return None


def _again(merge: Merge, pairs: Sequence[Pair]) -> Breach | None:
    merged: dict[Value, Pair] = {}
    for pair in sorted(pairs, key=lambda p: p[0] != p[1]):  # a value and itself: the example one understands at once
        if not merge.of(*pair).failed:
            merged.setdefault(merge.of(*pair).value, pair)
    results = list(merged)
    merge.prepare([(r, r) for r in results])
    for i in merge.unlike([(Answer(r), merge.of(r, r)) for r in results]):
        r = results[i]
        (a, b), twice = merged[r], merge.of(r, r).value
        example = f"of {shown(a)} and {shown(b)} it makes {shown(r)}, and of {shown(r)} and {shown(r)} {shown(twice)}"
        return Breach("again", example)
    return None


def _order(merge: Merge, values: Sequence[Value]) -> Breach | None:
    triples = [(a, b, c) for a in values for b in values for c in values]
    triples = [(a, b, c) for a, b, c in triples if not merge.met(a, b).failed and not merge.met(b, c).failed]
    merge.prepare([(merge.met(a, b).value, c) for a, b, c in triples] + [(a, merge.met(b, c).value) for a, b, c in triples])
    answers = [(merge.met(merge.met(a, b).value, c), merge.met(a, merge.met(b, c).value)) for a, b, c in triples]
    for i in merge.unlike(answers):
        (a, b, c), (one, other) = triples[i], answers[i]
        example = (
            f"of {shown(a)}, {shown(b)} and {shown(c)} it makes {shown(one.value)} if the first two meet first,"
            f" {shown(other.value)} if the last two do"
        )
        return Breach("order", example)
    return None


def shown(value: Value) -> str:
    if value is None:
        return "NULL"
    return "'" + (value if len(value) <= 40 else value[:37] + "...").replace("\n", " ") + "'"
