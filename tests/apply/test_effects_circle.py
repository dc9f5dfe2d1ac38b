"""Promise: links that make records where another one reads do not feed each other."""

from __future__ import annotations

from tests.apply.conftest import Fresh
from tests.apply.driving import column

LINK = """
link: {0}
flow: {1}
crm: {{table: public.lead, key: id}}
erp: {{table: public.prospect, key: no}}
fields:
  - {{crm: {2}, erp: {2}}}
"""


def test_two_links_in_a_circle(fresh: Fresh) -> None:
    """Each makes records where the other reads; heard of, they would go on for ever."""
    crm = "CREATE TABLE lead (id serial PRIMARY KEY, name text, town text)"
    erp = "CREATE TABLE prospect (no serial PRIMARY KEY, name text, town text)"
    with fresh(crm, erp, LINK.format("there", "crm -> erp", "name"), LINK.format("back", "erp -> crm", "town")) as pair:
        pair.crm.execute("INSERT INTO lead (name) VALUES ('A')")
        pair.erp.execute("INSERT INTO prospect (town) VALUES ('Ulm')")
        pair.settle()
        assert (column(pair, "crm", "SELECT count(*) FROM lead"), column(pair, "erp", "SELECT count(*) FROM prospect")) == (
            [2],
            [2],
        )
