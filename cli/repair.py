"""`reconcile --repair`: what would be mended and how, and mending it."""

from __future__ import annotations

import getpass
from collections import Counter
from dataclasses import dataclass
from typing import Any

from replicator.errors import ConfigurationError
from replicator.mapping.findings import near
from replicator.model.config import Config
from replicator.runtime.drain import all_flows
from replicator.runtime.reconcile import Report
from replicator.runtime.repair import Plan, Repair
from replicator.runtime.wiring import plain_connections

from .carrying import watch
from .output import Output
from .reconcile_words import counted, record
from .session import Session

SAID = {
    "send": "{}'s record is sent once more",
    "again": "made anew of {}'s: the other of the pair is gone",
    "remove": "removed: what it was made from is gone",
    "tell": "pair made known on the other node",
    "forget": "pair forgotten: its records are gone",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """`prefer`: whose value stands where no rule decides; `limit`: differences at most."""

    prefer: str | None = None
    limit: int | None = None
    dry_run: bool = False
    yes: bool = False

    def check(self, config: Config) -> None:
        nodes = [node.name for node in config.nodes]
        if self.prefer is not None and self.prefer not in nodes:
            raise ConfigurationError(
                f"there is no node {self.prefer!r}", near(self.prefer, nodes) or f"nodes are {', '.join(nodes)}"
            )


def mend(session: Session, config: Config, output: Output, report: Report, wish: Wish, shown: int) -> tuple[Plan, bool]:
    """What would be done is printed first. Whether it was done."""
    with Repair(config, session.environ, _who()) as repair:
        plan = repair.plan(report, wish.prefer, wish.limit)
        _show(output, plan, shown)
        if wish.dry_run or not plan:
            output.line("nothing was changed" if plan else "there is nothing that a rule can mend")
            return plan, False
        if not wish.yes and not output.confirm(f"Mend {counted(len(plan.mendings), 'record')}?"):
            output.aside("nothing was changed")
            return plan, False
        ids = repair.carry_out(plan)
    flows = {name: source for name, (source, _) in all_flows(config).items()}
    connections = plain_connections(config, session.environ, "repair")
    try:
        if ids:
            watch(output, config, session.environ, connections, flows, ids)
    finally:
        for connection in connections.values():
            connection.close()
    return plan, True


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "reconcile"


def _show(output: Output, plan: Plan, shown: int) -> None:
    if not plan.mendings and not plan.left:
        return
    output.line("repair", "bold")
    for number, mending in enumerate(plan.mendings[:shown]):
        fields = ", ".join(f"{name} of {mending.source} ({why})" for name, why in mending.fields.items())
        what = fields or SAID[mending.how].format(mending.source)
        output.line(f"  ~ {mending.link} {record(plan.differences[number])}: {what}", "yellow")
    if len(plan.mendings) > shown:
        output.line(f"    and {len(plan.mendings) - shown:,} more", "dim")
    advice: Counter[tuple[str, str, str]] = Counter()
    for left in plan.left:
        advice[left.difference.link, ", ".join(left.fields) or left.difference.kind, left.advice] += 1
    for (link, what, words), count in advice.items():
        output.line(f"  - {link}: {what} of {counted(count, 'record')} left alone: {words}", "dim")
    if plan.beyond:
        output.line(f"  {counted(plan.beyond, 'difference')} more than --max-changes allows", "dim")


def as_document(plan: Plan, done: bool) -> dict[str, Any]:
    return {
        "done": done,
        "mended": [
            {"how": m.how, "link": m.link, "keys": m.keys, "from": m.source, "fields": dict(m.fields)} for m in plan.mendings
        ],
        "left": [
            {
                "link": one.difference.link, "kind": one.difference.kind, "keys": one.difference.keys,
                "fields": one.fields, "advice": one.advice,
            }
            for one in plan.left
        ],
        "beyond": plan.beyond,
    }  # fmt: skip
