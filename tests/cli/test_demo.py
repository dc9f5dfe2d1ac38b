"""`replicator demo`, whole: servers, traffic, comparison."""

from __future__ import annotations

from .conftest import Site

PROMISED = {
    "in_sync", "seconds", "changes_applied", "conflicts", "latency_ms", "rows_compared", "differences",
    "parked", "rows_written", "server_versions",
}  # fmt: skip


def test_in_sync(offline: Site) -> None:
    result = offline("demo", "--seconds", "3", "--json", "--accounts", "150")
    document = result.document
    assert document.keys() >= PROMISED
    assert document["differences"] == []
    assert document["in_sync"] is True
    assert result.code == 0
    assert 3 <= document["seconds"] < 6
    assert all(changes > 100 for changes in document["changes_applied"].values())
    assert document["changes_applied"].keys() == {"crm_to_erp", "erp_to_crm"}
    assert 0 < document["latency_ms"]["p50"] <= document["latency_ms"]["p95"] <= document["latency_ms"]["p99"]
    assert document["rows_compared"] > 1_000
    assert document["failures"] == []
    assert not set(document["parked"]) - {"waits"}
