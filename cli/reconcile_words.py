"""A comparison of both sides in words and as a document: what the text, --json and the HTML page say alike."""

from __future__ import annotations

from itertools import islice
from typing import Any

from replicator.reconcile.difference import Difference, Differences
from replicator.reconcile.link_run import LinkResult
from replicator.reconcile.proof import CHANGED, NOTHING
from replicator.runtime.reconcile import Report

from .conflict_words import shown

NOT_RUNNING = "no replicator is running: changes that nobody has carried over yet count as differences"


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def verdict(report: Report) -> str:
    differences = sum(len(link.differences) for link in report.links)
    unsettled = sum(len(link.unsettled) for link in report.links)
    failed = [link.link for link in report.links if link.problem]
    said = [counted(differences, "difference")] if differences else []
    said += [f"{counted(unsettled, 'record')} still moving"] if unsettled else []
    said += [f"not compared: {', '.join(failed)}"] if failed else []
    what = "; ".join(said) or "both sides agree"
    return f"{counted(len(report.links), 'link')} compared in {report.seconds:,.1f} s: {what}"


def how(link: LinkResult) -> str:
    """What was compared, and why that is enough."""
    if link.how == NOTHING:
        return f"nothing has changed since it was {link.why}"
    if link.how == CHANGED:
        return f"{counted(link.shipped, 'record')} compared: what may have changed since it was {link.why}"
    return f"all of {counted(link.rows, 'record')} compared{f' ({link.why})' if link.why else ''}"


def totals(found: Differences) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.kinds.items())
    causes = "".join(f"; of these {count:,} {cause}" for cause, count in found.causes.items())
    return kinds + causes


def notes(link: LinkResult) -> list[str]:
    found = list(link.notes)
    if link.unlinked:
        found.append(f"{counted(link.unlinked, 'reference')} to records that are not linked could not be compared")
    return found


def record(one: Difference) -> str:
    return " = ".join(f"{node} {','.join('NULL' if part is None else part for part in key)}" for node, key in one.keys.items())


def told(one: Difference, values: bool, nodes: tuple[str, str]) -> str:
    """One line. Values only if they are asked for."""
    kind = f"{one.kind} on {one.lacks}" if one.lacks and one.kind in ("missing", "extra") else one.kind
    if one.kind == "extra":
        kind = f"extra on {one.source}"
    elif one.kind == "crosswalk":
        kind = f"pair unknown on {one.lacks}"
    elif one.kind == "twice":
        kind = f"paired otherwise on {one.lacks}"
    if one.kind == "assertion":
        text = f"does not hold: {one.said}{f', {record(one)}' if one.keys else ''}"
        return f"{text}: {', '.join(_field(one, name, values, nodes) for name in one.fields)}"
    text = f"{kind}: {record(one)}" if one.keys else kind
    if one.fields:
        text += f": {', '.join(_field(one, name, values, nodes) for name in one.fields)}"
    because = ": ".join(part for part in (one.cause, one.said) if part)
    return f"{text} ({because})" if because else text


def _field(one: Difference, name: str, values: bool, nodes: tuple[str, str]) -> str:
    if not values:
        return name
    comes, stands = one.fields[name]
    other = nodes[1] if one.source == nodes[0] else nodes[0]
    return f"{name} {shown(comes)} on {one.source}, {shown(stands)} on {other}"


def as_document(report: Report, values: bool, limit: int) -> dict[str, Any]:
    """`limit`: differences of a link that are listed; all are counted."""
    return {
        "clean": report.clean,
        "started": report.started.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 2),
        "running": all(report.running.values()),
        "links": [_link(link, values, limit) for link in report.links],
    }


def _link(link: LinkResult, values: bool, limit: int) -> dict[str, Any]:
    return {
        "link": link.link,
        "nodes": list(link.nodes),
        "clean": link.clean,
        "problem": link.problem,
        "how": link.how,
        "why": link.why,
        "proven": link.proven,
        "records": link.rows if link.rows else None,
        "compared": link.shipped,
        "looks": link.looks,
        "seconds": round(link.seconds, 2),
        "positions": link.positions,
        "differences": len(link.differences),
        "unsettled": len(link.unsettled),
        "kinds": dict(link.differences.kinds),
        "causes": dict(link.differences.causes),
        "fields": dict(link.differences.fields),
        "unlinked": link.unlinked,
        "notes": notes(link),
        "samples": [_difference(one, values, link.nodes) for one in islice(link.differences, limit)],
        "unsettled_samples": [_difference(one, values, link.nodes) for one in islice(link.unsettled, limit)],
    }


def _difference(one: Difference, values: bool, nodes: tuple[str, str]) -> dict[str, Any]:
    other = nodes[1] if one.source == nodes[0] else nodes[0]
    fields: Any = list(one.fields)
    if values:
        fields = {name: {one.source: comes, other: stands} for name, (comes, stands) in one.fields.items()}
    return {
        "kind": one.kind, "keys": {node: list(key) for node, key in one.keys.items()}, "lacks": one.lacks,
        "fields": fields, "cause": one.cause, "said": one.said,
    }  # fmt: skip
