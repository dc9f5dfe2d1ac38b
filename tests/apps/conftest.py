"""Tests with somebody else's application. Not part of the default run: `make test-apps` installs and runs them."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without `-m apps` nothing here is even imported: what it needs is not installed."""
    return None if "apps" in (config.option.markexpr or "") else True
