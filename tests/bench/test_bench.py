"""The bench itself, as small as can be: it runs on every version, and its results have the promised form.

No times are judged here.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from replicator.demo.servers import Installation
from tests.bench import existing, report
from tests.bench.run import measure
from tests.bench.schema import Size
from tests.conftest import FAST

SMALLEST = Size(inserts=2_000, singles=300, updates=2_000, transactions=10, runs=1, latency_seconds=0.2)
# A test of the bench, not a measurement. Before version 16 a subscription's worker is started once in 5 s at most.
HASTY = {**FAST, "wal_retrieve_retry_interval": "50ms"}


def test_results(installation: Installation, tmp_path: Path) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=120)
    measured = measure(installation, SMALLEST, console, HASTY)
    report.write(measured.documents(), tmp_path / "results.json")
    report.show(measured.documents(), console)

    documents = json.loads((tmp_path / "results.json").read_text())
    found = {(d["work"], d["path"]) for d in documents}
    assert found == {(w, p) for w in ("insert", "single update", "bulk update", "latency") for p in ("one-way", "two-way")}
    assert {d["server_version"] for d in documents} == {installation.release}
    for d in documents:
        assert d["runs"] == 1
        if d["work"] == "latency":
            for whose in ("ours_ms", "native_ms"):
                assert 0 < d[whose]["p50"] <= d[whose]["p95"] <= d[whose]["p99"]
        else:
            assert d["ours_rows_per_s"] > 0
            assert d["native_rows_per_s"] > 0
            assert d["ratio"] > 0
            assert d["peak_rss_mb"] > 10
    assert "two-way" in shown.getvalue()


def test_existing_records() -> None:
    shown = io.StringIO()
    documents = existing.measure(1_000, Console(file=shown, width=120), HASTY, runs=1)
    assert {(d["work"], d["path"]) for d in documents} == {(w, p) for w in ("backfill", "reconcile") for p in existing.LINKS}
    assert all(d["ratio"] > 0 for d in documents if d["work"] == "backfill")
    existing.show(documents, Console(file=shown, width=120))
    assert "COPY piped" in shown.getvalue()
