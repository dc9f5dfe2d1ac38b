"""Links against servers: what `lint` and the start of `run` find out beyond the files.

Promises: nothing is changed on any server; a node that cannot be reached is one finding and the others are still
looked at. Codes here: K050 a node that is not reached, K060 an expression and K062 a compiled step that a server
refuses, K061 what could not be tried, K064 a merge that gives another value the other way round or again, K065 one that
depends on the order of three edits, K066 one that fails for some values, K069 a `convert` whose two expressions do not
undo each other (K067, K068 and K070, of queries, are in lint_queries.py).

The examples in K064 to K066 and K069 are made of values made up for the column's type, never of anybody's data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

import psycopg

from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.rehearse import MergeResult, rehearse, try_merge
from replicator.engines.postgres.round_trip import lost_on_the_way
from replicator.engines.postgres.setup import flow_name
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.mapping.classes import said_once
from replicator.mapping.laws import Law, shown
from replicator.mapping.structure import check_structure
from replicator.model.config import Config
from replicator.model.finding import Finding, Mark
from replicator.model.link import Link
from replicator.program.compile import compile_flow
from replicator.program.projection import Tables
from replicator.program.round_trips import round_trips
from replicator.program.state import link_tables
from replicator.program.trials import Trial, expression_trials, merge_trials, step_trials, stub_trials
from replicator.runtime.accept import not_as_applied
from replicator.runtime.lint_queries import read_as_a_whole, refused_assertions, unread
from replicator.runtime.wiring import Catalog, complete, dsn_of, flows_of, links_between, node_pairs

Connections = Mapping[str, psycopg.Connection]

EXPRESSION_HINT = "the types of what it reads must suit; a cast is written cast(crm.x as integer)"
STEP_HINT = "check the types of the columns that the link pairs; if they suit each other, please report this"
LAWS: dict[Law, tuple[str, str, str]] = {  # code, what is wrong, what to do
    "sides": (
        "K064",
        "depends on which side a value stands",
        "use what treats both alike, such as greatest() or least(); where one side counts more, let that node own the field",
    ),
    "again": (
        "K064",
        "changes what is merged already, so a value that meets itself again grows or shrinks",
        "use what leaves two equal values as they are, such as greatest() or least(); for sums there is `rule: delta`",
    ),
    "order": (
        "K065",
        "depends on which edits meet first: both sides end alike, but nobody can say beforehand how",
        "use what gives the same in any order, such as greatest() or least(), or `rule: queue` to have a person decide",
    ),
}


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


def check_links(config: Config, connections: Connections, catalog: Catalog, refused: Sequence[Finding] = ()) -> list[Finding]:
    """Links against the tables; where nothing is wrong there, against the servers' own understanding of the SQL.
    `refused`: what servers said against queries; the other links are looked at as far as they can be."""
    findings = check_structure(config.links, catalog)
    if errors_of(findings):
        return in_order(said_once([*refused, *findings], config.nodes))
    left_out = unread(config.links, refused)
    findings += [*refused, *(found for link in config.links if link.name not in left_out for found in read_as_a_whole(link))]
    findings += refused_assertions(config.links, connections)
    for pair in node_pairs(config):
        if set(pair) <= connections.keys():
            links = [link for link in links_between(config, pair) if link.name not in left_out]
            tables = complete({key: found for key, found in catalog.items() if key[0] in pair and (found or not refused)}, links)
            links = not_as_applied(links, tables, {node: connections[node] for node in pair})
            merges = _merges(links, tables, connections)
            spared = {finding.where.path for finding in errors_of(merges) if isinstance(finding.where, Mark)}
            findings += merges
            for source, target in flows_of(links, pair):
                found = _rehearsed(links, tables, source, target, connections[target], spared)
                findings += found
                spared |= {finding.where.path for finding in errors_of(found) if isinstance(finding.where, Mark)}
            findings += _round_trips([link for link in links if link.mark.path not in spared], tables, connections)
    return in_order(said_once(findings, config.nodes))


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """What concerns no file first, then by file and place."""

    def place(finding: Finding) -> tuple[str, int, int]:
        where = finding.where
        return ("", 0, 0) if isinstance(where, str) else (where.path, where.line, where.column)

    return sorted(findings, key=place)


def _merges(links: Sequence[Link], tables: Tables, connections: Connections) -> list[Finding]:
    """Every merge, tried on the node that decides."""
    findings: list[Finding] = []
    for trial in (trial for link in links for trial in merge_trials(link, tables)):
        try:
            findings += _of_merge(try_merge(connections[trial.node], trial))
        except ReplicatorError as error:
            message = f"the merge of field {trial.field} could not be tried: {error.message}"
            findings.append(Finding(trial.where, "K061", message, error.hint, "note"))
    return findings


def _round_trips(links: Sequence[Link], tables: Tables, connections: Connections) -> list[Finding]:
    """Fields converted both ways. That one side has values for which the other has no word (a text for a flag) is how such
    fields are; both sides losing some, or numbers and times that come back as others, is worth a look."""
    findings: list[Finding] = []
    for trip in (trip for link in links for trip in round_trips(link, tables)):
        try:
            lost = lost_on_the_way(connections, trip)
        except ReplicatorError as error:
            message = f"the two expressions of field {trip.field} could not be tried: {error.message}"
            findings.append(Finding(trip.where, "K061", message, error.hint, "note"))
            continue
        if lost and (trip.measured or len(lost) == len(trip.ends)):
            one = lost[0]
            other = next(end.node for end in trip.ends if end.node != one.node)
            message = (
                f"the two expressions of field {trip.field} do not undo each other: {shown(one.value)} on {one.node} becomes"
                f" {shown(one.there)} on {other}, and that {shown(one.back)} on {one.node}"
            )
            hint = "make one the other's inverse, give the columns the same room, or write the field on one node (`to`)"
            findings.append(Finding(trip.where, "K069", message, hint, "warning"))
    return findings


def _of_merge(result: MergeResult) -> list[Finding]:
    trial, findings = result.trial, list[Finding]()
    what = f"the merge of field {trial.field}"
    if result.refused is not None:
        message = f"{trial.node} refuses {what}: {result.refused.said} (SQLSTATE {result.refused.sqlstate})"
        return [Finding(trial.where, "K060", message, EXPRESSION_HINT)]
    if result.tried < 2:
        message = f"{what} could not be tried: no values of the type {trial.type} can be made up"
        hint = "see for yourself that it gives the same value the other way round, again, and in any order"
        return [Finding(trial.where, "K061", message, hint, "note")]
    if result.failure is not None:
        one, other = map(shown, result.failure.values)
        answer = result.failure.answer
        message = f"{what} fails, for example of {one} and {other}: {answer.said} (SQLSTATE {answer.sqlstate})"
        hint = "two such edits would be parked: use an expression that all values of the column go through"
        findings.append(Finding(trial.where, "K066", message, hint, "warning"))
    if result.breach is not None:
        code, wrong, hint = LAWS[result.breach.law]
        severity: Literal["error", "warning"] = "warning" if code == "K065" else "error"
        findings.append(Finding(trial.where, code, f"{what} {wrong}: {result.breach.example}", hint, severity))
    return findings


def _rehearsed(
    links: Sequence[Link],
    tables: Tables,
    source: str,
    target: str,
    connection: psycopg.Connection,
    spared: AbstractSet[str],
) -> list[Finding]:
    """`spared`: files whose steps are not tried, for something in them is refused already."""
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
            single += stub_trials(program.link, by_name, tables, source, target)
        alone = rehearse(connection, target, ddl, single)
        places = {refusal.trial.where.path for refusal in alone} | spared
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
