"""YAML text to nodes that know their place in the file, for files that people write by hand.

Promises: whatever the bytes are, the answer is a mapping or findings, never an exception; a key
given twice, a tag, a second document are findings, not surprises; aliases and nesting are bounded;
a scalar keeps its text as written (`on`, `no`, `1.10` stay what they are), and can tell the line and
column of each of its characters, through quotes, escapes, folding and indentation.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from replicator.mapping.findings import Findings, show
from replicator.model.finding import Mark

SIZE_LIMIT = 2 * 1024 * 1024
PARTS_LIMIT = 50_000
DEPTH_LIMIT = 32

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_SPACE = frozenset(" \t\r\n\x85\u2028\u2029")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+|#[^\n\r]*\s+)*")
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
_HEX_ESCAPE = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text and where its lines begin."""

    path: str
    text: str
    starts: tuple[int, ...]

    @staticmethod
    def of(path: str, text: str) -> Source:
        return Source(path, text, (0, *(m.end() for m in _BREAK.finditer(text))))

    def mark(self, offset: int) -> Mark:
        line = bisect_right(self.starts, offset)
        return Mark(self.path, line, offset - self.starts[line - 1] + 1)


@dataclass(frozen=True, slots=True, eq=False)
class ScalarNode:
    """`text` is the value; `style` is YAML's: `''` plain, `'`, `"`, `|` or `>`. `start` and `end` bound the source."""

    source: Source
    text: str
    style: str
    start: int
    end: int
    mark: Mark

    @property
    def is_null(self) -> bool:
        return not self.style and self.text in ("", "~", "null", "Null", "NULL")

    def at(self, index: int) -> Mark:
        """The place in the file of the value's character number `index` (its end, for an index past it)."""
        offsets = _offsets(self)
        if index < len(offsets):
            return self.source.mark(offsets[index])
        return self.source.mark(offsets[-1] + 1 if offsets else self.start)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceNode:
    items: tuple[YamlNode, ...]
    mark: Mark


@dataclass(frozen=True, slots=True, eq=False)
class MappingNode:
    entries: tuple[tuple[ScalarNode, YamlNode], ...]
    mark: Mark

    def get(self, key: str) -> YamlNode | None:
        return next((value for k, value in self.entries if k.text == key), None)

    def key(self, key: str) -> ScalarNode:
        return next(k for k, _ in self.entries if k.text == key)

    def __contains__(self, key: str) -> bool:
        return any(k.text == key for k, _ in self.entries)


YamlNode = ScalarNode | SequenceNode | MappingNode


def read_yaml(path: str | Path, found: Findings) -> MappingNode | None:
    """The mapping a file holds, or None and what is wrong with the file."""
    start = Mark(str(path), 1, 1)
    try:
        if not Path(path).is_file():
            found.add("L001", start, "there is no such file", "check the path")
            return None
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        found.add("L001", start, f"the file cannot be read: {reason}", "check the path and its permissions")
        return None
    if len(data) > SIZE_LIMIT:
        found.add("L002", start, "the file is larger than 2 MiB", "keep one link a file")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = Source.of(str(path), data[: error.start].decode("utf-8-sig", "replace"))
        message = f"the file is not UTF-8 (byte 0x{data[error.start]:02x})"
        found.add("L003", before.mark(len(before.text)), message, "save it as UTF-8")
        return None
    return parse_yaml(text, str(path), found)


def parse_yaml(text: str, path: str, found: Findings) -> MappingNode | None:
    """The mapping a text holds, or None and what is wrong with it. Duplicate keys are reported, the first is kept."""
    source = Source.of(path, text)
    if wrong := _UNPRINTABLE.search(text):
        name = "NUL" if wrong.group() == "\0" else f"U+{ord(wrong.group()):04X}"
        found.add("L004", source.mark(wrong.start()), f"the character {name} is not allowed", "remove it")
        return None
    try:
        root = _Builder(source, found).document()
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        place = source.mark(at.index) if at else Mark(path, 1, 1)
        found.add("L005", place, f"not YAML: {error.problem or error.context}", _syntax_hint(error))
        return None
    except (yaml.YAMLError, ValueError, OverflowError):  # a number in an escape or directive that is out of range
        found.add("L005", Mark(path, 1, 1), "not YAML: an escape or directive is out of range", "check \\U escapes")
        return None
    if root is None:
        found.add("L006", Mark(path, 1, 1), "the file is empty", "delete it, or write it")
    elif not isinstance(root, MappingNode):
        found.add("L007", root.mark, "the file is not a mapping", "write `key: value` lines at the top level")
        return None
    return root


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    context = f"{error.context}; " if error.context and error.problem else ""
    return f"{context}quote texts with special characters, indent with spaces"


class _Stop(Exception):
    """The finding is recorded and reading cannot go on."""


class _Builder:
    """Turns PyYAML's events into nodes (events rather than compose(), to stop before anything grows)."""

    def __init__(self, source: Source, found: Findings) -> None:
        self.source, self.found = source, found
        self.events: Iterator[yaml.Event] = yaml.parse(source.text, Loader=yaml.SafeLoader)
        self.next = next(self.events)
        self.anchors: dict[str, tuple[YamlNode, int]] = {}
        self.parts = 0

    def take(self) -> yaml.Event:
        event = self.next
        self.next = next(self.events, event)
        return event

    def document(self) -> YamlNode | None:
        self.take()  # stream start
        if isinstance(self.next, yaml.StreamEndEvent):
            return None
        self.take()  # document start
        root = self.node(0)
        self.take()  # document end
        if not isinstance(self.next, yaml.StreamEndEvent):
            self.found.add("L012", self.mark(self.next), "a second document begins here", "keep one document a file")
        return root

    def mark(self, event: yaml.Event) -> Mark:
        return self.source.mark(event.start_mark.index if event.start_mark else 0)

    def node(self, depth: int) -> YamlNode:
        event = self.take()
        before = self.parts
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            raise _Stop  # the parser gives no other event here
        self.count(1, event)
        if depth > DEPTH_LIMIT:
            message = f"nested deeper than {DEPTH_LIMIT} levels"
            self.found.add("L013", self.mark(event), message, "check the indentation")
            raise _Stop
        if event.tag is not None:
            self.found.add("L009", self.mark(event), f"the tag {show(event.tag)} is not allowed", "remove the tag")
        node = self.content(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.parts - before)
        return node

    def content(self, event: yaml.Event, depth: int) -> YamlNode:
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(event, depth)
        return self.mapping(event, depth)

    def alias(self, event: yaml.AliasEvent) -> YamlNode:
        if str(event.anchor) not in self.anchors:
            message = f"there is no finished anchor {show(str(event.anchor))}"
            self.found.add("L005", self.mark(event), f"not YAML: {message}", "an alias follows its anchor")
            raise _Stop
        node, parts = self.anchors[str(event.anchor)]
        self.count(parts, event)
        return node

    def count(self, parts: int, event: yaml.Event) -> None:
        self.parts += parts
        if self.parts > PARTS_LIMIT:
            self.found.add(
                "L010",
                self.mark(event),
                f"the file has more than {PARTS_LIMIT} parts",
                "use fewer aliases, or smaller files",
            )
            raise _Stop

    def scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        start = event.start_mark.index if event.start_mark else 0
        end = event.end_mark.index if event.end_mark else start
        start = _PROPERTIES.match(self.source.text, start, end).end()  # type: ignore[union-attr]  # it matches nothing too
        style = "" if event.style in (None, "") else str(event.style)
        node = ScalarNode(self.source, str(event.value), style, start, end, self.source.mark(start))
        wrong = next((i for i, c in enumerate(node.text) if c == "\0" or "\ud800" <= c <= "\udfff"), None)
        if wrong is not None:
            message = f"the character U+{ord(node.text[wrong]):04X} is not allowed"
            self.found.add("L004", node.at(wrong), message, "remove the escape")
        return node

    def sequence(self, event: yaml.Event, depth: int) -> SequenceNode:
        items = []
        while not isinstance(self.next, yaml.SequenceEndEvent):
            items.append(self.node(depth + 1))
        self.take()
        return SequenceNode(tuple(items), self.mark(event))

    def mapping(self, event: yaml.Event, depth: int) -> MappingNode:
        entries: dict[str, tuple[ScalarNode, YamlNode]] = {}
        while not isinstance(self.next, yaml.MappingEndEvent):
            place = self.mark(self.next)
            key, value = self.node(depth + 1), self.node(depth + 1)
            if not isinstance(key, ScalarNode):
                self.found.add("L011", place, "a list or mapping cannot be a key", "write a single name")
            elif key.text in entries:
                first = entries[key.text][0].mark
                hint = f"it stands first in line {first.line}; remove one"
                self.found.add("L008", place, f"the key {show(key.text)} is given twice", hint)
            else:
                entries[key.text] = (key, value)
        self.take()
        return MappingNode(tuple(entries.values()), self.mark(event))


def _offsets(node: ScalarNode) -> list[int]:
    """For each character of the value, where it stands in the source.

    Every style keeps the characters that are not white space, in order; white space is folded,
    never added to. So the two are walked side by side and white space is skipped where they differ.
    """
    units = list(_units(node))
    offsets, place = [], 0
    for char in node.text:
        if char in _SPACE:
            offsets.append(units[place][1] if place < len(units) else node.end)
            if place < len(units) and units[place][0] in _SPACE:
                place += 1
            continue
        while place < len(units) and units[place][0] != char:
            place += 1
        offsets.append(units[place][1] if place < len(units) else node.end)
        place += 1
    return offsets


def _units(node: ScalarNode) -> Iterator[tuple[str, int]]:
    """The characters a scalar's source stands for, unfolded, each with its offset."""
    raw, start, end = node.source.text, node.start, node.end
    if node.style == '"':
        yield from _double_quoted(raw, start + 1, end - 1)
        return
    if node.style == "'":
        start, end = start + 1, end - 1
    elif node.style:  # a block begins below its header
        header = _BREAK.search(raw, start, end)
        start = header.end() if header else end
    while start < end:
        yield raw[start], start
        start += 2 if node.style == "'" and raw[start] == "'" else 1


def _double_quoted(raw: str, start: int, end: int) -> Iterator[tuple[str, int]]:
    while start < end:
        char, length = raw[start], 1
        if char == "\\":
            kind = raw[start + 1]
            length = 2 + _HEX_ESCAPE.get(kind, 0)
            char = _escaped(kind, raw[start + 2 : start + length])
        if char:
            yield char, start
        start += length


def _escaped(kind: str, digits: str) -> str:
    """What an escape stands for; nothing for an escaped line end."""
    if kind in _HEX_ESCAPE:
        return chr(int(digits, 16))
    if kind in _SPACE and kind not in " \t":
        return ""
    return str(yaml.SafeLoader.ESCAPE_REPLACEMENTS.get(kind, kind))
