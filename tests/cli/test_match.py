"""`replicator match` and `unmatch` at the command line: what they say, and what they refuse."""

from __future__ import annotations

import pytest

from .conftest import CUSTOMER, Site

RULES = "match:\n  - {crm: name, erp: company}\n  - {crm: city, erp: town, loose: true}\n"
ACCOUNTS = "INSERT INTO crm.account (name, city) VALUES ('ACME', 'Wien'), ('Beta', 'Graz'), ('Twin', 'Linz'), ('Twin', 'Linz');"
CUSTOMERS = "INSERT INTO erp.customer (company, town) VALUES ('ACME', 'Vienna'), ('BETA', 'graz.'), ('Twin', 'Linz');"


@pytest.fixture
def full(site: Site) -> Site:
    site.link("customer", CUSTOMER.replace("fields:", RULES + "fields:"))
    site.db("crm").execute(ACCOUNTS)
    site.db("erp").execute(CUSTOMERS)
    assert site("init").code == 0
    return site


def test_dry_run_report_and_apply(full: Site) -> None:
    dry = full("match")
    assert dry.code == 1
    assert dry.one_line("customer: 2 pairs, 2 doubtful")
    assert dry.one_line("rule 1  name = company: 1")
    assert dry.one_line("rule 2  city = town (loose): 1")
    assert "name in 1, city in 2" in dry.one_line("values differ")
    assert "--prefer crm or erp" in dry.one_line("nothing was changed")
    refused = full("match", "--apply")
    assert refused.code == 2
    assert "--prefer crm or --prefer erp" in refused.err
    done = full("match", "--apply", "--prefer", "erp", "--report", "doubtful.csv", "--json")
    assert done.code == 1
    assert done.document["links"][0]["applied"] == 2
    assert len((full.folder / "doubtful.csv").read_text().splitlines()) == 3
    assert "match" in full("status").one_line("customer", "erp to crm")
    assert full("run", "--until-idle", "0.5").code == 0
    assert full.rows("crm", "SELECT name, city FROM crm.account WHERE name <> 'Twin' ORDER BY 1") == [
        ("ACME", "Vienna"),
        ("BETA", "graz."),
    ]
    # One of the twins, as a person says; the other has no match any more.
    text = (full.folder / "doubtful.csv").read_text().splitlines()
    (full.folder / "doubtful.csv").write_text("\n".join([text[0], text[1] + "pair", text[2]]))
    decided = full("match", "customer", "--decisions", "doubtful.csv", "--apply")
    assert decided.code == 0, decided.out + decided.err
    assert decided.one_line("by decision: 1")
    number = full.rows("erp", "SELECT no FROM erp.customer WHERE company = 'Twin'")[0][0]
    assert full("unmatch", "customer", str(number), "--on", "erp").code == 0
    assert full("unmatch", "customer", str(number), "--on", "erp").code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["match", "custmer"], "no link 'custmer'"),
        (["match", "contact"], "link contact has no `match`"),
        (["match", "--prefer", "nobody"], "no node 'nobody'"),
        (["match", "--prefer", "crm", "--keep"], "exclude each other"),
        (["match", "--decisions", "nothing.csv"], "nothing.csv: cannot be read"),
        (["unmatch", "customer", "1"], "say --on crm or --on erp"),
        (["unmatch", "custmer", "1", "--on", "erp"], "no link 'custmer'"),
    ],
)
def test_wrong_words(full: Site, arguments: list[str], words: str) -> None:
    result = full(*arguments)
    assert result.code == 2
    assert words in result.err
