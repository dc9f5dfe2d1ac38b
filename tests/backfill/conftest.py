"""What the backfill tests stand on: freshly linked pairs whose databases are full already."""

from __future__ import annotations

from tests.apply.conftest import alarm, fresh  # noqa: F401 - fixtures
