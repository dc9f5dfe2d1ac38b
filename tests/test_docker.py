"""docker/: none of it can be run here, so what it names is compared with what there is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from replicator_cli.main import main

from replicator.demo.servers import Server
from replicator.mapping.config import load_config
from replicator.model.failure import NOT_BY_ONE
from replicator.runtime.daemon import Daemon
from replicator.runtime.metrics import Figures
from tests.databases import empty

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DSNS = {"CRM_DSN": "postgresql://crm", "ERP_DSN": "postgresql://erp"}


def lines(name: str) -> list[str]:
    """With continuations joined, without comments."""
    text = (DOCKER / name).read_text().replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """Name -> labels, of all that runtime/metrics.py can ever say."""
    config, _ = load_config(ROOT / "replicator.yaml", DSNS)
    assert config is not None
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix: {*family._labelnames, *(["le"] if suffix == "_bucket" else [])}  # type: ignore[attr-defined]
        for family in Figures(config, Daemon(config, {}), []).collect()
        for suffix in suffixes.get(family.type, ("",))
    }


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((DOCKER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads((DOCKER / "grafana.json").read_text())["panels"]
    assert isinstance(found, list)
    return found


def questions() -> Iterator[tuple[str, set[str]]]:
    """Every expression, and the labels that the text beside it shows."""
    for rule in rules():
        yield rule["expr"], set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))


def test_every_metric_and_label_exists(metrics: dict[str, set[str]]) -> None:
    for expression, shown in questions():
        if expression.startswith("up{"):
            continue
        named = re.findall(r"\b(replicator_\w+)(?:\{([^}]*)\})?", expression)
        assert named, expression
        for name, selectors in named:
            assert name in metrics, f"{name} in {expression}"
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)) <= metrics[name], expression
        shows = [name for name, _ in named if f"unless on (instance) {name}" not in expression]
        kept = set.intersection(*(metrics[name] for name in shows))
        grouped = re.search(r"\bby \(([^)]*)\)", expression)
        if grouped:
            assert set(re.findall(r"\w+", grouped[1])) <= kept, expression
            kept = set(re.findall(r"\w+", grouped[1]))
        assert shown <= kept, expression


def test_alerts_cover_what_can_go_wrong(metrics: dict[str, set[str]]) -> None:
    everything = " ".join(rule["expr"] for rule in rules())
    for name in ("lag_bytes", "parked", "flow_halted", "slot_state", "slot_safe_bytes", "clock_distance_seconds",
                 "reconcile_age_seconds", "flow_connected", "node_up"):  # fmt: skip
        assert f"replicator_{name}" in everything
        assert f"replicator_{name}" in metrics
    assert 'up{job="replicator"}' in everything
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for reasons in re.findall(r'reason[=!]~"([^"]*)"', everything):
        assert set(reasons.split("|")) == set(NOT_BY_ONE)


def test_panels_are_told_apart() -> None:
    assert len({panel["id"] for panel in panels()}) == len({str(panel["gridPos"]) for panel in panels()}) == len(panels())


def commands() -> Iterator[list[str]]:
    """What is started, as arguments of `replicator`."""
    (command,) = (line.removeprefix("CMD ") for line in lines("Dockerfile") if line.startswith("CMD "))
    assert 'ENTRYPOINT ["replicator"]' in lines("Dockerfile")
    yield json.loads(command)
    (start,) = (line.removeprefix("ExecStart=") for line in lines("replicator.service") if line.startswith("ExecStart="))
    program, *arguments = shlex.split(start)
    assert Path(program).name == "replicator"
    yield arguments
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name in ("init", "replicator"):
        yield services[name]["command"]


def test_commands_and_options_exist(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in commands():
        assert main([*arguments, "--help"]) == 0, arguments  # whatever is unknown is told before
    assert main(["run", "--no-such-option", "--help"]) == 2


def test_the_image() -> None:
    said = lines("Dockerfile")
    copied = [path for line in said if line.startswith("COPY") and "--from" not in line for path in line.split()[1:-1]]
    assert {"pyproject.toml", "replicator", "cli", "sql", "mappings"} <= set(copied)
    assert all((ROOT / path).exists() for path in copied)
    assert [line for line in said if line.startswith("USER ")] == ["USER 10001"]
    (check,) = (line for line in said if line.startswith("HEALTHCHECK"))
    source = (ROOT / "replicator" / "runtime" / "web.py").read_text()
    assert "9187/healthz" in check
    assert '"/healthz"' in source
    (script,) = re.findall(r"CMD (\[.*\])$", check)
    compile(json.loads(script)[2], "HEALTHCHECK", "exec")
    assert "REPLICATOR_LOG_FORMAT=json" in " ".join(said)
    assert 'envvar="REPLICATOR_LOG_FORMAT"' in (ROOT / "cli" / "run.py").read_text()


def test_the_composition() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services = compose["services"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            place = volume.split(":")[0]
            assert place in compose["volumes"] or (DOCKER / place).exists(), volume
        for config in service.get("configs", ()):
            yaml.safe_load(compose["configs"][config["source"]]["content"])
        for name, value in service["environment"].items() if "environment" in service else ():
            if "PASSWORD" in name or "DSN" in name:
                assert re.search(r"\$\{[A-Z]+_PASSWORD:\?[^}]+\}", value), f"{name} has to come from outside"
    assert set(services["replicator"]["environment"]) == set(DSNS)
    scraped = yaml.safe_load((DOCKER / "prometheus.yaml").read_text())
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == ["replicator:9187"]
    assert all((DOCKER / name).exists() for name in scraped["rule_files"])


def test_its_configuration_runs(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What the services `init` and `replicator` do, on the tables that the services `crm` and `erp` begin with."""
    import psycopg

    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    monkeypatch.chdir(ROOT)
    for node in ("crm", "erp"):
        (script,) = (v.split(":")[0] for v in services[node]["volumes"] if v.split(":")[0].endswith(".sql"))
        dsn = empty(server, f"compose_{node}")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute((DOCKER / script).read_text().encode())
        monkeypatch.setenv(f"{node.upper()}_DSN", dsn)
    try:
        assert main(services["init"]["command"]) == 0, capsys.readouterr()
        assert main(["run", "--once", "--log-format", "json"]) == 0, capsys.readouterr()
    finally:
        main(["teardown", "--yes"])
