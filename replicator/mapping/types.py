"""What a copy from one column type to another can lose, told from the types alone.

A value travels as the text its own database gives, and is read by the other as the target's type.
`loss` says what may be cut, rounded or refused for size; `mismatch` says where the text of the
one is no text of the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replicator.model.table import Column

_ALIASES = {
    "varchar": "character varying", "bpchar": "character", "char": "character", "decimal": "numeric", "dec": "numeric",
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "float8": "double precision",
    "float4": "real", "float": "double precision", "bool": "boolean", "timetz": "time with time zone",
    "timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone",
    "time": "time without time zone",
}  # fmt: skip
_MODIFIED = re.compile(r"([^()]+?)\s*\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?\)(.*)")

_TEXT = frozenset(("text", "character varying", "character", "citext", "name"))
# Type -> (digits that any of its values fits in, digits of which every value fits into it).
_INTEGERS = {"smallint": (5, 4), "integer": (10, 9), "bigint": (19, 18)}
_FLOATS = {"real": 6, "double precision": 15}
_TIMES = {
    "date": frozenset(("date",)),
    "time without time zone": frozenset(("time",)),
    "time with time zone": frozenset(("time", "zone")),
    "timestamp without time zone": frozenset(("date", "time")),
    "timestamp with time zone": frozenset(("date", "time", "zone")),
}
_WIDTHS = {
    "boolean": 5, "smallint": 6, "integer": 11, "bigint": 20, "uuid": 36, "date": 13, "time without time zone": 15,
    "timestamp without time zone": 29, "timestamp with time zone": 35,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Type:
    """`modifier` is a length, a time's digits, or a numeric's (precision, scale)."""

    name: str
    modifier: tuple[int, ...]
    shown: str

    @staticmethod
    def of(column: Column) -> _Type:
        """A domain counts as what it is made of; its own limits are not known here."""
        base, _ = _split(column.base_type)
        declared, modifier = _split(column.type)
        return _Type(base, modifier if declared == base else (), column.type)

    @property
    def digits(self) -> tuple[int, int] | None:
        """(before the point, after it) that the type has room for; None if there is no limit."""
        if not self.modifier:
            return None
        precision, scale = self.modifier[0], self.modifier[1] if len(self.modifier) > 1 else 0
        return precision - scale, max(scale, 0)


def _split(written: str) -> tuple[str, tuple[int, ...]]:
    text = " ".join(written.lower().split())
    parts = _MODIFIED.fullmatch(text)
    if parts is None:
        return _ALIASES.get(text, text), ()
    name = " ".join((parts[1] + parts[4]).split())
    return _ALIASES.get(name, name), tuple(int(p) for p in (parts[2], parts[3]) if p is not None)


def shape_of(column: Column) -> tuple[str, tuple[int, ...]]:
    """The type's own name, and its modifier (a length, a time's digits, or precision and scale)."""
    kind = _Type.of(column)
    return kind.name, kind.modifier


def family(column: Column) -> str:
    """`number`, `time`, `json`, `network`, or nothing in particular."""
    return _family(_Type.of(column))


def is_exact(column: Column) -> bool:
    """Whether sums of the column's values do not depend on the order of adding."""
    name = _Type.of(column).name
    return name in _INTEGERS or name == "numeric"


def decimals(column: Column) -> int | None:
    """How many decimals a whole or decimal number keeps; None for all."""
    kind = _Type.of(column)
    room = (0, 0) if kind.name in _INTEGERS else kind.digits
    return None if room is None else room[1]


def loss(source: Column, target: Column) -> str | None:
    """What a copy may lose or have refused for its size, or None."""
    a, b = _Type.of(source), _Type.of(target)
    if a.name == b.name and a.modifier == b.modifier:
        return None
    if b.name in _TEXT:
        return _text_loss(a, b)
    if b.name in _INTEGERS or b.name == "numeric":
        return _number_loss(a, b)
    if b.name in _FLOATS:
        return _float_loss(a, b)
    if a.name in _TIMES and b.name in _TIMES:
        return _time_loss(a, b)
    if (a.name, b.name) == ("json", "jsonb"):
        return "jsonb keeps neither the order of keys nor repeated ones"
    return None


def _length(kind: _Type) -> int | None:
    if kind.name == "name":
        return 63
    if kind.name == "character" and not kind.modifier:
        return 1
    return kind.modifier[0] if kind.modifier else None


def _text_loss(a: _Type, b: _Type) -> str | None:
    room = _length(b)
    needed = _length(a) if a.name in _TEXT else _WIDTHS.get(a.name)
    if a.name == "numeric" and a.modifier:
        needed = a.modifier[0] + 2
    if room is None or (needed is not None and needed <= room):
        return None
    return f"more than {room} characters do not fit"


def _number_loss(a: _Type, b: _Type) -> str | None:
    if a.name in _FLOATS:
        return "a binary fraction becomes a decimal one, and may be rounded"
    if a.name not in _INTEGERS and a.name != "numeric":
        return None
    room = (_INTEGERS[b.name][1], 0) if b.name in _INTEGERS else b.digits
    if room is None or (a.name in _INTEGERS and b.name in _INTEGERS and _INTEGERS[a.name] <= _INTEGERS[b.name]):
        return None
    needs = (_INTEGERS[a.name][0], 0) if a.name in _INTEGERS else a.digits
    lost = []
    if needs is None or needs[0] > room[0]:
        lost.append(f"values of more than {max(room[0], 0)} digits are refused")
    if needs is None or needs[1] > room[1]:
        lost.append(f"decimals beyond {room[1]} are rounded" if room[1] else "decimals are rounded away")
    return " and ".join(lost) or None


def _float_loss(a: _Type, b: _Type) -> str | None:
    room = _FLOATS[b.name]
    if a.name in _FLOATS:
        exact = _FLOATS[a.name] <= room
    elif a.name in _INTEGERS:
        exact = _INTEGERS[a.name][0] <= room
    else:
        exact = a.name != "numeric"
    return None if exact else f"digits beyond {room} are rounded"


def _time_loss(a: _Type, b: _Type) -> str | None:
    had, has = _TIMES[a.name], _TIMES[b.name]
    if "date" in had and "date" not in has:
        return "the date is dropped"
    if "time" in had and "time" not in has:
        return "the time of day is dropped"
    if ("zone" in had) != ("zone" in has) and "time" in had:
        return "which moment is meant depends on the session's time zone"
    fine, room = (t.modifier[0] if t.modifier else 6 for t in (a, b))
    return f"fractions of a second beyond {room} digits are rounded" if "time" in had and fine > room else None


def keeps_apart(source: Column, target: Column) -> bool:
    """Whether two values of the source that differ are never the same on the target; some may be refused there."""
    a, b = _Type.of(source), _Type.of(target)
    if b.name in ("character", "citext") or a.name == "citext":
        return a.name == b.name
    texts, integers = {a.name, b.name} <= _TEXT, {a.name, b.name} <= _INTEGERS.keys()
    return texts or integers or (loss(source, target) is None and mismatch(source, target) is None)


def mismatch(source: Column, target: Column) -> str | None:
    """Why the source's text is not always one of the target's type, or None."""
    a, b = _Type.of(source), _Type.of(target)
    if a.name == b.name or b.name in _TEXT or _family(a) == _family(b) != "":
        return None
    if target.category == "E":
        return f"a value that {b.shown} does not list is refused"
    if a.name in _TEXT:
        return f"a text that is no {b.shown} is refused"
    return f"{a.shown} is not written like {b.shown}"


def _family(kind: _Type) -> str:
    if kind.name in _INTEGERS or kind.name in _FLOATS or kind.name == "numeric":
        return "number"
    if kind.name in _TIMES:
        return "time"
    return {"json": "json", "jsonb": "json", "inet": "network", "cidr": "network"}.get(kind.name, "")
