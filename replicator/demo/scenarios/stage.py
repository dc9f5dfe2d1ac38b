"""What a scenario is, and what it asks of the place where it is played: three databases with a replicator between them.

Promises: nothing here knows the replicator. A step is SQL as a person would type it in psql; what came of it elsewhere is
looked for until it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Row = Mapping[str, Any]


class Stage(Protocol):
    """Every method raises when what it looks for does not come: then the scenario has failed."""

    def say(self, text: str) -> None:
        """What is happening, in the words of the people whom it happens to."""

    def given(self, node: str, sql: str) -> None:
        """What has to be there first; not worth showing."""

    def does(self, node: str, sql: str) -> None:
        """Somebody types this there; one transaction."""

    def at_once(self, edits: Sequence[tuple[str, str]]) -> None:
        """Several people type SQL, each on a (node), before any of them can see what the others have done; the last one
        commits last."""

    def sees(self, node: str, sql: str, **expected: object) -> Row:
        """Looks until the first row has these values in its columns; shows all rows, and gives the first."""
        ...

    def sees_nothing(self, node: str, sql: str) -> None:
        """When all that is under way has arrived, there is no such row."""

    def explains(self, link: str, field: str) -> None:
        """The newest conflict about a field of a link, as `replicator conflicts show` tells it."""

    def settled(self) -> None:
        """Waits until all that is under way has arrived."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`title`: what it shows, in one line."""

    name: str
    title: str
    play: Callable[[Stage], None]
