"""The HTML page of a comparison: one file without anything from elsewhere, to be sent to people without a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from replicator.reconcile.link_run import LinkResult
from replicator.runtime.reconcile import Report

from .reconcile_words import NOT_RUNNING, how, notes, record, told, totals, verdict

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
p.verdict { font-size: 1.1rem; padding: .6rem .9rem; border-radius: .4rem; background: #fdecea; }
p.clean { background: #e7f5ea; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; border-bottom: 2px solid #c9ced6; }
th, td { padding: .3rem .7rem .3rem 0; vertical-align: top; } td { border-bottom: 1px solid #e6e9ee; }
td.number { text-align: right; } .dim { color: #59636e; font-size: .9rem; } .good { color: #1a7f37; } .bad { color: #b3261e; }
@media (prefers-color-scheme: dark) {
  body { background: #14171b; color: #e3e6ea; } p.verdict { background: #4a1f1c; } p.clean { background: #17361f; }
  td { border-color: #2a2f36; } .dim { color: #9aa4af; } .good { color: #57c46f; } .bad { color: #ff8a80; }
}
"""


def page(report: Report, values: bool, limit: int) -> str:
    clean = " clean" if report.clean else ""
    rows = [
        (
            f'<a href="#{escape(link.link)}">{escape(link.link)}</a>',
            escape(" and ".join(link.nodes)),
            _state(link),
            escape(how(link)),
            f"{link.seconds:,.1f} s",
        )
        for link in report.links
    ]
    running = "" if all(report.running.values()) else f'<p class="bad">{escape(NOT_RUNNING)}</p>'
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Comparison of both sides</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f'<h1>Comparison of both sides</h1><p class="dim">{report.started:%Y-%m-%d %H:%M:%S} UTC</p>'
        f'<p class="verdict{clean}">{escape(verdict(report))}</p>{running}'
        f"{_table(('link', 'between', 'result', 'what was compared', 'took'), rows)}"
        f"{''.join(_section(link, values, limit) for link in report.links)}</body></html>\n"
    )


def _state(link: LinkResult) -> str:
    if link.problem:
        return '<span class="bad">not compared</span>'
    if link.clean:
        return '<span class="good">agrees</span>'
    moving = f", {len(link.unsettled):,} still moving" if len(link.unsettled) else ""
    return f'<span class="bad">{len(link.differences):,} differ{moving}</span>'


def _section(link: LinkResult, values: bool, limit: int) -> str:
    positions = ", ".join(f"{node} at {position}" for node, position in link.positions.items())
    parts = [f'<h2 id="{escape(link.link)}">{escape(link.link)}</h2>']
    if link.problem:
        parts.append(f'<p class="bad">{escape(link.problem)}</p>')
    parts.append(f'<p class="dim">{escape(how(link))}. As of {escape(positions)}; looked {link.looks} times.</p>')
    parts += [f'<p class="dim">{escape(note)}</p>' for note in notes(link)]
    for title, found in (("differences", link.differences), ("still moving", link.unsettled)):
        if len(found):
            rest = len(found) - limit
            more = f'<p class="dim">and {rest:,} more</p>' if rest > 0 else ""
            rows = [(escape(record(one)), escape(told(one, values, link.nodes))) for one in islice(found, limit)]
            parts.append(f"<p>{title}: {escape(totals(found))}</p>{_table(('record', 'what is the matter'), rows)}{more}")
    return "".join(parts)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
