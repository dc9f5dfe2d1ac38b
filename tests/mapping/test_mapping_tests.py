"""The tests beside the shipped links hold, and so do those that the documentation shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.mapping.cases import find_suites, load_suite
from replicator.mapping.load import load_links
from replicator.model.case import Suite
from replicator.runtime.suite_run import Bench, SuiteRun

from .test_examples import TESTS, blocks

FOLDER = Path(__file__).parents[2] / "mappings" / "crm_erp"
SUITES = find_suites(FOLDER)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


def run(bench: Bench, suite: Suite | None) -> list[str]:
    """What fails."""
    assert suite is not None
    with SuiteRun(bench, suite) as running:
        results = [running.run(case) for case in suite.cases]
    return [f"{failure.mark}: {failure.message} {failure.lines}" for result in results for failure in result.failures]


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_shipped(bench: Bench, path: Path) -> None:
    suite, findings = load_suite(path)
    assert findings == []
    assert run(bench, suite) == []


def test_every_shipped_link_has_tests() -> None:
    links = {path.stem for path in FOLDER.glob("*.yaml") if not path.stem.endswith("_test")}
    assert links - {path.stem.removesuffix("_test") for path in SUITES} == set()


def test_every_shipped_link_is_in_the_table_of_the_documentation() -> None:
    """With its way and what it refers to."""
    links, _ = load_links(FOLDER)
    shipped = {}
    for link in links:
        refers = {name for field in link.fields if field.reference for name in field.reference.links} - {link.name}
        way = "both" if len(link.flows) == 2 else "to the ERP" if ("crm", "erp") in link.flows else "to the CRM"
        shipped[link.name] = (way, sorted(refers))
    told = {}
    rows = re.findall(
        r"^\| (`.*) \| .* \| (both|to the ...).* \| (.*?) ?\|$", (FOLDER.parent / "README.md").read_text(), re.MULTILINE
    )
    for names, way, refers in rows:
        told |= {name: (way, [word for word in refers.split(", ") if word]) for name in re.findall(r"`(\w+)`", names)}
    assert told == shipped


def test_documented(bench: Bench) -> None:
    test, shared = (next(block for block in blocks("mappings/README.md") if block.startswith(word)) for word in TESTS)
    suite, _ = load_suite(FOLDER / "example_test.yaml", text=test, defaults=shared)
    assert run(bench, suite) == []
