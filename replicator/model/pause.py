"""A link that stands still, and why."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = "schema"  # who has paused a link that does not fit its tables any more


@dataclass(frozen=True, slots=True)
class Pause:
    """`by`: a person, or SCHEMA. `place`: the line to change, `file:line:column`. `node`, `table`, `column`: what does not fit,
    as far as it is known. `stale`: changes that concern the link cannot be kept meanwhile, so its records are copied anew when it
    goes on."""

    link: str
    by: str
    reason: str
    hint: str = ""
    place: str = ""
    node: str = ""
    table: str = ""
    column: str = ""
    stale: bool = False

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        hint = f" -> {self.hint}" if self.hint else ""
        return f"{where}{self.reason}{hint}"
