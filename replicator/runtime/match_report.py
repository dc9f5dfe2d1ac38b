"""What `match` leaves to a person, as CSV: one line for each two records that match, and what the person says of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from replicator.errors import ConfigurationError
from replicator.model.config import Config
from replicator.runtime.match import Decision, Found, LinkMatch

PAIR = "pair"  # the word a person writes beside a line
DECISION = "decision"


def write_report(path: Path, found: Sequence[LinkMatch]) -> int:
    """Doubtful records as CSV, one line for each two that match; gives how many lines. The column `decision` is empty."""
    lines = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["link", "rule", "verdict", "one key", "other key", "one values", "other values", DECISION])
        for link in found:
            one, other = (side.node for side in link.link.sides)
            for pair in link.doubtful:
                cells = [_joined(pair.keys[one]), _joined(pair.keys[other]), _shown(pair, one), _shown(pair, other)]
                writer.writerow([link.link.name, pair.rule + 1, pair.verdict, *cells, ""])
                lines += 1
    return lines


def read_decisions(path: Path, config: Config) -> list[Decision]:
    """The lines of a report beside which a person wrote `pair`. ConfigurationError with the line that is wrong."""
    known = {link.name: link for link in config.links}
    decisions = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}", "name the CSV file that --report wrote") from error
    rows = list(csv.DictReader(text.splitlines()))
    needed = {"link", "one key", "other key", DECISION}
    if not rows or not needed <= set(rows[0]):
        raise ConfigurationError(
            f"{path}:1: no report of `replicator match`", f"its first line names {', '.join(sorted(needed))}"
        )
    for number, row in enumerate(rows, 2):
        word = (row[DECISION] or "").strip().lower()
        if word in ("", "no"):
            continue
        link = known.get((row["link"] or "").strip())
        if word != PAIR or link is None:
            wrong = f"the decision {word!r}" if word != PAIR else f"the link {row['link']!r}"
            raise ConfigurationError(f"{path}:{number}: {wrong} is not known", "write pair, or leave it empty")
        one, other = link.sides
        keys = {one.node: _split(row["one key"], len(one.key)), other.node: _split(row["other key"], len(other.key))}
        if any(len(keys[side.node]) != len(side.key) for side in link.sides):
            raise ConfigurationError(f"{path}:{number}: a key has another number of parts than the link's", "restore the line")
        decisions.append(Decision(link.name, keys))
    return decisions


def _joined(key: Sequence[str]) -> str:
    return key[0] if len(key) == 1 else ",".join(f'"{part}"' if "," in part or '"' in part else part for part in key)


def _split(text: str | None, parts: int) -> tuple[str, ...]:
    return (text or "",) if parts == 1 else tuple(next(csv.reader([text or ""]), []))


def _shown(pair: Found, node: str) -> str:
    return " | ".join(value or "" for value in pair.values[node])
