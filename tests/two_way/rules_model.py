"""What each rule must yield for one record, in plain Python: a list of users' edits, what stands at the end, what was logged.

Values are never used twice in a field of a record, so the value that a user found before an edit says what he knew:
an edit *knows* the edit that made the value it replaced, and all that one knew. Two edits *met* if neither knows the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NODES = ("crm", "erp")


@dataclass(frozen=True)
class Edit:
    """In the order of commits. `seen`: the value before (None: the record is new). A group's value is the whole group's."""

    node: str
    value: Any
    seen: Any


@dataclass(frozen=True)
class Logged:
    """A conflict; `values`: which two (None: not known), `losers`: those that did not come to stand."""

    values: tuple[Any, Any] | None
    losers: tuple[Any, ...]
    status: str
    written: Any = None


def met(edits: Sequence[Edit], a: Edit, b: Edit) -> bool:
    return not knows(edits, a, b) and not knows(edits, b, a)


def knows(edits: Sequence[Edit], later: Edit, earlier: Edit) -> bool:
    made = {edit.value: edit for edit in edits}
    at: Edit | None = later
    while at is not None and at is not earlier:
        at = made.get(at.seen)
    return at is earlier


def winners(rule: str, edits: Sequence[Edit], apart: bool) -> list[Any]:
    """The values that may stand. `apart`: the clocks are, so that "newer" holds only between edits of which one knows the other."""
    last = {edit.node: edit for edit in edits}
    if rule.startswith("owner"):
        return [last[rule.split()[1]].value]
    if rule == "latest" and not apart:
        return [edits[-1].value]
    seen = {edit.seen for edit in edits}
    if rule == "latest":  # commits of one node never go back
        return [edit.value for edit in last.values() if edit.value not in seen]
    return [edit.value for edit in edits if edit.value not in seen]  # merge, queue: no value comes back that somebody replaced


def wrong(rule: str, edits: Sequence[Edit], ends: tuple[Any, Any], log: Sequence[Logged], apart: bool = False) -> list[str]:
    """What is not as it must be in one field that both sides have. `ends`: what stands on the CRM and on the ERP."""
    meetings = [(a, b) for i, a in enumerate(edits) for b in edits[i + 1 :] if a.node != b.node and met(edits, a, b)]
    found = []
    if rule == "queue" and meetings:
        last = {edit.node: edit.value for edit in edits}
        if ends != (last["crm"], last["erp"]):
            found.append(f"waits for a person, but stands at {ends}, not at each side's own {last}")
        if [row.values[0] for row in log if row.status == "open" and row.values] != [ends[1]]:
            found.append(f"waits for a person, and no open conflict (or more than one) names {ends}: {log}")
        return found
    if ends[0] != ends[1]:
        return [f"differs: {ends}"]
    may = winners(rule, edits, apart)
    if ends[0] not in may:
        found.append(f"stands at {ends[0]}, not at {' or '.join(map(str, may))}")
    # No edit is lost in silence: somebody saw it before replacing it, or the log has it, or its own side wrote again.
    known = {edit.seen for edit in edits} | {ends[0]} | {value for row in log for value in row.losers}
    last = {edit.node: edit for edit in edits}.values()
    found += [f"{edit} is lost" for edit in edits if edit.value not in known and edit in last]
    if rule.startswith("owner"):
        return found
    if not meetings and log:
        found.append(f"no two edits met, and the log has {log}")
    if rule == "merge":
        pairs = {frozenset((a.value, b.value)) for a, b in meetings}
        found += [f"no two edits met as in {row}" for row in log if frozenset(row.values) not in pairs]
        found += [f"not the greatest: {row}" for row in log if row.written != max(row.values)]
    return found
