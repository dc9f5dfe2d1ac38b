"""`sslmode=verify-full` against a server with TLS: the whole way, replication connections too; a wrong authority is refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from replicator.demo.places import give
from replicator.demo.servers import Installation, Server
from replicator.engines.postgres.connect import connect
from replicator.errors import NodeUnavailable
from tests.conftest import FAST
from tests.two_way.pair_of_nodes import linked
from tests.two_way.test_kill import CRM, ERP, LINKS


def openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def authority(folder: Path, name: str) -> Path:
    subject = ("-subj", f"/CN={name}", "-days", "2", "-nodes", "-newkey", "rsa:2048")
    openssl(folder, "req", "-x509", *subject, "-keyout", f"{name}.key", "-out", f"{name}.crt")
    return folder / f"{name}.crt"


@pytest.fixture
def secure(installation: Installation, tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server that takes TLS alone, for localhost, and the certificate of its authority."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    server = Server(installation, {**FAST, "listen_addresses": "localhost"})
    with server:
        with psycopg.connect(server.dsn()) as connection:
            row = connection.execute("SELECT setting FROM pg_settings WHERE name = 'ssl_library'").fetchone()
        if row is None or not row[0]:
            pytest.skip(f"PostgreSQL {installation.version} ({installation.origin}) is built without TLS")
        root = authority(tmp_path, "root")
        openssl(
            tmp_path,
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "rsa:2048",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        )
        signed = (
            "-in",
            "server.csr",
            "-CA",
            "root.crt",
            "-CAkey",
            "root.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-out",
            "server.crt",
        )
        openssl(tmp_path, "x509", "-req", *signed)
        for name in ("server.key", "server.crt"):
            shutil.copy(tmp_path / name, server.data / name)
            (server.data / name).chmod(0o600)
            give(server._account, server.data / name)
        with (server.data / "postgresql.conf").open("a") as file:
            file.write("ssl = on\n")
        (server.data / "pg_hba.conf").write_text(
            "local all all trust\nhostssl all all all trust\nhostssl replication all all trust\n"
        )
        server.restart()
        yield server, root


def test_both_ways_over_verified_tls(secure: tuple[Server, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, root = secure
    verified = {"host": "localhost", "sslmode": "verify-full", "sslrootcert": str(root)}
    plain = server.dsn
    monkeypatch.setattr(server, "dsn", lambda *names, **more: conninfo.make_conninfo(plain(*names, **more), **verified))
    with linked(server, tmp_path, "tls", CRM, ERP, LINKS) as pair:
        pair.crm.execute("INSERT INTO crm.account (name) VALUES ('a')")
        pair.erp.execute("INSERT INTO erp.customer (company) VALUES ('b')")
        pair.settle()
        assert pair.rows("erp", "SELECT company FROM erp.customer ORDER BY 1") == [("a",), ("b",)]
        secured = "SELECT count(*), count(*) FILTER (WHERE s.ssl) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)"
        ((all_of_them, over_tls),) = pair.rows("crm", f"{secured} WHERE application_name LIKE 'replicator %'")
        assert all_of_them == over_tls >= 4
        other = conninfo.make_conninfo(pair.environ["CRM_DSN"], sslrootcert=str(authority(tmp_path, "other")))
        for replication in (False, True):
            with pytest.raises(NodeUnavailable, match="certificate verify failed"):
                connect("crm", other, "test", replication)
