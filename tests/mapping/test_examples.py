"""The YAML in the documentation is what it shows: links, fields and tests without a finding."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replicator.mapping import schema_words
from replicator.mapping.cases import load_suite
from replicator.mapping.config import load_config
from replicator.mapping.load import load_link

ROOT = Path(__file__).parents[2]
TESTS = ("test:", "schema:")  # a test of a link, and what a folder's tests share
CONFIG = "nodes:"
OUTLINE = "link: example\ncrm: {table: crm.account, key: id}\nerp: {table: erp.customer, key: customer_no}\nfields:\n"


def blocks(name: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def links() -> list[str]:
    """Whole links as they are; of a list of fields each in a link of its own, for they show variants of one column."""
    found = []
    for block in blocks("README.md") + blocks("mappings/README.md"):
        if block.startswith((*TESTS, CONFIG)):
            continue
        fields = re.split(r"^(?=  - )", block, flags=re.MULTILINE)[1:]
        whole = re.split(r"^(?=link:)", block, flags=re.MULTILINE)[1:]  # a block may show several files
        found += whole or [OUTLINE + field for field in fields]
    return found


@pytest.mark.parametrize("text", links(), ids=lambda text: text.splitlines()[-1].strip(" -")[:40])
def test_an_example_has_no_finding(text: str) -> None:
    link, findings = load_link("example.yaml", text=text)
    assert [str(finding) for finding in findings] == []
    assert link is not None


def test_nodes_of_a_class_and_their_links_have_no_finding(tmp_path: Path) -> None:
    found = blocks("mappings/README.md")
    nodes = next(block for block in found if block.startswith(CONFIG))
    routed = next(block for block in found if "route:" in block)
    customer = "link: customer\ncrm: {table: a.b, key: id}\nerp: {table: a.c, key: no}\nfields: [{crm: a, erp: b}]\n"
    (tmp_path / "links").mkdir()
    for text in (customer, *re.split(r"^(?=link:)", routed, flags=re.MULTILINE)[1:]):
        (tmp_path / "links" / f"{text.split()[1]}.yaml").write_text(text)
    (tmp_path / "replicator.yaml").write_text(f"{nodes}mappings: links\n")
    config, findings = load_config(tmp_path / "replicator.yaml", {})
    assert [str(finding) for finding in findings] == []
    assert config is not None
    names = [f"{link}@{node}" for link in ("customer", "order", "order_line") for node in ("erp_north", "erp_south")]
    assert [link.name for link in config.links] == names


def test_examples_are_found() -> None:
    assert len(links()) >= 14
    rules = {field.rule.kind for text in links() if (link := load_link("x", text=text)[0]) for field in link.fields}
    assert rules == {"latest", "owner", "delta", "merge", "queue"}


def test_every_key_is_in_the_reference() -> None:
    reference = (ROOT / "mappings" / "README.md").read_text()
    said = set(re.findall(r"`(\w+)", reference)) | {
        key for text in blocks("mappings/README.md") for key in re.findall(r"(\w+):", text)
    }
    words = (
        schema_words.LINK,
        schema_words.SIDE,
        schema_words.FIELD,
        schema_words.VALUES,
        schema_words.LOOKUP,
        schema_words.RULES,
    )
    tests = (schema_words.TEST, schema_words.CASE, schema_words.EXPECT, schema_words.CONFLICT, schema_words.PARKED)
    assert {key for table in (*words, *tests) for key in table} - said == set()


def test_tests_have_no_finding() -> None:
    test, shared = (next(b for b in blocks("mappings/README.md") if b.startswith(word)) for word in TESTS)
    suite, findings = load_suite(ROOT / "mappings" / "crm_erp" / "example_test.yaml", text=test, defaults=shared)
    assert [str(finding) for finding in findings] == []
    assert suite is not None
    assert suite.given
    assert len(suite.cases) == 2
