"""Links against servers: what `lint` and the start of `run` find out beyond the files.

Promises: nothing is changed on any server; a node that cannot be reached is one finding and the others are still
looked at. Codes here: K050 a node that is not reached, K060 an expression and K062 a compiled step that a server
refuses, K061 what could not be tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.rehearse import rehearse
from replicator.engines.postgres.setup import flow_name
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.mapping.structure import check_structure
from replicator.model.config import Config
from replicator.model.finding import Finding
from replicator.model.link import Link
from replicator.program.compile import compile_flow
from replicator.program.projection import Tables
from replicator.program.state import link_tables
from replicator.program.trials import Trial, expression_trials, step_trials
from replicator.runtime.wiring import Catalog, complete, dsn_of, flows_of, links_between, node_pairs

Connections = Mapping[str, psycopg.Connection]

EXPRESSION_HINT = "the types of what it reads must suit; a cast is written cast(crm.x as integer)"
STEP_HINT = "check the types of the columns that the link pairs; if they suit each other, please report this"


def connect_all(config: Config, environ: Mapping[str, str], purpose: str) -> tuple[dict[str, psycopg.Connection], list[Finding]]:
    """A connection to every node that can be reached, and a finding for every other."""
    connections, findings = {}, []
    for node in config.nodes:
        try:
            connections[node.name] = connect(node.name, dsn_of(config, node.name, environ), purpose)
        except ReplicatorError as error:
            findings.append(as_finding(node.name, "K050", error))
    return connections, findings


def close_all(connections: Connections) -> None:
    for connection in connections.values():
        connection.close()


def check_links(config: Config, connections: Connections, catalog: Catalog) -> list[Finding]:
    """Links against the tables; where nothing is wrong there, against the servers' own understanding of the SQL."""
    findings = check_structure(config.links, catalog)
    if errors_of(findings):
        return findings
    for pair in node_pairs(config):
        if set(pair) <= connections.keys():
            links = links_between(config, pair)
            tables = complete({key: found for key, found in catalog.items() if key[0] in pair})
            for source, target in flows_of(links, pair):
                findings += _rehearsed(links, tables, source, target, connections[target])
    return in_order(findings)


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """What concerns no file first, then by file and place."""

    def place(finding: Finding) -> tuple[str, int, int]:
        where = finding.where
        return ("", 0, 0) if isinstance(where, str) else (where.path, where.line, where.column)

    return sorted(findings, key=place)


def _rehearsed(
    links: Sequence[Link],
    tables: Tables,
    source: str,
    target: str,
    connection: psycopg.Connection,
) -> list[Finding]:
    by_name = {link.name: link for link in links}
    try:
        programs = compile_flow(links, tables, source, target)
    except ConfigurationError as error:
        return [as_finding(flow_name(source, target), "K060", error)]
    try:
        ddl = [sql for link in links for sql in link_tables(link, by_name, tables, target)]
        ddl += [sql for program in programs for sql in program.setup]
        single: list[Trial] = []
        for program in programs:
            single += expression_trials(program.link, by_name, tables, source, target)
        alone = rehearse(connection, target, ddl, single)
        places = {refusal.trial.where.path for refusal in alone}
        whole = [trial for program in programs for trial in step_trials(program) if trial.where.path not in places]
        together = rehearse(connection, target, ddl, whole)
    except ReplicatorError as error:
        message = f"the statements of {flow_name(source, target)} could not be tried: {error.message}"
        return [Finding(target, "K061", message, error.hint, "note")]
    return [
        Finding(r.trial.where, code, f"{target} refuses {r.trial.what}: {r.said} (SQLSTATE {r.sqlstate})", hint)
        for refused, code, hint in ((alone, "K060", EXPRESSION_HINT), (together, "K062", STEP_HINT))
        for r in refused
    ]


def errors_of(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def as_finding(where: str, code: str, error: ReplicatorError) -> Finding:
    return Finding(where, code, error.message.removeprefix(f"{where}: "), error.hint)
