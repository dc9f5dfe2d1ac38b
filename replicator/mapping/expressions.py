"""SQL expressions in links: read, checked to be pure, and rendered for a statement.

An expression is one value computed from one record (for a merge: from a field's two columns), whose columns are
written `node.column`.
Promises: nothing outside the allow-lists of `sql_words` passes, no text raises anything but
findings, every finding stands at the line and column of the word at fault, and rendering keeps the
user's own words: only the column references are replaced, so no translation can change a meaning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from replicator.mapping import sql_rules, sql_tree
from replicator.mapping.findings import Findings, near, show
from replicator.mapping.sql_tokens import ColumnReference, NotRead, Word, fold, masked, references, spaced, words
from replicator.mapping.yaml_nodes import ScalarNode
from replicator.model.finding import Mark
from replicator.model.link import Expression

LENGTH_LIMIT = 10_000

logging.getLogger("sqlglot").addHandler(logging.NullHandler())  # what it has to say becomes a finding


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and where each of its characters stands in a file."""

    text: str
    at: Callable[[int], Mark]

    @staticmethod
    def of(scalar: ScalarNode) -> Passage:
        return Passage(scalar.text, scalar.at)

    def part(self, start: int, end: int) -> Passage:
        """The passage between two characters, without white space around it."""
        text = self.text[start:end]
        start += len(text) - len(text.lstrip())
        return Passage(text.strip(), lambda index: self.at(start + index))


@dataclass(frozen=True, slots=True)
class Reading:
    """What an expression may see: the record of `reads`, in a link of `nodes`. `clock`: whether time may be read."""

    nodes: Collection[str]
    reads: str
    clock: bool = False

    @property
    def example(self) -> str:
        return f"{self.reads}.column"

    def objection(self, column: ColumnReference) -> tuple[str, str] | None:
        """Code and end of the message, if this column of the link cannot be read."""
        if column.node == self.reads:
            return None
        return "L310", f"cannot be read here: the expression sees the record of {self.reads}"


@dataclass(frozen=True, slots=True)
class BothColumns:
    """What a merge may see, and must: a field's two columns, one of each of a link's `nodes`."""

    nodes: Collection[str]
    columns: Mapping[str, str]  # node -> column
    clock: bool = False

    @property
    def example(self) -> str:
        return " and ".join(self._written(node) for node in self.columns)

    def _written(self, node: str) -> str:
        column = self.columns[node]
        return f"{node}.{column}" if fold(column) == column and column.isidentifier() else f'{node}."{column}"'

    def objection(self, column: ColumnReference) -> tuple[str, str] | None:
        if self.columns[column.node] == column.column:
            return None
        return "L317", "cannot be read here: a merge sees the two values of its own field"

    def left_out(self, found: Collection[ColumnReference]) -> str:
        """The columns that are not among those found, if any."""
        read = {(column.node, column.column) for column in found}
        return " nor ".join(self._written(node) for node, column in self.columns.items() if (node, column) not in read)


Reads = Reading | BothColumns


def parse_expression(source: ScalarNode | Passage, reading: Reads, found: Findings) -> Expression | None:
    """The expression a text holds, or None and findings. A finding that only warns does not keep it back."""
    whole = Passage.of(source) if isinstance(source, ScalarNode) else source
    passage = whole.part(0, len(whole.text))
    if not passage.text:
        mark = source.mark if isinstance(source, ScalarNode) else passage.at(0)
        found.add("L316", mark, "the SQL expression is empty", "write null for NULL, '' for the empty text")
        return None
    return _Check(passage, reading, found).expression()


def to_sql(expression: Expression, column: Callable[[str], str]) -> str:
    """The expression as SQL, each `node.column` replaced by `column(name)`.

    Everything else is the user's own text, without its comments. The caller sets parentheses around it.
    """
    return to_sql_both(expression, lambda _, name: column(name))


def to_sql_both(expression: Expression, column: Callable[[str, str], str]) -> str:
    """As `to_sql` for an expression over columns of two nodes: each becomes `column(node, name)`."""
    return "".join(p if isinstance(p, str) else column(p.node, p.column) for p in _pieces(expression.text))


@lru_cache(maxsize=4096)
def _pieces(text: str) -> tuple[str | ColumnReference, ...]:
    found = words(text)
    by_first = {reference.first: reference for reference in references(found)}
    pieces: list[str | ColumnReference] = []
    skip_to = 0
    for number, (gap, word) in enumerate(spaced(text, found)):
        if number < skip_to:
            continue
        pieces.append(gap)
        if number in by_first:
            pieces.append(by_first[number])
            skip_to = number + 3
        else:
            pieces.append(word.raw)
    return tuple(pieces)


def literal(text: str) -> str:
    """A text as an SQL constant of link files."""
    return "'" + text.replace("'", "''") + "'"


def renamed(expression: Expression, old: str, new: str) -> Expression:
    """The same over a node of another name. (A merge reads two nodes and so is said to be of none.)"""
    found = words(expression.text)
    pieces, end = [], 0
    for column in (reference for reference in references(found) if reference.node == old):
        pieces += [expression.text[end : column.start], new]
        end = found[column.first].end
    node = new if expression.node == old else expression.node
    return replace(expression, text="".join([*pieces, expression.text[end:]]), node=node)


def parse_assignments(scalar: ScalarNode, reading: Reading, found: Findings) -> list[tuple[str, Mark, Expression]] | None:
    """`set a = expression, b = expression` as (column, its place, expression); columns are those of `reading.reads`."""
    if len(scalar.text) > LENGTH_LIMIT:
        found.add("L314", scalar.mark, f"the text has more than {LENGTH_LIMIT} characters", "set fewer columns")
        return None
    try:
        all_words = words(scalar.text)
    except NotRead as error:
        found.add("L301", scalar.at(error.place), error.message, "check the quotes")
        return None
    assignments, errors = [], found.errors
    for part in _between_commas(all_words[1:]):
        target, start, end = _assigned(part)
        at = scalar.at(part[0].start if part else len(scalar.text))
        if target is None:
            found.add("L112", at, "an assignment cannot be read", "write `set column = expression, ...`")
            continue
        expression = parse_expression(Passage.of(scalar).part(start, end), reading, found)
        if expression:
            assignments.append((target, at, expression))
    return assignments if found.errors == errors else None


def _between_commas(all_words: list[Word]) -> Iterator[list[Word]]:
    depth, part = 0, list[Word]()
    for word in all_words:
        depth += (word.raw in "([") - (word.raw in ")]")
        if word.raw == "," and depth == 0:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _assigned(part: list[Word]) -> tuple[str | None, int, int]:
    """The column and where the expression begins and ends."""
    if len(part) < 3 or part[0].name is None or part[1].raw != "=":
        return None, 0, 0
    return part[0].name, part[1].end, part[-1].end


class _Check:
    """One expression on its way through the checks."""

    def __init__(self, passage: Passage, reading: Reads, found: Findings) -> None:
        self.passage, self.reading, self.found = passage, reading, found

    def add(self, code: str, place: int, message: str, hint: str) -> None:
        self.found.add(code, self.passage.at(place), message, hint)

    def expression(self) -> Expression | None:
        text = self.passage.text
        if len(text) > LENGTH_LIMIT:
            self.add("L314", 0, f"the expression has more than {LENGTH_LIMIT} characters", "compute it in the database")
            return None
        try:
            all_words = words(text)
        except NotRead as error:
            self.add("L301", error.place, f"not an SQL expression: {error.message}", "use PostgreSQL's syntax")
            return None
        if not all_words:
            self.add("L316", 0, "the SQL expression is empty", "write null for NULL, '' for the empty text")
            return None
        return self.checked(all_words)

    def checked(self, all_words: list[Word]) -> Expression | None:
        before = self.found.errors
        columns = references(all_words)
        refs = {n for c in columns for n in (c.first, c.first + 2)}
        if sql_rules.too_large(all_words, self.add) or sql_rules.forbidden(all_words, refs, self.add):
            return None
        sql_rules.functions(all_words, refs, self.add)
        tree = self.tree(all_words, columns)
        if tree is None:
            return None
        sql_rules.types(all_words, refs, self.add)
        self.names(tree, columns)
        if self.found.errors == before and (objection := sql_tree.construct(tree)):
            self.add(objection.code, objection.place, objection.message, objection.hint)
        if self.found.errors == before:
            sql_rules.well_formed(all_words, refs, self.add)
        if not self.reading.clock:
            sql_rules.clock(all_words, refs, self.add)
        if self.found.errors != before:
            return None
        if isinstance(self.reading, BothColumns):
            return self.over_both(self.reading, columns)
        reads = frozenset(c.column for c in columns)
        return Expression(self.passage.text, self.passage.at(0), columns[0].node if columns else None, reads)

    def over_both(self, reading: BothColumns, columns: list[ColumnReference]) -> Expression | None:
        if left_out := reading.left_out(columns):
            message = f"the merge does not read {left_out}, so an edit there would never count"
            self.add("L318", 0, message, f"read {reading.example}; where one side always wins, let that node own the field")
            return None
        return Expression(self.passage.text, self.passage.at(0), None, frozenset())

    def tree(self, all_words: list[Word], columns: list[ColumnReference]) -> exp.Expr | None:
        try:
            return sqlglot.parse_one(masked(self.passage.text, columns), read="postgres", into=exp.Condition)
        except ParseError as error:
            self.parse_error(error, all_words)
        except RecursionError:
            self.add("L314", 0, "the expression is too deep", "compute it in a generated column or view")
        except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError):  # on text it did not expect
            self.add("L301", 0, "not an SQL expression that is understood", "use PostgreSQL's syntax")
        return None

    def parse_error(self, error: ParseError, all_words: list[Word]) -> None:
        detail = error.errors[0] if error.errors else {}
        at = (detail.get("line", 0), detail.get("col", 0))
        word = next((w for w in all_words if (w.line, w.column) >= at), all_words[-1])
        description = str(detail.get("description", ""))
        if description.startswith("Expecting"):
            message = f"{description[:1].lower()}{description[1:]} near {show(word.raw)}"
        elif "Unexpected token" in description:
            message = f"unexpected {show(word.raw)}"
        else:
            message = f"something is missing near {show(word.raw)}"
        self.add("L301", word.start, f"not an SQL expression: {message}", "use PostgreSQL's syntax")

    def names(self, tree: exp.Expr, columns: list[ColumnReference]) -> None:
        types = {c.start for c in columns if self.is_type(c)}
        masks = {c.start for c in columns} - types
        for objection in sql_tree.columns(tree, masks, self.reading.nodes):
            self.add(objection.code, objection.place, objection.message, objection.hint)
        for column in columns:
            if column.start not in types:
                self.node(column)

    def is_type(self, column: ColumnReference) -> bool:
        before = self.passage.text[: column.start].rstrip().lower()
        return before.endswith("::") or before.split()[-1:] == ["as"]

    def node(self, column: ColumnReference) -> None:
        written = show(self.passage.text[column.start : column.end])
        if column.node not in self.reading.nodes:
            hint = near(column.node, self.reading.nodes) or f"write {self.reading.example}"
            self.add("L309", column.start, f"{written}: {show(column.node)} is not a node of this link", hint)
        elif wrong := self.reading.objection(column):
            self.add(wrong[0], column.start, f"{written} {wrong[1]}", f"write {self.reading.example}")
