"""A shipped link file that is damaged anywhere is read, or every word about it has a place in it; never an exception."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from replicator.mapping.across import check_between
from replicator.mapping.findings import Findings
from replicator.mapping.load import TEST_SUFFIX, load_link
from replicator.model.finding import Mark
from tests.fuzz.examples import examples
from tests.mapping.test_fixtures import check_wording

FOLDER = Path(__file__).parents[2] / "mappings" / "crm_erp"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.endswith(TEST_SUFFIX))
TEXTS = [path.read_text() for path in FILES]
WORDS = sorted({word for text in TEXTS for word in re.findall(r"[\w.]+|[^\w\s]", text)})
PIECES = st.sampled_from(
    [
        *WORDS,
        "\n",
        "\n  ",
        "\n- ",
        "  ",
        "\t",
        "'",
        '"',
        "|\n",
        "*a",
        "&a ",
        "!!str ",
        "\0",
        "\u2028",
        "ä",
        "~",
        "999999999999999999999",
    ]
)
EDITS = st.tuples(
    st.sampled_from(["drop line", "double line", "move line", "indent", "word", "cut", "insert"]),
    st.integers(0, 1 << 30),
    st.integers(0, 1 << 30),
    PIECES,
)


@cache
def shipped() -> tuple:  # type: ignore[type-arg]
    links = [load_link(path, ("crm", "erp"))[0] for path in FILES]
    assert all(link is not None for link in links)
    return tuple(links)


def damaged(text: str, edits: list[tuple[str, int, int, str]]) -> str:
    for kind, where, other, piece in edits:
        lines = text.split("\n")
        line, there = where % len(lines), other % len(lines)
        if kind == "drop line":
            del lines[line]
        elif kind == "double line":
            lines.insert(there, lines[line])
        elif kind == "move line":
            lines.insert(there, lines.pop(line))
        elif kind == "indent":
            lines[line] = " " * (other % 5) + lines[line].lstrip()
        if "line" in kind or kind == "indent":
            text = "\n".join(lines)
            continue
        at = where % (len(text) + 1)
        if kind == "word":
            words = list(re.finditer(r"[\w.]+", text))
            if words:
                found = words[where % len(words)]
                text = text[: found.start()] + piece + text[found.end() :]
        elif kind == "cut":
            text = text[:at] + text[at + other % 20 :]
        else:
            text = text[:at] + piece + text[at:]
    return text


@examples(300)
@given(st.integers(0, len(FILES) - 1), st.lists(EDITS, min_size=1, max_size=4))
def test_a_damaged_link_gives_findings(number: int, edits: list[tuple[str, int, int, str]]) -> None:
    text = damaged(TEXTS[number], edits)
    link, findings = load_link(FILES[number], ("crm", "erp"), text=text)
    assert (link is None) == any(f.severity == "error" for f in findings)
    if link is not None:
        found = Findings()
        check_between([one for one in shipped() if one.name != link.name] + [link], set(), found)
        findings = [*findings, *found.in_order()]
    check_wording(findings)
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)
    for finding in findings:
        assert isinstance(finding.where, Mark)
        if finding.where.path == str(FILES[number]):
            assert 1 <= finding.where.line <= len(lines) + 1, finding
            assert finding.where.column >= 1
