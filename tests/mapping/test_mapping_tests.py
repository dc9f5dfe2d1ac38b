"""The tests beside the shipped links hold, and so do those that the documentation shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.mapping.cases import find_suites, load_suite
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


def test_documented(bench: Bench) -> None:
    test, shared = (next(block for block in blocks("mappings/README.md") if block.startswith(word)) for word in TESTS)
    suite, _ = load_suite(FOLDER / "example_test.yaml", text=test, defaults=shared)
    assert run(bench, suite) == []
