"""What holds for every command: help with an example, --json, errors in one message, exit codes; no server needed."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import typer
from replicator_cli import main as entry
from replicator_cli import status as status_command
from replicator_cli.output import masked

from .conftest import Site

ROOT = Path(__file__).parents[2]
GROUPS: dict[str, typer.core.TyperCommand] = typer.main.get_command(entry.command_line(())).commands  # type: ignore[attr-defined]
COMMANDS = [
    f"{name} {sub}".strip() for name, group in GROUPS.items() for sub in ("", *getattr(group, "commands", ()))
]  # `conflicts` and `conflicts list`
NEEDED = {
    "explain": ["customer", "1"],
    "backfill": ["--from", "crm"],
    "unmatch": ["customer", "1", "--on", "erp"],
    "conflicts show": ["crm:1"],
    "conflicts resolve": ["crm:1", "--take", "crm"],
    "conflicts replay": ["--rule", "name=latest"],
    "parked show": ["erp:1"],
    "pause": ["customer"],
    "resume": ["customer"],
    "parked retry": ["--all"],
    "parked discard": ["--all"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_json(offline: Site, command: str) -> None:
    result = offline(*command.split(), "--help")
    assert result.code == 0
    assert f"Example:\n    replicator {command}" in result.out
    assert "--json" in result.out


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"demo", "conflicts", "parked", "schema"}))
def test_missing_file(offline: Site, command: str) -> None:
    (offline.folder / "replicator.yaml").unlink()
    result = offline(*command.split(), *NEEDED.get(command, ()))
    assert result.code == 2
    assert result.err.splitlines()[0] == "there is no configuration replicator.yaml"
    assert not result.out


def test_file_named_before_after_and_in_the_environment(offline: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (offline.folder / "replicator.yaml").rename(offline.folder / "other.yaml")
    assert offline("lint", "--offline", "-c", "other.yaml").code == 0
    assert offline("--config", "other.yaml", "lint", "--offline").code == 0
    assert offline("lint", "--offline", "-c", "third.yaml").code == 2
    monkeypatch.setattr(offline, "environ", {"REPLICATOR_CONFIG": "other.yaml"})
    assert offline("lint", "--offline").code == 0


def test_errors_are_json_too(offline: Site) -> None:
    result = offline("status", "--json", "-c", "nowhere.yaml")
    assert result.code == 2
    assert result.document["error"] == "there is no configuration nowhere.yaml"
    assert result.document["hint"]
    assert offline("status", "--json", "--bogus").document["error"] == "No such option: --bogus"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["lint", "--bogus"], "No such option: --bogus"),
        (["lint", "--offline", "--online"], "exclude each other"),
        (["run", "--once", "--until-idle", "1"], "exclude each other"),
        (["run", "--report-every", "soon"], "'soon' is not a time"),
        (["demo", "--seconds", "none"], "--seconds"),
    ],
)
def test_wrong_usage(offline: Site, arguments: list[str], said: str) -> None:
    result = offline(*arguments)
    assert result.code == 2
    assert said in result.err.splitlines()[0]
    assert "--help" in result.err
    assert not result.out


def test_near_miss_of_a_command(offline: Site) -> None:
    assert "'status'" in offline("statsu").err


@pytest.mark.parametrize("group", [[], ["conflicts"]])
def test_no_command_shows_help(offline: Site, group: list[str]) -> None:
    result = offline(*group)
    assert result.code == 2
    assert "Example:" in result.out
    assert offline(*group, "--json").document["error"] == "no command was given"


def test_version(offline: Site) -> None:
    assert offline("--version").out.startswith("replicator ")


def test_schema_is_what_an_editor_is_given(offline: Site) -> None:
    shown = json.loads(offline("schema", "link").out)
    assert list(shown["patternProperties"]) == ["^(crm|erp)$"]
    assert offline("schema", "--json").document == shown
    assert "batch_rows" in offline("schema", "config").out
    assert "sync" in offline("schema", "test").out
    (offline.folder / "replicator.yaml").unlink()
    assert list(json.loads(offline("schema").out)["patternProperties"]) != ["^(crm|erp)$"]
    assert offline("schema", "--config", "nowhere.yaml").code == 2
    assert offline("schema", "nothing").code == 2


def test_unset_variables_are_findings(offline: Site) -> None:
    result = offline("check")
    assert result.code == 2
    assert "replicator.yaml:2:3: C002" in result.one_line("CRM_DSN, the DSN of crm, is not set")
    assert result.one_line("the configuration has 2 errors")
    assert [f["code"] for f in offline("check", "--json").document["findings"]] == ["C002", "C002"]


def test_a_bug_is_one_line(offline: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise KeyError("postgresql://u:secret@h/d")

    monkeypatch.setattr(status_command, "open_session", broken)
    result = offline("status")
    assert result.code == 3
    assert result.one_line("this is a bug: KeyError at test_usage.py")
    assert "secret" not in result.err
    assert entry.main(["--debug", "status"]) == 3
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot use postgresql://me:pa%24s@db:5432/crm now", "cannot use postgresql://me:***@db:5432/crm now"),
        ("host=db password=open user=me", "host=db password=*** user=me"),
        ("host=db password='two words' user=me", "host=db password=*** user=me"),
        ("postgresql://me@db/crm", "postgresql://me@db/crm"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(json.dumps({"x": text})) == json.dumps({"x": shown})


def test_one_module_prints() -> None:
    printing = []
    for path in [*(ROOT / "cli").rglob("*.py"), *(ROOT / "replicator").rglob("*.py")]:
        if path == ROOT / "cli" / "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            used = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if name in {"print", "Console", "typer.echo", "typer.secho"} or used in {"sys.stdout", "sys.stderr"}:
                printing.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert printing == []
