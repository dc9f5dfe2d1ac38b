"""Values to try a merge on, by column type: a few everyday ones first, then what is special of the type.

Promises: nothing here comes from a table. A text that is no value of the very type (a domain refuses it, a length cuts
it) does no harm: a server is asked for each before it is used.
"""

from __future__ import annotations

from replicator.mapping.types import shape_of
from replicator.model.table import Column

TEXTS = ("a", "b", "", "B", "ab", "ba", "1", "10", "9", " a", "a,b", "b,a", "é", "Zürich")
_WHOLE = ("1", "2", "0", "-1", "5", "10", "100", "-7")
_LIMITS = {
    "smallint": ("32767", "-32768"),
    "integer": ("2147483647", "-2147483648"),
    "bigint": ("9223372036854775807", "-9223372036854775808"),
}
_FRACTIONS = (*_WHOLE, "0.5", "2.25", "-0.01")
_DAYS = ("2024-02-29", "2024-03-01", "1999-12-31", "2000-01-01", "0001-01-01", "9999-12-31", "infinity", "-infinity")
_HOURS = ("12:00:00", "00:00:00", "23:59:59.999999", "07:30:00", "07:30:01")
_MOMENTS = ("2024-02-29 12:00:00", "2024-02-29 12:00:00.000001", *(day for day in _DAYS))
_JSON = ('{"a": 1}', '{"a": 2}', '{"b": 1}', "{}", '{"a": {"x": 1}}', "[]", "[1]", "[2]", "[1, 2]", "null", "1", '"a"')

_BY_TYPE: dict[str, tuple[str, ...]] = {
    **{name: (*_WHOLE, *limits) for name, limits in _LIMITS.items()},
    **dict.fromkeys(("real", "double precision"), (*_FRACTIONS, "1e30", "-1e30", "1e-30", "Infinity", "-Infinity", "NaN")),
    "boolean": ("true", "false"),
    "date": _DAYS,
    "time without time zone": _HOURS,
    "time with time zone": tuple(f"{hour}{zone}" for hour in _HOURS for zone in ("+00", "+02")),
    "timestamp without time zone": _MOMENTS,
    "timestamp with time zone": _MOMENTS,
    "interval": ("1 day", "24:00:00", "0", "-1 mon", "30 days", "1 year 2 days", "00:00:00.000001"),
    "uuid": tuple(f"{digit * 8}-0000-4000-8000-00000000000{digit}" for digit in "01aef"),
    "json": _JSON,
    "jsonb": _JSON,
    "bytea": ("\\x61", "\\x62", "\\x", "\\x00", "\\xff", "\\x6162"),
    "inet": ("10.0.0.1", "10.0.0.2", "10.0.0.0/8", "10.1.0.0/16", "::1"),
    "cidr": ("10.0.0.0/8", "10.1.0.0/16", "10.0.0.1/32", "::/0"),
    "macaddr": ("08:00:2b:01:02:03", "08:00:2b:01:02:04", "00:00:00:00:00:00"),
    "point": ("(1,2)", "(2,1)", "(0,0)"),
    "money": ("1", "2", "0", "-1", "100"),
    "bit varying": ("1", "0", "", "10", "01", "11", "1010", "0101"),
    **dict.fromkeys(("int4range", "int8range", "numrange"), ("[1,3)", "[2,5)", "[7,9)", "empty", "(,)", "[1,)", "(,2)")),
    **dict.fromkeys(
        ("daterange", "tsrange", "tstzrange"),
        ("[2024-01-01,2024-02-01)", "[2024-01-15,2024-03-01)", "[2024-06-01,2024-07-01)", "empty", "(,)", "[2024-01-15,)"),
    ),
}


def samples(column: Column) -> tuple[str, ...]:
    """Texts that are likely values of the column's type; for types that are not known, texts of several kinds."""
    name, modifier = shape_of(column)
    if name.endswith("[]"):
        return _arrays(_of(name.removesuffix("[]"), modifier)[:4])
    return _of(name, modifier)


def _of(name: str, modifier: tuple[int, ...]) -> tuple[str, ...]:
    if name == "numeric":
        return _decimals(modifier)
    if name == "bit":
        width = modifier[0] if modifier else 1
        return tuple(dict.fromkeys((bits * width)[:width] for bits in ("0", "1", "01", "10", "0011", "110")))
    return _BY_TYPE.get(name) or (*TEXTS, "{}", '"a"=>"1"', '"a"=>"2"', "{1}", "{1,2}", "(1,2)", "1.2")


def _decimals(modifier: tuple[int, ...]) -> tuple[str, ...]:
    if not modifier:
        return (*_FRACTIONS, "1" + "0" * 40, "-1" + "0" * 40, "0." + "0" * 20 + "1", "NaN")
    scale = max(modifier[1], 0) if len(modifier) > 1 else 0
    whole = "9" * max(modifier[0] - scale, 0) or "0"
    largest = f"{whole}.{'9' * scale}" if scale else whole
    smallest = f"0.{'0' * (scale - 1)}1" if scale else "1"
    return tuple(dict.fromkeys((*_FRACTIONS, smallest, largest, f"-{largest}")))


def _arrays(elements: tuple[str, ...]) -> tuple[str, ...]:
    def quoted(*parts: str) -> str:
        return "{" + ",".join('"' + p.replace("\\", "\\\\").replace('"', '\\"') + '"' for p in parts) + "}"

    one, two = elements[0], elements[1]
    alone = [quoted(element) for element in elements]
    return (*alone, "{}", quoted(one, two), quoted(two, one), quoted(one, one), "{NULL}", quoted(*elements))
