"""Two servers with passwords, a small CRM and a small ERP on them, and the command line as a function.

Commands run in this process: `site("lint", "--json")` gives exit code, standard output and standard error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo
from replicator_cli.main import main

from replicator.demo.servers import Server
from replicator.mapping.config import load_config
from replicator.runtime.setup import teardown
from tests.conftest import FAST

PASSWORD = "hush7hush"

CRM = """
create schema crm;
create table crm.account (id uuid primary key default gen_random_uuid(), name text not null, city text, note text,
                          stage text not null default 'won', erp_no text);
create table crm.contact (id serial primary key, account_id uuid not null references crm.account, name text);
"""
ERP = """
create schema erp;
create table erp.customer (no int generated always as identity primary key, company text not null, town text, note text);
create table erp.person (pid bigserial primary key, customer_no int not null references erp.customer, nm varchar(20));
"""
CUSTOMER = """\
link: customer
crm: {table: crm.account, key: id}
erp: {table: erp.customer, key: no}
create: {erp: "crm.stage = 'won'"}
fields:
  - {crm: name, erp: company}
  - {crm: city, erp: town}
  - {crm: note, erp: note}
  - {crm: erp_no, erp: no, to: crm}
"""
CONTACT = """\
link: contact
crm: {table: crm.contact, key: id}
erp: {table: erp.person, key: pid}
flow: crm -> erp
fields:
  - {crm: account_id, erp: customer_no, link: customer}
  - {crm: name, erp: nm}
"""
CONFIG = """\
nodes:
  crm: {engine: postgres, dsn: "${CRM_DSN}"}
  erp: {engine: postgres, dsn: "${ERP_DSN}"}
mappings: links
"""


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON object of standard output."""
        assert len(self.out.splitlines()) == 1, self.out
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    def lines(self, *words: str) -> list[str]:
        """Lines of either stream that hold all of the words."""
        return [line for line in (self.out + self.err).splitlines() if all(word in line for word in words)]

    def one_line(self, *words: str) -> str:
        found = self.lines(*words)
        assert len(found) == 1, f"{words} in {len(found)} lines of:\n{self.out}{self.err}"
        return found[0]


@dataclass
class Site:
    """A configuration in a folder of its own, and what it needs in the environment."""

    folder: Path
    environ: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    connections: dict[str, psycopg.Connection] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> Result:
        for name in ("CRM_DSN", "ERP_DSN", "REPLICATOR_CONFIG"):
            self.monkeypatch.delenv(name, raising=False)
        for name, value in self.environ.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.chdir(self.folder)
        self.capsys.readouterr()
        code = main(list(arguments))
        captured = self.capsys.readouterr()
        assert PASSWORD not in captured.out + captured.err
        assert "Traceback" not in captured.out + captured.err
        return Result(code, captured.out, captured.err)

    def link(self, name: str, text: str) -> None:
        (self.folder / "links" / f"{name}.yaml").write_text(text)

    def db(self, node: str) -> psycopg.Connection:
        """The administrator's connection, autocommitting."""
        if node not in self.connections:
            self.connections[node] = psycopg.connect(self.environ[f"{node.upper()}_DSN"], autocommit=True)
        return self.connections[node]

    def rows(self, node: str, question: str) -> list[tuple[Any, ...]]:
        return self.db(node).execute(question).fetchall()

    def instead(self, node: str, **parts: str) -> None:
        """The node's DSN with other parts: `user`, `password`, `port`, `dbname`."""
        name = f"{node.upper()}_DSN"
        self.environ[name] = conninfo.make_conninfo(self.environ[name], **parts)


@pytest.fixture(scope="package")
def pair() -> Iterator[dict[str, str]]:
    """The DSN of a database on each of the two servers."""
    servers = {node: Server(settings=FAST, auth="scram-sha-256", password=PASSWORD) for node in ("crm", "erp")}
    try:
        for server in servers.values():
            server.start()
        yield {f"{node.upper()}_DSN": server.create_database(node) for node, server in servers.items()}
    finally:
        for server in servers.values():
            server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with two links, right in every way."""
    (tmp_path / "links").mkdir()
    (tmp_path / "replicator.yaml").write_text(CONFIG)
    (tmp_path / "links" / "customer.yaml").write_text(CUSTOMER)
    (tmp_path / "links" / "contact.yaml").write_text(CONTACT)
    return tmp_path


@pytest.fixture
def offline(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Site:
    """No servers, no DSNs."""
    return Site(folder, {}, monkeypatch, capsys)


@pytest.fixture
def site(
    pair: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    """Fresh tables in both databases. Whatever a test leaves behind is taken back."""
    site = Site(folder, dict(pair), monkeypatch, capsys)
    for node, ddl in (("crm", CRM), ("erp", ERP)):
        site.db(node).execute(ddl)
    yield site
    config, _ = load_config(folder / "replicator.yaml", pair)
    assert config is not None
    teardown(config, pair, False, lambda _: None)
    for node, connection in site.connections.items():
        connection.execute(f"DROP SCHEMA {node} CASCADE")
        connection.close()


@pytest.fixture
def ready(site: Site) -> Site:
    """After `init`."""
    assert site("init").code == 0
    return site
