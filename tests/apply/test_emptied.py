"""Promise: TRUNCATE, which is never applied, and what is filled in behind it are no trouble, however much of it comes at once."""

from __future__ import annotations

from tests.apply.conftest import Fresh
from tests.apply.driving import parked, transaction


def test_a_table_that_is_emptied_and_filled_again_in_one_batch(fresh: Fresh) -> None:
    """So many that they are taken in bulk, and one of them refused, so that each is looked at: TRUNCATE came in between,
    which is never applied, so a record that is made again is the one that was on its way."""
    link = "link: item\nflow: crm -> erp\ncrm: {table: item, key: id}\nerp: {table: item, key: no}\nfields:\n"
    link += "  - {crm: id, erp: id}\n  - {crm: t, erp: t}\n"
    crm = "CREATE TABLE item (id integer PRIMARY KEY, t text);"
    with fresh(crm, "CREATE TABLE item (no serial PRIMARY KEY, id integer, t text CHECK (t <> 'c300'));", link) as pair:
        fill = "INSERT INTO item SELECT i, '{}' || i FROM generate_series(201, 300) i"
        transaction(pair.crm, fill.format("a"))
        for word in ("b", "c"):
            transaction(pair.crm, "TRUNCATE item", fill.format(word))
        pair.settle()
        assert pair.rows("erp", "SELECT id, t FROM item ORDER BY 1") == [(i, f"c{i}") for i in range(201, 300)]
        assert parked(pair) == [("item", ["300"], "refused", "23514"), ("item", ["*"], "truncated", None)]
