"""The words of an SQL expression with their places, and the columns they name.

sqlglot's tokenizer does the reading; each word is then held against PostgreSQL's own lexical rules,
so that a text can only pass where both agree on where strings, names and operators begin and end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import sqlglot
from sqlglot import Token, TokenType
from sqlglot.errors import SqlglotError

from replicator.mapping.sql_words import OPERATORS, SPLIT_OPERATORS, SYMBOLS

MASK = '"r"'

_WORD = re.compile(r"[^\W\d][\w$]*(\s+[^\W\d][\w$]*)*")
_QUOTED = re.compile(r'"(?:[^"]|"")+"')
_STRING = re.compile(r"'(?:[^']|'')*'|[eE]'(?:[^'\\]|''|\\[^\n])*'|[bB]'[01]*'|[xX]'[0-9a-fA-F]*'")
_NUMBER = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_OPENING = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(?P<open>['"]|/\*)|.""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Word:
    """A token: `raw` is its source, `lower` the folded text (empty for strings, numbers and quoted names)."""

    raw: str
    lower: str
    name: str | None  # for a name, quoted or not: what PostgreSQL takes it for
    start: int
    end: int
    line: int
    column: int

    @property
    def kind(self) -> str:
        """`operator`, `mark` (parentheses, dots, commas) or `word`: what PostgreSQL might read as one if it touches."""
        if self.raw[0] in SYMBOLS:
            return "operator"
        return "mark" if self.raw in "()[],.:;$" or self.raw == "::" else "word"

    @property
    def is_string(self) -> bool:
        return self.raw[-1] == "'"


@dataclass(frozen=True, slots=True)
class ColumnReference:
    """`node.column`, or what looks like it, from `start` to `end` of the text; `first` is its first word's number."""

    node: str
    column: str
    start: int
    end: int
    first: int


class NotRead(Exception):
    """The text cannot be split into words; `place` is where."""

    def __init__(self, message: str, place: int) -> None:
        super().__init__(message)
        self.message, self.place = message, place


def fold(name: str) -> str:
    """What PostgreSQL makes of an unquoted name: ASCII letters become lower case."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def words(text: str) -> list[Word]:
    """The words of a text; NotRead if any of them is not one of PostgreSQL's."""
    if wrong := _NO_TEXT.search(text):
        raise NotRead(f"the character U+{ord(wrong.group()):04X} is not allowed", wrong.start())
    try:
        tokens = sqlglot.tokenize(text, read="postgres")
    except (SqlglotError, ValueError, IndexError) as error:
        open_at = next((m.start() for m in _OPENING.finditer(text) if m["open"]), 0)
        raise NotRead("a quote or comment is not closed", open_at) from error
    found = _joined([_word(text, token) for token in tokens])
    for one, two in pairwise(found):
        if one.is_string and two.is_string:
            raise NotRead("two strings stand side by side; join them with ||", two.start)
    return found


def _word(text: str, token: Token) -> Word:
    raw = text[token.start : token.end + 1]
    place = (token.start, token.end + 1, token.line, token.col)
    if _QUOTED.fullmatch(raw):
        return Word(raw, "", raw[1:-1].replace('""', '"'), *place)
    if _WORD.fullmatch(raw):
        return Word(raw, fold(raw), fold(raw), *place)
    if raw == ";" or token.token_type in (TokenType.PARAMETER, TokenType.PLACEHOLDER):
        return Word(raw, "", None, *place)
    if not raw or not (_STRING.fullmatch(raw) or _NUMBER.fullmatch(raw) or raw in OPERATORS):
        raise NotRead(f"{raw[:20]!r} is not SQL that is understood here", token.start)
    return Word(raw, "", None, *place)


def _joined(found: list[Word]) -> list[Word]:
    """Operators that sqlglot reads in two tokens and PostgreSQL as one."""
    joined: list[Word] = []
    for word in found:
        last = joined[-1] if joined else None
        if last and last.end == word.start and last.raw + word.raw in SPLIT_OPERATORS:
            joined[-1] = replace(word, raw=last.raw + word.raw, start=last.start)
        else:
            joined.append(word)
    return joined


def references(found: list[Word]) -> list[ColumnReference]:
    """Every `node.column` among the words: two names and a dot, no further dot beside them, not a function call."""
    hits = []
    for i in range(len(found) - 2):
        node, dot, column = found[i : i + 3]
        before = found[i - 1].raw if i else ""
        after = found[i + 3].raw if i + 3 < len(found) else ""
        if dot.raw == "." and node.name and column.name and before != "." and after not in (".", "("):
            hits.append(ColumnReference(node.name, column.name, node.start, column.end, i))
    return hits


def masked(text: str, found: list[ColumnReference]) -> str:
    """The text with each reference replaced by `"r"` of the same length and lines.

    So no reserved word can trouble the parser (`crm.select` is a column), and every place stays what it was.
    """
    pieces, end = [], 0
    for reference in found:
        rest = text[reference.start + len(MASK) : reference.end]
        pieces += [text[end : reference.start], MASK, "".join(c if c.isspace() else " " for c in rest)]
        end = reference.end
    return "".join(pieces) + text[end:]


def spaced(text: str, found: list[Word]) -> Iterator[tuple[str, Word]]:
    """Each word with what must stand before it: its own white space, never a comment.

    Two operators that touch are set apart, as PostgreSQL would read `||-` as one; so are two words.
    """
    end = 0
    for i, word in enumerate(found):
        gap = text[end : word.start]
        touching = not gap and i > 0 and word.kind == found[i - 1].kind != "mark"
        yield (" " if touching or gap.strip(" \t\r\n") else gap), word
        end = word.end
