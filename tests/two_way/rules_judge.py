"""One record at the end of its history: the model's word, field by field, and what else must hold of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.two_way.rules_model import NODES, Edit, Logged, wrong
from tests.two_way.rules_records import (
    RULES,
    TABLES,
    Change,
    Record,
    own,
)


def judge(record: Record, ends: dict[str, Any], log: list[dict[str, Any]], apart: bool) -> list[str]:
    kinds = [change.kind for change in record.changes]
    if "delete" in kinds and "insert" in kinds[kinds.index("delete") :]:
        return judge_anew(record, *([values for _, values in ends[node]] for node in NODES))
    if any(len(rows) > 1 for rows in ends.values()):
        return [f"is there more than once: {ends}"]
    crm, erp = (ends[node][0][1] if ends[node] else None for node in NODES)
    if "delete" in kinds:
        return judge_deleted(record, crm, erp, log)
    if crm is None or erp is None:
        return [f"is not on both sides: {crm} {erp}"]
    found = [line for name, rule in RULES.items() for line in judge_field(record, name, rule, crm, erp, log, apart)]
    moved = [change for change in record.changes if change.before.get("stage") != change.after["stage"]]
    stages = {moved[-1].after["stage"], [c for c in record.changes if "stage" in c.wrote][-1].after["stage"]}
    if crm["stage"] != erp["stage"] or not (apart or crm["stage"] in stages):
        found.append(f"stage: {crm['stage']} and {erp['stage']}, not {stages}")
    starts = [change.after["visits"] for change in record.changes if change.kind == "insert"]
    added = sum(change.after["visits"] - change.before["visits"] for change in record.changes if change.kind == "update")
    if crm["visits"] != erp["visits"] or (len(starts) == 1 and crm["visits"] != starts[0] + added):
        found.append(f"visits: {crm['visits']} and {erp['visits']}, not {starts} + {added}")
    return found


def edits_of(record: Record, name: str) -> list[Edit]:
    changes = [change for change in record.changes if change.before.get(name) != change.after.get(name)]
    edits = [Edit(change.node, change.after[name], change.before.get(name)) for change in changes]
    if name == "credit":
        return owned(record, edits)
    return edits


def owned(record: Record, edits: list[Edit]) -> list[Edit]:
    """Where the owner has a record made by the other side, his default applies. What the other side wrote until then goes
    without a word; not in a record that both keyed in."""
    if any(change.node == "erp" and change.kind == "insert" for change in record.changes):
        return edits
    early: list[Edit] = []
    for edit in edits if not record.settled else edits[:1]:
        if edit.node == "crm" and edit.seen == (early[-1].value if early else None):
            early.append(edit)
    return [Edit("erp", 0, None), *(edit for edit in edits if edit not in early)]


def judge_field(
    record: Record, name: str, rule: str, crm: dict[str, Any], erp: dict[str, Any], log: list[dict[str, Any]], apart: bool
) -> list[str]:
    edits = edits_of(record, name)
    about: list[Logged] = []
    for row in log:
        if row["field"] in (("street", "city") if name == "address" else (name,)):
            a, b, written = (own(row["field"], row[which]) for which in ("incoming", "existing", "written"))
            if rule == "merge":
                losers = tuple(v for v in (a, b) if v != written)
            else:
                losers = () if row["status"] == "open" else (a,) if row["winner"] == row["node"] else (b,)
            late = row["source_key"] is None  # until test_the_log_names_the_two_values_that_met holds
            about.append(Logged(None if late else (a, b), losers, row["status"], written))
    if name == "address":
        about = whole(edits, about)
    return [f"{name}: {line}" for line in wrong(rule, edits, (crm[name], erp[name]), about, apart)]


def whole(edits: Sequence[Edit], log: Sequence[Logged]) -> list[Logged]:
    """The log tells of a group's columns one by one: an address lost if each part that was new in it did."""
    lost = {value for row in log for value in row.losers}
    gone = [edit.value for edit in edits if {*edit.value} - {*(edit.seen or ())} <= lost]
    return [Logged(None, tuple(gone), "settled")] if log else []


def judge_deleted(record: Record, crm: Any, erp: Any, log: list[dict[str, Any]]) -> list[str]:
    """A record that one side or both have deleted, and nobody made again."""
    if (crm is None) != (erp is None):
        return [f"is on one side only: {crm} {erp}"]
    changes = record.changes
    both = [change.kind for change in changes].count("insert") == 2
    deletes = [change for change in changes if change.kind == "delete"]
    edits = [change for change in changes if change.kind == "update"]
    found = []
    if crm is not None:
        found += alike(record, crm, erp, log)
    if both or len(deletes) > 1:  # two that had not met are two records; of two deletes each may have met an edit
        return found
    gone = deletes[0]
    unknown = [edit for edit in edits if edit.node != gone.node and edit.lsn >= gone.known and touched(edit)]
    if not unknown or TABLES[record.link][2] == "delete":
        if crm is not None:
            found.append("was deleted, and is there")
    elif crm is None and (gone.node == "crm" or any(touched(edit) - {"credit"} for edit in unknown)):
        found.append("was edited in the moment of the delete, and is not there")
    if crm is not None and erp is not None:
        for name in ("name", "address", "stage"):
            mine = [edit for edit in unknown if name in touched(edit)]
            theirs = [edit for edit in edits if edit.node == gone.node and name in touched(edit)]
            may = {edit.after[name] for edit in (mine[-1:] + theirs[-1:])}
            if mine and crm[name] not in may:
                found.append(f"{name}: {crm[name]}, not {may}")
    if unknown and not any(row["kind"] in ("update_deleted", "delete_origin_differs") for row in log):
        found.append("an edit met a delete, and the log knows nothing of it")
    return found


def judge_anew(record: Record, crm: list[dict[str, Any]], erp: list[dict[str, Any]]) -> list[str]:
    """Deleted and made again under the same tag, the other side perhaps still at work on the old one."""
    if len(crm) != len(erp):
        return [f"not as many on both sides: {crm} {erp}"]
    if len(crm) > (1 if TABLES[record.link][2] == "delete" else 2):
        return [f"is there more than once: {crm} {erp}"]
    if len(crm) == 1:
        return alike(record, crm[0], erp[0], [])
    return []


def touched(change: Change) -> set[str]:
    return {name for name in change.before if change.before[name] != change.after.get(name)}


def alike(record: Record, crm: dict[str, Any], erp: dict[str, Any], log: list[dict[str, Any]]) -> list[str]:
    """Both sides have the same, and of what users wrote."""
    found = []
    for name in ("name", "address", "stage", "credit", "score", "visits"):
        if crm[name] != erp[name]:
            found.append(f"{name} differs: {crm[name]} {erp[name]}")
        elif name not in ("visits", "credit") and crm[name] not in {change.after.get(name) for change in record.changes}:
            found.append(f"{name} is nobody's: {crm[name]}")
    return found
