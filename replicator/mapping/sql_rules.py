"""What the words of an expression alone can tell: too long, a statement, a parameter, a function that is not known.

Each rule reports through `add(code, place, message, hint)`; `refs` are the numbers of the words that
belong to column references and are therefore names, whatever else they may look like.
"""

from __future__ import annotations

from collections.abc import Callable

from replicator.mapping import sql_words as sql
from replicator.mapping.findings import near, show
from replicator.mapping.sql_tokens import Word

Add = Callable[[str, int, str, str], None]

WORDS_LIMIT, DEPTH_LIMIT = 2_000, 50
ONE_RECORD = "an expression sees one record"


def too_large(found: list[Word], add: Add) -> bool:
    depth = deepest = 0
    for word in found:
        depth += (word.raw in "([" or word.lower == "case") - (word.raw in ")]" or word.lower == "end")
        deepest = max(depth, deepest)
    if len(found) <= WORDS_LIMIT and deepest <= DEPTH_LIMIT:
        return False
    add("L314", 0, "the expression is too long or too deep", "compute it in a generated column or view")
    return True


def forbidden(found: list[Word], refs: set[int], add: Add) -> bool:
    """Whether there is a word after which it makes no sense to read on."""
    for number, word in enumerate(found):
        if number in refs:
            continue
        if word.raw == ";":
            add("L302", word.start, "one expression is expected, and `;` ends it", "remove the `;`")
        elif _is_parameter(found, number):
            add("L305", word.start, f"nothing fills the parameter {show(word.raw)}", "write the value itself")
        elif word.lower in sql.STATEMENTS and not _in_type(found, number):
            hint = "use a `lookup` or `link` field to read another table"
            add("L303", word.start, f"{word.raw.upper()} begins a statement or subquery", hint)
        elif word.lower in sql.MANY_ROWS_SYNTAX:
            add("L304", word.start, f"{word.raw.upper()} needs many rows", ONE_RECORD)
        else:
            continue
        return True
    return False


def _is_parameter(found: list[Word], number: int) -> bool:
    word = found[number]
    if word.raw in ("$", "@"):
        return True
    before = found[number - 1].raw if number else "("
    return word.raw in ("?", "%", ":") and (before in ("(", ",") or before[0] in sql.SYMBOLS)


def _in_type(found: list[Word], number: int) -> bool:
    """`with` in `timestamp with time zone`."""
    return found[number].lower == "with" and number + 1 < len(found) and found[number + 1].lower == "time"


def functions(found: list[Word], refs: set[int], add: Add) -> None:
    for number, word in enumerate(found):
        if number in refs or word.name is None:
            continue
        before = found[number - 1].raw if number else ""
        called = number + 1 < len(found) and found[number + 1].raw == "("
        if called and before == ".":
            hint = "only PostgreSQL's own functions are known, written without a schema"
            add("L306", word.start, f"the function {show(word.name)} has a schema", hint)
        elif called and not _is_cast(found, number):
            _function(word, add)
        elif word.lower in sql.NOT_PURE_WORDS:
            _not_pure(word.raw, word.start, add)


def _function(word: Word, add: Add) -> None:
    last = word.lower.split()[-1] if word.lower else ""
    name = last or str(word.name)
    if last in sql.FUNCTIONS or last in sql.BEFORE_PARENTHESIS:
        return
    if name in sql.MANY_ROWS:
        add("L304", word.start, f"{name}() needs or gives many rows", ONE_RECORD)
    elif name in sql.NOT_PURE or name.startswith(sql.NOT_PURE_PREFIXES):
        _not_pure(f"{name}()", word.start, add)
    elif name in sql.FUNCTIONS:
        add("L306", word.start, f"the function name {show(word.raw)} is in quotes", "write it without quotes")
    else:
        as_cast = f"write a cast: expression::{name}" if name in sql.TYPES else ""
        hint = as_cast or near(name, sql.FUNCTIONS) or "write the expression out with PostgreSQL's own functions"
        add("L306", word.start, f"the function {show(name)} is not known", hint)


def _not_pure(name: str, place: int, add: Add) -> None:
    message = f"{name} is not allowed: two calls may differ, or it reaches the server"
    add("L307", place, message, "use a default in the database, or a lookup")


def _is_cast(found: list[Word], number: int) -> bool:
    return number > 0 and (found[number - 1].raw == "::" or found[number - 1].lower == "as")


def types(found: list[Word], refs: set[int], add: Add) -> None:
    """Types are judged only where the expression could be parsed: `as` might be anything before."""
    for number, word in enumerate(found):
        if _is_cast(found, number) and (number in refs or word.lower.split(" ")[0] not in sql.TYPES):
            dotted = number in refs
            name = word.raw + "." + found[number + 2].raw if dotted else word.raw
            hint = "" if dotted else near(name, sql.TYPES)
            hint = hint or "leave the cast off: the value is cast to the column's type anyway"
            add("L312", word.start, f"the type {show(name)} is not allowed in a cast", hint)


def well_formed(found: list[Word], refs: set[int], add: Add) -> None:
    """What sqlglot lets pass and PostgreSQL does not, above all brackets that are not closed."""
    opened: list[Word] = []
    for number, word in enumerate(found):
        before = found[number - 1] if number else None
        after = found[number + 1] if number + 1 < len(found) else None
        if word.raw in ("(", "["):
            opened.append(word)
            if word.raw == "[" and not _has_elements(before):
                _misplaced(word, add)
        elif word.raw in (")", "]"):
            if not opened or opened.pop().raw + word.raw not in ("()", "[]") or _is_empty(found, number):
                _misplaced(word, add)
        elif number not in refs and _is_misplaced(word, before, after):
            _misplaced(word, add)
    for word in opened:
        _misplaced(word, add)


def _has_elements(before: Word | None) -> bool:
    """Whether what stands before a bracket may be an array, or is `array`."""
    return before is not None and (before.name is not None or before.raw in (")", "]") or before.is_string)


def _is_empty(found: list[Word], number: int) -> bool:
    """Whether these are parentheses without anything in them that are not those of a call."""
    if number == 0 or found[number - 1].raw != "(":
        return False
    called = found[number - 2] if number > 1 else None
    return called is None or called.name is None or called.lower in sql.BEFORE_PARENTHESIS


def _is_misplaced(word: Word, before: Word | None, after: Word | None) -> bool:
    if word.raw == ",":
        return before is None or before.raw in ("(", "[") or after is None or after.raw in (")", "]", ",")
    if word.raw == ".":
        return not (before and before.name) and not (after and after.start == word.end and after.raw[0].isdigit())
    if word.raw[0].isdigit() and before is not None and before.raw[0].isdigit():
        return True  # as in numeric(12 2)
    if word.lower == "collate":
        return after is None or not after.raw.startswith('"')
    in_cast = before is not None and (before.raw == "::" or before.lower in ("as", "with", "without", "at"))
    if word.lower.split(" ")[0] in sql.TYPES and not in_cast:  # a typed constant: date '2020-01-01'
        return after is None or not (after.is_string or after.raw == "(" or after.lower in ("with", "without", "zone"))
    return False


def _misplaced(word: Word, add: Add) -> None:
    add("L301", word.start, f"not an SQL expression: {show(word.raw)} does not belong here", "use PostgreSQL's syntax")


def clock(found: list[Word], refs: set[int], add: Add) -> None:
    for number, word in enumerate(found):
        if number in refs or word.lower not in sql.CLOCK:
            continue
        if word.lower != "age" or _one_argument(found[number + 1 :]):
            message = f"{word.raw} reads the clock, so the value changes without any record changing"
            add("L313", word.start, message, "use it in `initial` or `delete`, or copy a date column")


def _one_argument(rest: list[Word]) -> bool:
    depth = 0
    for word in rest:
        depth += (word.raw in "([") - (word.raw in ")]")
        if depth == 0 or (depth == 1 and word.raw == ","):
            return depth == 0
    return True
