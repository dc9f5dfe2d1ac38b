"""The bench itself, as small as can be: what it compares with runs on every version, and every part's results have the promised form.

No times are judged here.
"""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from replicator.demo.servers import Installation, installation
from tests.bench import backlogs, busy, curves, debezium, existing, growth, plots, report, tpcb
from tests.bench.measure import drain, generate
from tests.bench.part import Document, Part, staged
from tests.bench.run import chosen
from tests.bench.schema import CUSTOMERS, ONE, Size, inserts, run
from tests.bench.systems import BenchError
from tests.conftest import FAST

SMALLEST = Size(2_000, 300, 2_000, 10, 1, 0.2, 1, 1, 1_000, 1_000, (500,), (100,))
# A test of the bench, not a measurement. Before version 16 a subscription's worker is started once in 5 s at most.
HASTY = {**FAST, "wal_retrieve_retry_interval": "50ms"}
PATHS = ("one-way", "two-way")
KNOWN = {"part": "a part", "measured": "2026-11-25 08:00", "machine": "a machine", "load_before": 0.1, "server_version": "18.6"}


def measured(part: Part, found: Installation) -> tuple[list[Document], str]:
    """The documents, and what was shown."""
    shown = io.StringIO()
    console = Console(file=shown, width=160)
    with staged(found, SMALLEST, console, HASTY) as stage:
        documents = part.measure(stage)
    part.show(documents, console)
    return documents, shown.getvalue()


def test_backlogs(installation: Installation) -> None:
    documents, shown = measured(backlogs.PART, installation)
    found = {(d["work"], d["path"]) for d in documents}
    assert found == {(w, p) for w in ("insert", "single update", "bulk update", "latency") for p in PATHS}
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
    assert "two-way" in shown


def test_growth() -> None:
    documents, shown = measured(growth.PART, installation(None))
    assert [d["path"] for d in documents] == list(PATHS)
    for d in documents:
        assert d["rows"] == [1_000, 10_000]
        assert d["ours_times"] == pytest.approx(d["ours_s"][1] / d["ours_s"][0], rel=0.1)
        assert d["native_times"] == pytest.approx(d["native_s"][1] / d["native_s"][0], rel=0.1)
    assert "10 times the backlog" in shown


def test_tpcb() -> None:
    (document,), shown = measured(tpcb.PART, installation(None))
    assert document["ours_tps"] > 0
    assert document["native_tps"] > 0
    assert document["lag_ratio"] == pytest.approx(document["ours_lag_ms"] / document["native_lag_ms"], rel=0.1)
    assert document["ours_meanwhile_ms"]["p50"] > 0
    assert "meanwhile" in shown


def test_latency_while_backfilling() -> None:
    documents, shown = measured(busy.PART, installation(None))
    assert [d["path"] for d in documents] == list(PATHS)
    for d in documents:
        assert 0 < d["updates"] <= 1_000
        assert 0 < d["ours_ms"]["p50"] <= d["ours_ms"]["p99"]
    assert "being copied" in shown


def test_curves(tmp_path: Path) -> None:
    documents, shown = measured(curves.PART, installation(None))
    assert {(d["work"], d["path"]) for d in documents} == {
        (work, kind) for work in ("batch size", "load") for kind in ("native", *PATHS)
    }
    drawn = plots.write([KNOWN | d for d in documents], tmp_path)
    assert [path.name for path in drawn] == ["throughput.svg", "latency.svg"]
    for path in drawn:
        text = ElementTree.parse(path).getroot().itertext()
        assert {"ours, both ways", "ours, both ways, p99"} & set(text)
    assert "batch_rows" in shown


@pytest.mark.skipif(debezium.missing() is not None, reason=f"{debezium.missing()}")
def test_debezium() -> None:
    documents, shown = measured(debezium.PART, installation(None))
    assert [d["path"] for d in documents] == list(PATHS)
    assert all(d["ratio"] > 0 and d["debezium_rows_per_s"] > 0 for d in documents)
    assert "Debezium" in shown


def test_debezium_is_skipped_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debezium, "missing", lambda: "there is no Java")
    documents, shown = measured(debezium.PART, installation(None))
    assert documents == []
    assert "skipped: there is no Java" in shown


def test_existing_records() -> None:
    documents, shown = measured(existing.PART, installation(None))
    assert {(d["work"], d["path"]) for d in documents} == {(w, p) for w in ("backfill", "reconcile") for p in existing.LINKS}
    assert all(d["ratio"] > 0 for d in documents if d["work"] == "backfill")
    assert "COPY piped" in shown


def test_a_target_that_differs_ends_the_bench() -> None:
    """The bench measures work that was done: one row that is not as it was sent is enough."""
    tables = dataclasses.replace(
        CUSTOMERS,
        target={
            ONE: CUSTOMERS.target[ONE] + "; CREATE FUNCTION erp.spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.remark := 'spoilt'; RETURN NEW; END $$;"
            " CREATE TRIGGER spoil BEFORE INSERT ON erp.client FOR EACH ROW WHEN (NEW.client_no = 7)"
            " EXECUTE FUNCTION erp.spoil()"
        },
    )
    with staged(installation(None), SMALLEST, Console(file=io.StringIO()), HASTY) as stage, stage.system(ONE, tables) as system:
        generate(system, inserts(100, 1))
        with pytest.raises(BenchError, match=r"erp\.client differs from the source"):
            drain(system, 100)
        run(system.target, "UPDATE erp.client SET remark = 'note' WHERE client_no = 7")
        system.stop()


def test_results_are_kept_by_part(tmp_path: Path) -> None:
    path = tmp_path / "quick" / "results.json"
    report.write([{"part": "one", "n": 1}], "one", path)
    report.write([{"part": "two", "n": 2}], "two", path)
    report.write([{"part": "one", "n": 3}, {"part": "one", "n": 4}], "one", path)
    assert [d["n"] for d in json.loads(path.read_text())] == [2, 3, 4]


def test_parts_are_chosen_by_name() -> None:
    assert [part.name for part in chosen("tpcb, growth")] == ["growth", "tpcb"]
    assert len(chosen("")) == 7
    with pytest.raises(BenchError, match="no part is called speed; there are backlogs"):
        chosen("speed")


def test_the_table_in_the_readme_is_written_from_the_results(tmp_path: Path) -> None:
    documents = [
        KNOWN | {"work": "insert", "path": path, "rows": 1000, "transactions": 10, "native_rows_per_s": 50_000}
        | {"ours_rows_per_s": speed, "ratio": speed / 50_000, "native_cpu_us": 5.0, "ours_cpu_us": 12.25}
        for path, speed in (("one-way", 60_000), ("two-way", 30_000))
    ]  # fmt: skip
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}old\n{report.END}after\n")
    for _ in range(2):  # the place stays
        report.put(report.readme(documents), readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{report.BEGIN}| work")
    assert text.endswith(f"{report.END}after\n")
    assert "old" not in text
    assert "| inserts, 1,000 rows in 10 transactions | rows/s | 50,000 | 60,000 (1.20) | 30,000 (0.60) |" in text
    assert "PostgreSQL 18.6 on a machine; 2026-11-25 08:00 UTC, load before each part 0.1 to 0.1." in text


def test_the_readme_has_a_place_for_the_table() -> None:
    text = report.README.read_text()
    assert text.count(report.BEGIN) == text.count(report.END) == 1
