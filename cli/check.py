"""`replicator check`: is everything on the servers as the configuration needs it?"""

from __future__ import annotations

from typing import Any

import typer

from replicator.runtime import checks
from replicator.runtime.lint import errors_of

from .output import Output, as_object
from .session import ConfigOption, JsonOption, open_session


def check(context: typer.Context, *, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Checks that the servers are ready.

    Settings, free slots, privileges, clocks, tables, and what init has made. Every finding says what to type.
    Ends with 1 if any of them is an error. Changes nothing.

    \b
    Example:
      replicator check
      replicator check --json | jq '.findings[].code'
    """
    session = open_session(context, config, as_json)
    report = checks.check(session.load(), session.environ)
    output = session.output
    output.findings(report.findings)
    if report.findings:
        output.line()
    _nodes(output, report)
    errors = errors_of(report.findings)
    if errors:
        output.line("1 error" if len(errors) == 1 else f"{len(errors)} errors", "bold red")
    else:
        output.line("everything is as it should be", "green")
    output.document(
        {
            "ok": not errors,
            "nodes": [_node(node) for node in report.nodes],
            "findings": [as_object(finding) for finding in report.findings],
        }
    )
    return 1 if errors else 0


def _nodes(output: Output, report: checks.CheckReport) -> None:
    rows: list[tuple[object, ...]] = []
    for node in report.nodes:
        if node.facts is None:
            rows.append((node.node, "not reached", "", "", ""))
        else:
            clock = "-" if node.clock_ms is None else f"{node.clock_ms:+.1f} ms"
            rows.append((node.node, f"PostgreSQL {node.facts.version}", node.facts.wal_level, node.facts.slots_free, clock))
    output.table(("node", "server", "wal_level", "slots free", "clock"), rows, right=(3, 4))


def _node(node: checks.NodeFacts) -> dict[str, Any]:
    found: dict[str, Any] = {"node": node.node, "reached": node.reached}
    if node.facts is not None:
        found |= {
            "version": node.facts.version, "wal_level": node.facts.wal_level,
            "slots_free": node.facts.slots_free, "clock_ms": node.clock_ms,
        }  # fmt: skip
    return found
