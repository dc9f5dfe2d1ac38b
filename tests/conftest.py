"""Servers for the tests: every PostgreSQL found (18 from the wheel, the system's), one each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replicator.demo.servers import Installation, Server, installations

# Tests of crashes of the server itself start their own. What is committed without waiting (synchronous_commit = off, which
# the replicator does where it may) reaches the disk, and with it the stream, when the WAL writer comes: every 200 ms by default.
FAST = {"fsync": "off", "full_page_writes": "off", "wal_writer_delay": "5ms"}


def pytest_report_header() -> str:
    found = ", ".join(f"{i.version} ({i.origin})" for i in installations())
    return f"PostgreSQL: integration tests run on {found}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "installation" in metafunc.fixturenames:
        metafunc.parametrize("installation", installations(), ids=lambda i: f"pg{i.version}", indirect=True, scope="session")


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest) -> Installation:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def server(installation: Installation) -> Iterator[Server]:
    with Server(installation, FAST) as running:
        yield running
