"""What the match tests stand on: freshly linked pairs whose databases are full already."""

from __future__ import annotations

from tests.apply.conftest import fresh  # noqa: F401 - a fixture
