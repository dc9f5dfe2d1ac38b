"""The plots as SVG, from the documents of the curves: throughput by the size of a batch, latency by load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from .schema import KINDS, NATIVE

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 34, 50, 95  # margins
COLOURS = {"native": "#777777", "one-way": "#1f6fb4", "two-way": "#c8501e"}
NAMES = {"native": "native subscription", "one-way": "ours, one way", "two-way": "ours, both ways"}


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    colour: str
    points: list[tuple[float, float]]
    dashed: bool = False


def write(documents: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Those that there are points for."""
    drawn = {"throughput.svg": _throughput(documents), "latency.svg": _latency(documents)}
    for name, text in drawn.items():
        if text:
            (folder / name).write_text(text)
    return [folder / name for name, text in drawn.items() if text]


def _throughput(documents: Sequence[dict[str, Any]]) -> str | None:
    of = [d for d in documents if d["work"] == "batch size"]
    sizes = sorted({d["batch_rows"] for d in of if d["batch_rows"]})
    lines = []
    for kind in KINDS:
        points = sorted((d["batch_rows"], d["rows_per_s"]) for d in of if d["path"] == kind and d["batch_rows"])
        if kind == NATIVE:  # it has no batches: the same everywhere
            points = [(size, d["rows_per_s"]) for d in of if d["path"] == NATIVE for size in (sizes[0], sizes[-1])]
        lines.append(Line(NAMES[kind], COLOURS[kind], points))
    title = "Inserts: rows a second by size of a batch"
    return _chart(title, ("settings.batch_rows", sizes), "rows/s", lines, _note(of)) if of else None


def _latency(documents: Sequence[dict[str, Any]]) -> str | None:
    of = [d for d in documents if d["work"] == "load"]
    lines = [
        Line(
            f"{NAMES[kind]}, {p}",
            COLOURS[kind],
            sorted((d["updates_per_s"], d["ms"][p]) for d in of if d["path"] == kind),
            p == "p99",
        )
        for kind in KINDS
        for p in ("p50", "p99")
    ]
    title = "Single updates: milliseconds from commit until visible, by load"
    rates = sorted({d["wanted_per_s"] for d in of})
    return _chart(title, ("updates a second", rates), "ms", lines, _note(of), logarithmic=True) if of else None


def _note(of: Sequence[dict[str, Any]]) -> str:
    return " | ".join(sorted({f"PostgreSQL {d['server_version']}, {d['machine']}, {d['measured'][:10]}" for d in of}))


def _chart(
    title: str, x_axis: tuple[str, Sequence[float]], y_name: str, lines: Sequence[Line], note: str, logarithmic: bool = False
) -> str:
    """x_axis: its name, and where it has its numbers. x is logarithmic; y is if wanted, and begins at 0 otherwise."""
    x_name, ticks = x_axis
    xs = sorted({*ticks, *(x for line in lines for x, _ in line.points)})
    ys = [y for line in lines for _, y in line.points]
    marks = _decades(min(ys), max(ys)) if logarithmic else _round_steps(max(ys))
    low, high = marks[0], marks[-1]

    def across(x: float) -> float:
        span = math.log(xs[-1] / xs[0]) or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / xs[0]) / span

    def up(y: float) -> float:
        share = math.log(y / low) / math.log(high / low) if logarithmic else y / high
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="12" fill="#222222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, title, "start", 15),
    ]
    for mark in marks:
        parts.append(
            f'<line x1="{LEFT}" y1="{up(mark):.1f}" x2="{WIDTH - RIGHT}" y2="{up(mark):.1f}" stroke="#dddddd"/>'
            + _text(LEFT - 8, up(mark) + 4, f"{mark:,.10g}", "end")
        )
    for x in ticks:
        at = across(x)
        parts.append(
            f'<line x1="{at:.1f}" y1="{up(low):.1f}" x2="{at:.1f}" y2="{up(low) + 5:.1f}" stroke="#222222"/>'
            + _text(at, up(low) + 19, f"{x:,.0f}", "middle")
        )
    parts.append(f'<line x1="{LEFT}" y1="{up(low):.1f}" x2="{WIDTH - RIGHT}" y2="{up(low):.1f}" stroke="#222222"/>')
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, up(low) + 38, x_name, "middle"), _text(LEFT - 8, TOP - 12, y_name, "end")]
    for line in lines:
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        way = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{line.colour}"/>' for x, y in line.points]
    columns = 3
    for number, line in enumerate(lines):
        x, y = LEFT + number % columns * 210, HEIGHT - 42 + number // columns * 16
        if len(lines) > columns:  # the two lines of a system, one below the other
            x, y = LEFT + number // 2 * 210, HEIGHT - 42 + number % 2 * 16
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 26}" y2="{y - 4}" stroke="{line.colour}" stroke-width="2"{dash}/>'
            + _text(x + 32, y, line.name, "start")
        )
    parts += [_text(LEFT, HEIGHT - 8, note, "start", 9), "</svg>"]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, words: str, anchor: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def _round_steps(most: float) -> list[float]:
    """0 and four to eight round numbers, the last of them not below `most`."""
    power = 10 ** math.floor(math.log10(most))
    step = next(step for step in (power / 5, power / 2, power, power * 2) if most / step <= 8)
    return [step * number for number in range(math.ceil(most / step) + 1)]


def _decades(least: float, most: float) -> list[float]:
    """1, 2, 5, 10 ... from below the least to above the most."""
    steps = [factor * 10**power for power in range(-3, 8) for factor in (1, 2, 5)]
    first = max(number for number, step in enumerate(steps) if step <= least)
    last = min(number for number, step in enumerate(steps) if step >= most and number > first)
    return steps[first : last + 1]
