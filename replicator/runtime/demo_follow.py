"""What arrives, one line a record: for whoever watches the demo while trying things in psql.

It shows values, which no other command does: they are the demo's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from replicator.apply.outcome import Step
from replicator.capture.batch import DELETE, INSERT, RowChange
from replicator.capture.feed import Feed

SHOWN_ROWS = 8  # of a link in a step
SHOWN_VALUES = 4
LONGEST_VALUE = 40
DONE = {"insert": "made", "update": "changed", "delete": "deleted"}


def arrivals(step: Step, ways: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """A line for each record that a step wrote. `ways`: flow -> source and target."""
    source, target = ways[step.flow]
    for link, counts in step.outcome.written.items():
        name = link.split("@")[0]
        begin = f"{source} -> {target}  {name}"
        written = ", ".join(f"{count:,} {DONE.get(what, what)}" for what, count in counts.items())
        captured = step.batch.links.get(link)
        if captured is None or not captured.rows:
            yield f"{begin}: {written}, because of a row that it is worked out from"
            continue
        for row in captured.rows[:SHOWN_ROWS]:
            yield f"{begin} {_key(row)}: {_what(row, captured.feed)}"
        if len(captured.rows) > SHOWN_ROWS:
            yield f"{begin}: and {len(captured.rows) - SHOWN_ROWS:,} more ({written})"


def _key(row: RowChange) -> str:
    return ",".join(_text(part) for part in row.key)


def _what(row: RowChange, feed: Feed) -> str:
    if row.op == DELETE:
        return "deleted"
    columns = feed.columns_of(row.fields)
    shown = [
        f"{name} = {_text(row.values[place])}"
        for place, name in enumerate(feed.columns)
        if place >= feed.keys and columns >> place & 1 and isinstance(row.values[place], bytes)
    ]
    more = f", and {len(shown) - SHOWN_VALUES} more" if len(shown) > SHOWN_VALUES else ""
    return f"{'new' if row.op == INSERT else 'changed'}: {', '.join(shown[:SHOWN_VALUES])}{more}"


def _text(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else "-"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
