"""`replicator.yaml`: what it becomes, and that no secret leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from replicator.mapping.config import BOUNDS, load_config, missing_environment
from replicator.model.config import Settings

FIXTURES = Path(__file__).parent / "fixtures" / "configs"
SECRET = "postgresql://crm:correct-horse@db.internal/crm"


def test_a_configuration() -> None:
    config, findings = load_config(FIXTURES / "good" / "replicator.yaml", {})
    assert findings == []
    assert config is not None
    assert [(n.name, n.engine, n.dsn_env, n.number) for n in config.nodes] == [
        ("crm", "postgres", "CRM_DSN", 1),
        ("erp", "postgres", "ERP_DSN", 2),
    ]
    assert config.settings == Settings(batch_rows=10_000, lock_timeout_ms=500)
    assert [link.name for link in config.links] == ["customer", "sales_rep"]
    assert Path(config.mappings).resolve() == (FIXTURES.parent / "folders" / "good").resolve()


def test_defaults_are_within_bounds() -> None:
    for name, bounds in BOUNDS.items():
        assert bounds.least <= getattr(Settings(), name) <= bounds.most


def test_missing_environment() -> None:
    config, _ = load_config(FIXTURES / "good" / "replicator.yaml", {})
    assert config is not None
    findings = missing_environment(config, {"CRM_DSN": SECRET, "ERP_DSN": " "})
    assert [(f.code, f.message) for f in findings] == [("C002", "ERP_DSN, the DSN of erp, is not set")]
    assert missing_environment(config, {"CRM_DSN": SECRET, "ERP_DSN": SECRET}) == []


PASTED = [
    f"nodes:\n  crm: {{engine: postgres, dsn: '{SECRET}'}}\n",
    f"nodes:\n  crm: {{engine: '{SECRET}', dsn: '${{CRM_DSN}}'}}\n",
    f"nodes:\n  crm: {{engine: postgres, dsn: '${{CRM_DSN}}', '{SECRET}': x}}\n",
    f"nodes:\n  crm: {{engine: postgres, dsn: '${{CRM_DSN}}'}}\n  '{SECRET}': x\n",
    f"nodes:\n  crm: {{engine: postgres, dsn: '${{CRM_DSN}}'}}\nmappings: '{SECRET}'\n",
    f"nodes:\n  crm: {{engine: postgres, dsn: '${{CRM_DSN}}'}}\n  'a key with text before {SECRET}': x\n",
    "nodes:\n  crm: {engine: postgres, dsn: '${CRM_DSN}'}\nmappings: .\n",
]


@pytest.mark.parametrize("text", PASTED)
def test_no_finding_holds_a_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "replicator.yaml").write_text(text)
    (tmp_path / "link.yaml").write_text(f"link: '{SECRET}'\n'{SECRET}': 1\nfields: [{{crm: '{SECRET}'}}]\n")
    _, findings = load_config(tmp_path / "replicator.yaml", {"CRM_DSN": SECRET})
    assert findings
    assert "correct-horse" not in "\n".join(map(str, findings))


def test_a_missing_file(tmp_path: Path) -> None:
    config, findings = load_config(tmp_path / "replicator.yaml", {})
    assert config is None
    assert [f.code for f in findings] == ["L001"]


def test_links_with_errors_are_left_out_and_the_others_stay(tmp_path: Path) -> None:
    nodes = 'nodes:\n  crm: {engine: postgres, dsn: "${A}"}\n  erp: {engine: postgres, dsn: "${B}"}\n'
    (tmp_path / "replicator.yaml").write_text(nodes + "mappings: links\n")
    (tmp_path / "links").mkdir()
    link = "link: NAME\ncrm: {table: a, key: id}\nerp: {table: b, key: id}\nfields: [{crm: x, erp: y}]\n"
    (tmp_path / "links" / "a.yaml").write_text(link.replace("NAME", "a"))
    (tmp_path / "links" / "b.yaml").write_text(link.replace("NAME", "b").replace("erp: y", "epr: y"))
    config, findings = load_config(tmp_path / "replicator.yaml", {})
    assert config is not None
    assert [one.name for one in config.links] == ["a"]
    assert {f.code for f in findings} == {"L101", "L203"}
