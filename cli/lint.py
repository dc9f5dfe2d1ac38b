"""`replicator lint`: everything there is to say about replicator.yaml and its links.

Without a database it reads the files; where the servers can be reached it also holds the links against the
tables and lets the servers plan the SQL that each link compiles to. Nothing is changed anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from replicator.mapping.config import load_config, missing_environment
from replicator.model.config import Config
from replicator.model.finding import Finding
from replicator.runtime.lint import check_links, close_all, connect_all, errors_of, in_order
from replicator.runtime.wiring import read_catalog

from .output import as_object
from .session import ConfigOption, JsonOption, Session, open_session


def lint(
    context: typer.Context,
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Read the files only, connect to nothing.")] = False,
    online: Annotated[bool, typer.Option("--online", help="A node that cannot be reached is an error.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Checks replicator.yaml and its links.

    Holds them against the databases too, when these can be reached, and changes nothing there.
    Findings read `path:line:column: CODE message (hint)`. Ends with 1 if any of them is an error.

    \b
    Example:
      replicator lint                  files, tables and the compiled SQL
      replicator lint --offline        files alone, for an editor or a commit hook
    """
    if offline and online:
        raise typer.BadParameter("--offline and --online exclude each other")
    session = open_session(context, config, as_json)
    session.require_file()
    found, findings = load_config(session.config_path, session.environ)
    if found is not None and not offline:
        findings = [*findings, *_with_servers(session, found, online)]
    return _report(session, found, findings)


def _with_servers(session: Session, config: Config, online: bool) -> list[Finding]:
    unset = missing_environment(config, session.environ)
    if unset and not online:
        names = ", ".join(sorted({node.dsn_env for node in config.nodes if not session.environ.get(node.dsn_env)}))
        message = f"not checked against the databases: {names} not set"
        return [Finding(str(session.config_path), "K051", message, "set it, or say --offline", "note")]
    if unset:
        return unset
    connections, unreachable = connect_all(config, session.environ, "lint")
    try:
        refused: list[Finding] = []
        catalog = read_catalog(config.links, connections, refused)
        found = check_links(config, connections, catalog, refused)
    finally:
        close_all(connections)
    if not online:
        unreachable = [replace(finding, severity="note") for finding in unreachable]
    return [*unreachable, *found]


def _report(session: Session, config: Config | None, findings: Sequence[Finding]) -> int:
    links = {link.declared: link for link in config.links} if config is not None else {}
    counts: dict[str, Any] = {
        "links": len(links),
        "fields": sum(len(link.fields) for link in links.values()),
        "errors": len(errors_of(findings)),
        "warnings": sum(finding.severity == "warning" for finding in findings),
    }
    output = session.output
    findings = in_order(findings)
    output.findings(findings)
    output.line(", ".join(_counted(count, what) for what, count in counts.items()))
    output.document({**counts, "findings": [as_object(finding) for finding in findings]})
    return 1 if counts["errors"] else 0


def _counted(count: int, what: str) -> str:
    return f"1 {what.removesuffix('s')}" if count == 1 else f"{count} {what}"
