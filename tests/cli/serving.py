"""A daemon in this process that is asked over HTTP."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from replicator.mapping.config import load_config
from replicator.runtime import metrics, web
from replicator.runtime.daemon import Daemon

from .conftest import Site

Figures = dict[tuple[str, ...], float]


def scrape(port: int) -> Figures:
    """(name, label values...) -> value; labels in the order of their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.status == 200
        text = answer.read().decode()
    return {
        (sample.name.removeprefix("replicator_"), *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def served(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A daemon in a thread, sampled five times a second. Gives the port."""
    monkeypatch.setattr(metrics, "SAMPLE_SECONDS", 0.2)
    config, _ = load_config(site.folder / "replicator.yaml", site.environ)
    assert config is not None
    daemon = Daemon(config, site.environ)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        with web.serving(config, daemon, "127.0.0.1", 0) as port:
            yield port
    finally:
        daemon.stop.set()
        thread.join(30)
    assert not thread.is_alive()


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
