"""`reconcile --repair` at the command line: says first what it would mend, mends it, compares again; leaves to a person what no
rule decides."""

from __future__ import annotations

import psycopg
import pytest

from .conftest import Site


@pytest.fixture
def drifted(ready: Site) -> Site:
    """Three pairs, two of which have been changed while nobody looked."""
    ready.db("crm").execute("INSERT INTO crm.account (name, city) SELECT 'n' || i, 'c' || i FROM generate_series(1, 3) i")
    assert ready("run", "--once").code == 0
    connection = ready.db("erp")
    while True:
        try:
            connection.execute("SELECT pg_replication_origin_session_setup('replicator_crm_to_erp')")
            break
        except psycopg.errors.ObjectInUse:  # the replicator's session is still going away
            continue
    connection.execute("UPDATE erp.customer SET town = 'drifted' WHERE company = 'n1'")
    connection.execute("DELETE FROM erp.customer WHERE company = 'n2'")
    connection.execute("SELECT pg_replication_origin_session_reset()")
    return ready


def test_says_what_it_would_do_and_does_it(drifted: Site) -> None:
    dry = drifted("reconcile", "--repair", "--dry-run", "--wait", "0")
    assert dry.code == 1, dry.err
    assert dry.one_line("~ customer", "made anew")
    assert dry.one_line("- customer: city of 1 record left alone", "--prefer NODE")
    assert dry.one_line("nothing was changed")
    assert drifted.rows("erp", "SELECT count(*) FROM erp.customer") == [(2,)]
    done = drifted("reconcile", "--repair", "--prefer", "crm", "--wait", "0", "--json")
    assert done.code == 0, done.out + done.err
    repair = done.document["repair"]
    assert repair["done"]
    assert sorted(one["how"] for one in repair["mended"]) == ["again", "send"]
    assert drifted.rows("erp", "SELECT company, town FROM erp.customer ORDER BY 1") == [("n1", "c1"), ("n2", "c2"), ("n3", "c3")]
    log = drifted("conflicts", "list")
    assert "repair" in log.one_line("city", "crm won")
    assert drifted("reconcile", "--repair", "--wait", "0").one_line("nothing that a rule can mend")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--repair", "--prefer", "nobody"], "no node 'nobody'"),
        (["--prefer", "crm"], "go with --repair"),
        (["--repair", "--max-changes", "0"], "max-changes"),
    ],
)
def test_wrong_words(ready: Site, arguments: list[str], words: str) -> None:
    result = ready("reconcile", *arguments)
    assert result.code == 2
    assert words in result.err
