"""`replicator match` and `unmatch`: pairs records that both sides have already, and takes a pair apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from replicator.errors import ConfigurationError
from replicator.mapping.chosen import link_named
from replicator.mapping.findings import near
from replicator.runtime.explain import split_key
from replicator.runtime.match import Found, LinkMatch, Matcher, matchable
from replicator.runtime.match_report import read_decisions, write_report

from .output import Output
from .session import ConfigOption, JsonOption, open_session

VERDICTS = {"several": "match several", "contradicted": "contradict a rule that is trusted more"}
SHOWN = 5


def match(
    context: typer.Context,
    *,
    links: Annotated[list[str] | None, typer.Argument(metavar="[LINK]...", help="Which links. [default: all]")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Pair what is clear; else nothing is changed.")] = False,
    prefer: Annotated[
        str | None, typer.Option("--prefer", metavar="NODE", help="Whose values stand where both sides have one.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Pair the records and leave their fields as they are.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.csv", help="Write what is doubtful there, with its values.")
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option("--decisions", metavar="FILE.csv", help="Such a file, with `pair` in the last column where two are one."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Pairs records that both sides have already.

    Goes by the links' `match` rules, the most trusted first. What is each other's only match becomes a pair; what matches
    several, or contradicts a rule that is trusted more, is left to a person, by --report and --decisions. Then the fields
    of the pairs are brought together by their rules (--keep: not). Nothing is changed without --apply. Ends with 1
    while something is doubtful.

    \b
    Example:
      replicator match                                        what would be paired
      replicator match customer --report doubtful.csv
      replicator match customer --decisions doubtful.csv --prefer erp --apply
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    output = session.output
    nodes = [node.name for node in loaded.nodes]
    if prefer is not None and prefer not in nodes:
        raise ConfigurationError(f"there is no node {prefer!r}", near(prefer, nodes) or f"nodes are {', '.join(nodes)}")
    if prefer is not None and keep:
        raise typer.BadParameter("--prefer and --keep exclude each other")
    wanted = matchable(loaded, links or [])
    decided = read_decisions(decisions, loaded) if decisions else []
    matcher = Matcher(loaded, session.environ)
    found = []
    for link in wanted:
        found.append(matcher.match(link, prefer, decided, apply, keep))
        _show(output, found[-1])
    doubtful = sum(len(one.doubtful) for one in found)
    if report is not None:
        lines = write_report(report, found)
        output.line(f"{lines:,} lines in {report}: write `pair` in the last column where two are one, then --decisions {report}")
    elif doubtful:
        output.line("what is doubtful: --report FILE.csv lists it with the values, for a person to decide")
    if not apply:
        differing = any(one.differing for one in found)
        choice = f"; --prefer {' or '.join(nodes[:2])} says whose values stand, --keep leaves them" if differing else ""
        output.line(f"nothing was changed: --apply pairs what is clear{choice}")
    elif any(one.backfills for one in found):
        output.line("their fields go through the links now: `replicator run` carries them, `status` shows how far it is")
    output.document({"applied": apply, "links": [_document(one) for one in found]})
    return 1 if doubtful else 0


def unmatch(
    context: typer.Context,
    *,
    link: Annotated[str, typer.Argument(metavar="LINK")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Of one of the two records; several columns with commas.")],
    on: Annotated[str, typer.Option("--on", metavar="NODE", help="Whose key it is.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Takes a pair of records apart; both stay as they are.

    If they still match by the link's first rule, the next edit of one of them pairs them again: change what they match by
    first.

    \b
    Example:
      replicator unmatch customer 1017 --on erp
    """
    session = open_session(context, config, as_json)
    loaded = session.load()
    chosen = link_named(loaded, link, on)
    nodes = [side.node for side in chosen.sides]
    if on not in nodes:
        raise ConfigurationError("whose key is it?", f"say --on {nodes[0]} or --on {nodes[1]}")
    parts = split_key(key, len(chosen.side(on).key))
    if parts is None:
        raise ConfigurationError(
            f"{link} has a key of several columns", f"separate them by commas ({','.join(chosen.side(on).key)})"
        )
    done = Matcher(loaded, session.environ).unmatch(chosen, on, parts)
    session.output.line(f"{link}: {on} {key} is no longer paired" if done else f"{link}: {on} {key} has no pair")
    session.output.document({"link": link, "on": on, "key": list(parts), "taken_apart": done})
    return 0 if done else 1


def _show(output: Output, found: LinkMatch) -> None:
    link = found.link
    output.line(f"{link.name}: {sum(found.pairs.values()):,} pairs, {len(found.doubtful):,} doubtful", "bold")
    one, other = (side.node for side in link.sides)
    for number, rule in enumerate(link.matching):
        columns = f"{', '.join(rule.columns[one])} = {', '.join(rule.columns[other])}{' (loose)' if rule.loose else ''}"
        output.line(f"  rule {number + 1}  {columns}: {found.pairs[number]:,}")
    if found.pairs[-1]:
        output.line(f"  by decision: {found.pairs[-1]:,}")
    for verdict, words in VERDICTS.items():
        some = [pair for pair in found.doubtful if pair.verdict == verdict]
        for pair in some[:SHOWN]:
            output.line(f"  ? {words} (rule {pair.rule + 1}): {_keys(pair, one, other)}", "yellow")
        if len(some) > SHOWN:
            output.line(f"  ? and {len(some) - SHOWN:,} more that {words}", "yellow")
    if found.differing:
        fields = ", ".join(f"{name} in {count:,}" for name, count in found.differing.items())
        output.line(f"  values differ: {fields} pairs")
    if found.applied is not None:
        output.line(f"  paired: {found.applied:,}", "green")


def _keys(pair: Found, one: str, other: str) -> str:
    return f"{one} {','.join(pair.keys[one])} and {other} {','.join(pair.keys[other])}"


def _document(found: LinkMatch) -> dict[str, Any]:
    rules: Sequence[int] = [found.pairs[number] for number in range(len(found.link.matching))]
    return {
        "link": found.link.name, "pairs": sum(found.pairs.values()), "by_rule": rules, "by_decision": found.pairs[-1],
        "doubtful": [{"rule": d.rule + 1, "verdict": d.verdict, "keys": d.keys} for d in found.doubtful],
        "differing": found.differing, "applied": found.applied, "backfills": found.backfills,
    }  # fmt: skip
