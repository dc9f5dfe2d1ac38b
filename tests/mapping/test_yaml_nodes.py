"""Reading YAML: one clear finding for every way a file can be broken, and the place of every character of a scalar."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.mapping.findings import Findings
from replicator.mapping.yaml_nodes import MappingNode, ScalarNode, SequenceNode, YamlNode, parse_yaml, read_yaml

BYTES = [
    (b"", ["1:1 L006"]),
    (b"\n\n# comment\n", ["1:1 L006"]),
    (b"just text", ["1:1 L007"]),
    (b"- a\n", ["1:1 L007"]),
    (b"a: b\nc: \x00\n", ["2:4 L004"]),
    (b"a: \x07\n", ["1:4 L004"]),
    (b"a: b\nc: \xff\xfe\n", ["2:4 L003"]),
    (b"\xff\xfea\x00:\x00", ["1:1 L003"]),
    ("ä: ü\nb: ".encode() + b"\xe4\n", ["2:4 L003"]),
    (b'a: "x\\0y"\n', ["1:6 L004"]),
    (b'a: "\\ud800"\n', ["1:5 L004"]),
    (b"a: [b\n", ["2:1 L005"]),
    (b"a: b: c\n", ["1:5 L005"]),
    (b"a: 'b\n", ["2:1 L005"]),
    (b"a:\n\t- b\n", ["2:1 L005"]),
    (b'a: "\\U99999999"\n', ["1:1 L005"]),
    (b"a: @b\n", ["1:4 L005"]),
    (b"a: *b\n", ["1:4 L005"]),
    (b"a: &b [*b]\n", ["1:8 L005"]),
    (b"a: 1\nb: 2\na: 3\n", ["3:1 L008"]),
    (b"a: {x: 1, x: 2, 'x': 3}\n", ["1:11 L008", "1:17 L008"]),
    (b"a: !!str b\nc: !env HOME\n", ["1:4 L009", "2:4 L009"]),
    (b"{a: 1}: b\n", ["1:1 L011"]),
    (b"a: b\n---\nc: d\n", ["2:1 L012"]),
    (b"[" * 100_000, ["1:34 L013"]),
    (b"- " * 100_000 + b"a", ["1:67 L013"]),
    (b"x" * (2 * 1024 * 1024 + 1), ["1:1 L002"]),
    (b"a: " + b"&a [*a, *a]" + b"\n", ["1:8 L005"]),
    (b"\xef\xbb\xbfa: b\n", []),
    (b"a: b\r\nc: d\r\n", []),
]


def places(found: Findings) -> list[str]:
    return [f"{str(f.where).split(':', 1)[1]} {f.code}" for f in found.in_order()]


@pytest.mark.parametrize(("data", "expected"), BYTES, ids=lambda v: repr(v)[:30])
def test_broken_files(tmp_path: Path, data: bytes, expected: list[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    found = Findings()
    read_yaml(path, found)
    relative = [f"{f.where.line}:{f.where.column} {f.code}" for f in found.in_order()]  # type: ignore[union-attr]
    assert relative == expected


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b"])
def test_no_file(tmp_path: Path, name: str) -> None:
    found = Findings()
    assert read_yaml(tmp_path / name, found) is None
    assert [f.code for f in found.in_order()] == ["L001"]


def test_laughs_are_stopped_early() -> None:
    levels = "abcdefghijklmnop"
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"{c}: &{c} [{', '.join(['*' + p] * 10)}]\n" for p, c in pairwise(levels))
    found = Findings()
    assert parse_yaml(text, "x", found) is None
    assert places(found) == ["5:20 L010"]


def test_an_alias_stands_for_its_anchor() -> None:
    found = Findings()
    root = parse_yaml("a: &a {x: 1}\nb: *a\n", "x", found)
    assert root is not None
    assert root.get("a") is root.get("b")


def test_scalars_stay_as_written() -> None:
    root = parse_yaml("on: no\nx: 1.10\ny: 0x1f\nz: ~\nw: 'null'\nv:\n", "x", Findings())
    assert root is not None
    values = [v for _, v in root.entries if isinstance(v, ScalarNode)]
    assert [(v.text, v.is_null) for v in values] == [
        ("no", False), ("1.10", False), ("0x1f", False), ("~", True), ("null", False), ("", True),
    ]  # fmt: skip


# The text that stands at `@` in the value must be found at the `@` of the file.
SCALARS = [
    "k: some @ text\n",
    "k: 'it''s @ text'\n",
    "k: 'it''s\n   folded\n\n\n   over @ lines'\n",
    'k: "a\\tb\\x41\\u00e4\\U0001F600 \\" @"\n',
    'k: "a \\\n    b \\\n  @"\n',
    'k: "folded\n    over\n\n   lines @"\n',
    "k: plain\n  folded over\n\n  lines @ here\n",
    "k: |\n  one\n  two @\n",
    "k: |2\n    one\n   @\n",
    "k: >-\n   one\n   two\n\n     three\n   four @\n",
    "k: >  # comment @ not here\n  one\n\n\n  @ two\n".replace("@ not", "not"),
    "k: |+\n\n\n  @\n\n",
    "k: &anchor  |\n  one @\n",
    "k: &anchor 'one @'\n",
    "k: [a, {b: 'x @'}]\n",
    "k: |\r\n  one\r\n  two @\r\n",
    "k: 'ä\u2028 ö @'\n",
    "\ufeffk: |\n  😀 @\n",
]


@pytest.mark.parametrize("text", SCALARS)
def test_places_in_scalars(text: str) -> None:
    found = Findings()
    text = text.removeprefix("\ufeff")
    root = parse_yaml(text, "x", found)
    assert root is not None, found.in_order()
    scalar = next(s for s in scalars(root) if "@" in s.text)
    mark = scalar.at(scalar.text.index("@"))
    lines = text.replace("\r\n", "\n").replace("\u2028", "\n").split("\n")
    assert lines[mark.line - 1][mark.column - 1] == "@"


def scalars(node: YamlNode) -> list[ScalarNode]:
    if isinstance(node, ScalarNode):
        return [node]
    if isinstance(node, SequenceNode):
        return [s for item in node.items for s in scalars(item)]
    return [s for key, value in node.entries for part in (key, value) for s in scalars(part)]


YAML_WORDS = st.sampled_from(
    [*"a{}[]'\"|>:\n\t\r\0\\@`~😀\u2028", ": ", "\n  ", "- ", ", ", "|-", "&x ", "*x", "!!str ", "# c", "\\x", "---"],
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(YAML_WORDS, max_size=25).map("".join)))
def test_any_text_is_a_mapping_or_findings(text: str) -> None:
    found = Findings()
    root = parse_yaml(text, "x", found)
    assert root is not None or found.errors
    if isinstance(root, MappingNode):
        for scalar in scalars(root):
            marks = [scalar.at(i) for i in range(len(scalar.text) + 1)]
            assert [(m.line, m.column) for m in marks] == sorted((m.line, m.column) for m in marks)
            assert all(m.line <= text.count("\n") + text.count("\r") + text.count("\u2028") + 2 for m in marks)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30))
def test_quoted_text_is_found_where_it_stands(text: str) -> None:
    """Each visible character of a single-quoted scalar is at the place the source has it."""
    source = "k:   '" + text.replace("'", "''") + "'\n"
    found = Findings()
    root = parse_yaml(source, "x", found)
    if root is None or "\ufeff" in text or "\u2028" in text or "\u2029" in text or "\x85" in text:
        return
    value = root.get("k")
    assert isinstance(value, ScalarNode)
    for index, char in enumerate(value.text):
        if not char.isspace():
            assert source[value.at(index).column - 1] == char
