"""The YAML in the documentation is what it shows: links, fields and tests without a finding."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replicator.mapping.cases import load_suite
from replicator.mapping.load import load_link

ROOT = Path(__file__).parents[2]
TESTS = ("test:", "schema:")  # a test of a link, and what a folder's tests share
OUTLINE = "link: example\ncrm: {table: crm.account, key: id}\nerp: {table: erp.customer, key: customer_no}\nfields:\n"


def blocks(name: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def links() -> list[str]:
    """Whole links as they are; of a list of fields each in a link of its own, for they show variants of one column."""
    found = []
    for block in blocks("README.md") + blocks("mappings/README.md"):
        if block.startswith(TESTS):
            continue
        fields = [line for line in block.splitlines() if line.startswith("  - ")]
        found += [block] if block.startswith("link:") else [OUTLINE + line + "\n" for line in fields]
    return found


@pytest.mark.parametrize("text", links(), ids=lambda text: text.splitlines()[-1].strip(" -")[:40])
def test_an_example_has_no_finding(text: str) -> None:
    link, findings = load_link("example.yaml", text=text)
    assert [str(finding) for finding in findings] == []
    assert link is not None


def test_examples_are_found() -> None:
    assert len(links()) >= 14
    rules = {field.rule.kind for text in links() if (link := load_link("x", text=text)[0]) for field in link.fields}
    assert rules == {"latest", "owner", "delta", "merge", "queue"}


def test_tests_have_no_finding() -> None:
    test, shared = (next(b for b in blocks("mappings/README.md") if b.startswith(word)) for word in TESTS)
    suite, findings = load_suite(ROOT / "mappings" / "crm_erp" / "example_test.yaml", text=test, defaults=shared)
    assert [str(finding) for finding in findings] == []
    assert suite is not None
    assert suite.given
    assert len(suite.cases) == 2
