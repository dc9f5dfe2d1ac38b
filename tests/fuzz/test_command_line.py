"""Any list of arguments ends with a message and exit code 0, 1 or 2; never with a traceback, never by talking of a bug."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from replicator_cli import main as entry

from tests.fuzz.examples import examples

LINK = """
link: customer
crm: {table: account, key: id}
erp: {table: customer, key: no}
fields:
  - {crm: name, erp: company}
"""
CONFIG = 'nodes:\n  crm: {engine: postgres, dsn: "${CRM_DSN}"}\n  erp: {engine: postgres, dsn: "${ERP_DSN}"}\nmappings: links\n'
STARTING = {"demo", "test"}  # they start servers of their own: only what comes before that is asked for
TREE = typer.main.get_command(entry.command_line(())).commands  # type: ignore[attr-defined]
COMMANDS = [[name, *sub] for name, group in TREE.items() for sub in ([], *([s] for s in getattr(group, "commands", ())))]


def options() -> list[str]:
    found = {"--help", "--json", "--debug", "--version", "--no-such-option", "-x"}
    for group in TREE.values():
        for command in (group, *getattr(group, "commands", {}).values()):
            for param in command.params:
                found |= {name for name in (*param.opts, *param.secondary_opts) if name.startswith("-")}
    return sorted(found - {"--watch"})  # it has no end


VALUES = [
    "", "-", "--", "customer", "no_such_link", "crm", "erp", "crm:1", "erp:1", "erp:99999999999999999999", "1", "-1", "0", "1e9", "1h",
    "5m", "10s", "nan", "inf", "../..", "/", "links", "links/customer.yaml", "replicator.yaml", "no.yaml", "127.0.0.1:0", "name=latest",
    "=", "a=b=c", "ä", "\u202e", "'; drop table x", "%s", "{}", "\n", "link", "config", "x" * 5000,
]  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(options()), st.sampled_from(VALUES), st.text(st.characters(exclude_characters="\0"), max_size=12)
)
LISTS = st.tuples(st.sampled_from([[], *COMMANDS]), st.lists(WORDS, max_size=7)).map(lambda parts: [*parts[0], *parts[1]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    (folder / "links").mkdir()
    (folder / "links" / "customer.yaml").write_text(LINK)
    (folder / "replicator.yaml").write_text(CONFIG)
    return folder


@examples(300)
@given(LISTS)
def test_any_arguments_end_with_a_message(folder: Path, arguments: list[str]) -> None:
    if STARTING.intersection(arguments):
        arguments = [*arguments, "--no-such-option"]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in ("CRM_DSN", "ERP_DSN", "REPLICATOR_CONFIG"):
            patch.delenv(name, raising=False)
        patch.chdir(folder)
        code = entry.main(arguments)
    said = out.getvalue() + err.getvalue()
    assert code in (0, 1, 2), said
    assert "Traceback" not in said
    assert "this is a bug" not in said, said
    assert said, "not a word"
    assert sorted(os.listdir(folder)) == ["links", "replicator.yaml"], "a command that could do nothing has written something"
