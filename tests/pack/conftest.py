"""One office for the folder: tests make their own records in it, and leave it running. In the end both sides agree in
everything that they did, and nothing is parked.

Most run on the newest PostgreSQL; those marked `versions` also with the CRM and one factory on 15 and the other on the newest.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replicator.demo.servers import installations
from tests.pack.office import Office, running

OLDEST, NEWEST = min(one.version for one in installations()), max(one.version for one in installations())
ONE = (NEWEST, NEWEST, NEWEST)
MIXED = (OLDEST, NEWEST, OLDEST)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "office" in metafunc.fixturenames:
        mixed = OLDEST < NEWEST and metafunc.definition.get_closest_marker("versions") is not None
        metafunc.parametrize(
            "office", [ONE, MIXED] if mixed else [ONE], ids=lambda v: f"pg{'-'.join(map(str, v))}", indirect=True, scope="package"
        )


@pytest.fixture(scope="package")
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with running(tmp_path_factory.mktemp("office"), request.param) as office:
        yield office
        office.agrees()
