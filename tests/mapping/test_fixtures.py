"""Every finding code is triggered by a fixture, at the line and column the fixture's comments expect.

`# expect 5:3 L101` says that a finding of this code stands at line 5, column 3 of that file; all of them, no other.
`# table node schema.name: column type ...; ...` describes a table for the structure fixtures.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replicator.mapping.cases import load_suite
from replicator.mapping.codes import CODES
from replicator.mapping.config import load_config
from replicator.mapping.load import load_link, load_links
from replicator.mapping.structure import check_structure
from replicator.model.finding import Finding, Mark
from replicator.model.table import Column, Table, TableName

FIXTURES = Path(__file__).parent / "fixtures"
LINKS = sorted((FIXTURES / "links").glob("*.yaml"))
FOLDERS = sorted((FIXTURES / "folders").iterdir())
CONFIGS = sorted((FIXTURES / "configs").glob("*/replicator.yaml"))
TESTS = sorted((FIXTURES / "tests").glob("*_test.yaml"))
STRUCTURES = sorted((FIXTURES / "structure").glob("*.yaml"))

# Files that git or an editor would not keep as they are: see test_yaml_nodes and test_config.
INLINE = {"L001", "L002", "L003", "L004", "L408", "C002"}
INLINE |= {"T101", "T102", "T103", "T104", "T105", "T106"}  # a server finds them: see tests/cli/test_test.py


def expected(path: Path) -> list[str]:
    return re.findall(r"^# expect (\d+:\d+ [LCT]\d{3})$", path.read_text(), re.MULTILINE)


def shown(findings: list[Finding], path: Path) -> list[str]:
    marks = [(f.where, f.code) for f in findings if isinstance(f.where, Mark)]
    assert len(marks) == len(findings)
    return [f"{mark.line}:{mark.column} {code}" for mark, code in marks if Path(mark.path).resolve() == path.resolve()]


def check_wording(findings: list[Finding]) -> None:
    for finding in findings:
        assert finding.severity == CODES[finding.code].severity
        assert finding.message
        assert finding.hint, finding
        assert "\n" not in str(finding)
        assert len(finding.message) < 300


@pytest.mark.parametrize("path", LINKS, ids=lambda p: p.stem)
def test_link(path: Path) -> None:
    link, findings = load_link(path)
    assert shown(findings, path) == expected(path)
    assert (link is None) == any(f.severity == "error" for f in findings)
    check_wording(findings)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.name)
def test_folder(folder: Path) -> None:
    _, findings = load_links(folder, ("crm", "erp", "shop"))
    for path in folder.iterdir():
        assert shown(findings, path) == expected(path)
    check_wording(findings)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.parent.name)
def test_config(path: Path) -> None:
    config, findings = load_config(path, {})
    for file in path.parent.rglob("*.yaml"):
        assert shown(findings, file) == expected(file)
    broken = any(f.severity == "error" and Path(str(f.where).split(":")[0]) == path for f in findings)
    assert (config is None) == broken
    assert "hunter2" not in "".join(map(str, findings))
    check_wording(findings)


@pytest.mark.parametrize("path", TESTS, ids=lambda p: p.stem)
def test_test(path: Path) -> None:
    suite, findings = load_suite(path)
    assert shown(findings, path) == expected(path)
    assert (suite is None) == bool(findings)
    check_wording(findings)


@pytest.mark.parametrize("path", STRUCTURES, ids=lambda p: p.stem)
def test_structure(path: Path) -> None:
    link, findings = load_link(path)
    assert link is not None, findings
    found = check_structure([link], tables(path))
    assert shown(found, path) == expected(path)
    check_wording(found)


def test_every_code_has_a_fixture() -> None:
    named = {code for path in FIXTURES.rglob("*.y*ml") for code in re.findall(r"# expect \S+ (\S+)", path.read_text())}
    assert named | INLINE == set(CODES)
    assert not named & INLINE


def test_codes_say_enough() -> None:
    for code, entry in CODES.items():
        assert re.fullmatch(r"[LCT]\d{3}", code)
        assert len(entry.summary) <= 60
        assert len(entry.explanation) > 40
        assert entry.explanation.endswith((".", "`."))
    assert len({entry.summary for entry in CODES.values()}) == len(CODES)


def tables(path: Path) -> dict[tuple[str, TableName], Table | None]:
    read: dict[tuple[str, TableName], Table | None] = {}
    for node, schema, name, text in re.findall(r"^# table (\w+) (\w+)\.(\w+): (.*)$", path.read_text(), re.MULTILINE):
        table_name = TableName(schema, name)
        parts = [part.strip() for part in text.split(";")]
        read[node, table_name] = None if parts == ["missing"] else table(table_name, parts)
    return read


def table(name: TableName, parts: list[str]) -> Table:
    columns = [column(part) for part in parts if part != "triggers"]
    keys = tuple(part.split()[0] for part in parts if " key" in part)
    unique = tuple((part.split()[0],) for part in parts if part.endswith(" unique"))
    return Table(name, tuple(columns), keys, unique, "default", "triggers" in parts)


def column(part: str) -> Column:
    name, rest = part.split(" ", 1)
    kind = re.sub(r" (key|not null|default|generated|unique)\b", "", rest)
    return Column(
        name=name, type=kind, base_type=re.sub(r"\(.*\)", "", kind), portable=kind,
        category="E" if "mood" in kind else "S", not_null="not null" in rest or " key" in rest,
        default="x" if " default" in rest else None, formula="x" if " generated" in rest else None,
    )  # fmt: skip
