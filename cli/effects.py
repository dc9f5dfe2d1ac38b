"""What links would make of the rows that are there, in words and as a document: for `plan` and `backfill --dry-run`."""

from __future__ import annotations

from typing import Any

from replicator.runtime.preview import Effect, Sample

from .conflict_words import shown
from .output import Output

STYLES = {"+": "green", "-": "red", "~": "yellow"}
SIGNS = {"created": "+", "changed": "~", "removed": "-"}
ORDER = ("created", "changed", "removed", "equal", "adopted", "ambiguous", "refused", "not made", "gone")


def show_effect(output: Output, effect: Effect, values: bool) -> None:
    looked = f"the first {effect.rows:,} rows only" if effect.more else f"{effect.rows:,} row{'' if effect.rows == 1 else 's'}"
    if effect.problem is not None:
        output.line(f"  {effect.link}, {effect.source} to {effect.target}: not counted: {effect.problem}", "yellow")
        return
    said = [f"{effect.counts[kind]:,} {kind}" for kind in ORDER if effect.counts[kind]]
    said += [f"{count:,} wait: {reason}" for reason, count in effect.waiting.items()]
    output.line(f"  {effect.link}, {effect.source} to {effect.target}, {looked}: {', '.join(said) or 'nothing'}")
    for one in effect.samples:
        sides = [f"{node} {key}" for node, key in ((effect.source, one.source_key), (effect.target, one.target_key)) if key]
        fields = ", ".join(_told(name, one, values) for name in one.fields)
        output.line(f"      {SIGNS[one.kind]} {' = '.join(sides)}{f': {fields}' if fields else ''}", STYLES[SIGNS[one.kind]])


def _told(name: str, one: Sample, values: bool) -> str:
    comes, stands = one.fields[name]
    return f"{name} {shown(stands)} -> {shown(comes)}" if values else name


def effect_document(effect: Effect, values: bool) -> dict[str, Any]:
    return {
        "link": effect.link, "source": effect.source, "target": effect.target, "rows": effect.rows, "sample": effect.more,
        "counts": dict(effect.counts), "waiting": dict(effect.waiting), "fields": dict(effect.fields), "problem": effect.problem,
        "samples": [
            {
                "kind": s.kind, "source_key": s.source_key, "target_key": s.target_key or None,
                "fields": {n: {"new": v[0], "old": v[1]} for n, v in s.fields.items()} if values else list(s.fields),
            }
            for s in effect.samples
        ],
    }  # fmt: skip
