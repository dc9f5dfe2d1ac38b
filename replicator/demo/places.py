"""Where a server may live: a free port, and folders that the server's user can reach and no path is too long for."""

from __future__ import annotations

import os
import random
import socket
import tempfile
from pathlib import Path

from replicator.demo.installations import Account, ServerError, run_as

LONGEST_SOCKET_PATH = 103  # in bytes, on the strictest system


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on and that no outgoing connection will be given."""
    choose = random.SystemRandom()
    low, high = 15_000, _first_outgoing_port()
    for _ in range(1_000):
        port = choose.randrange(low, high)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"no free TCP port between {low} and {high} on 127.0.0.1", "end some programs that listen there")


def _first_outgoing_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return first if first > 16_000 else 65_000


def give(account: Account | None, path: Path) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def private_folder(account: Account | None, path: Path) -> None:
    """Makes a private folder for the server's user, who must be able to get there."""
    path.mkdir(mode=0o700, exist_ok=True)
    give(account, path)
    if account is not None and run_as(account, ["/bin/sh", "-c", 'test -w "$1"', "sh", str(path)]).returncode != 0:
        raise ServerError(
            f"user {account.name} (the server's, since we are root) cannot reach {path}",
            "give a directory outside private folders, such as one under /var/tmp",
        )


def temporary_folder(account: Account | None) -> Path:
    """A fresh folder where the server's user can work: TMPDIR of root may be closed to others."""
    last: ServerError | None = None
    for base in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        path = Path(tempfile.mkdtemp(prefix="replicator-pg-", dir=base)).resolve()
        try:
            private_folder(account, path)
            return path
        except ServerError as error:
            last = error
            path.rmdir()
    assert last is not None
    raise last


def socket_folder(account: Account | None, directory: Path) -> Path:
    """Inside `directory`, unless the path of a socket there would be too long for the system."""
    path = directory / "run"
    if len(os.fsencode(path / ".s.PGSQL.65535")) > LONGEST_SOCKET_PATH:
        path = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    private_folder(account, path)
    return path
