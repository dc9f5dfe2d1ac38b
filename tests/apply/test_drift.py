"""Promise: when a table changes under the links, those that it breaks pause, and say which line to change; all others go on.
What is written meanwhile is kept, in order, and goes on after `resume`. A column that is gone is never NULL on the other side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replicator.engines.postgres.pauses import paused, resume
from replicator.mapping.config import load_config
from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked
from tests.two_way.pair_of_nodes import Pair

CRM = """
CREATE TABLE item (id int PRIMARY KEY, t text, n int, unread text);
CREATE TABLE child (id int PRIMARY KEY, item_id int, t text);
CREATE TABLE other (id int PRIMARY KEY, t text);
"""
ERP = """
CREATE TABLE thing (no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, label text, amount int, unread text);
CREATE TABLE part (no int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, thing_no int NOT NULL REFERENCES thing, label text);
CREATE TABLE other (id int PRIMARY KEY, t text);
"""
ITEM = """\
link: item
crm: {table: item, key: id}
erp: {table: thing, key: no}
flow: crm WAY erp
fields:
  - {crm: t, erp: label}
  - {crm: n, erp: amount}
"""
CHILD = """\
link: child
crm: {table: child, key: id}
erp: {table: part, key: no}
flow: crm -> erp
fields:
  - {crm: item_id, erp: thing_no, link: item}
  - {crm: t, erp: label}
"""
OTHER = "link: other\ncrm: {table: other, key: id}\nerp: {table: other, key: id}\nflow: crm -> erp\nfields:\n  - {crm: id, erp: id}\n  - {crm: t, erp: t}\n"
WAYS = {"one way": "->", "two ways": "<->"}


def links(way: str) -> tuple[str, str, str]:
    return ITEM.replace("WAY", WAYS[way]), CHILD, OTHER


def pauses(pair: Pair) -> dict[str, Any]:
    """link -> why it is paused, of whichever flow."""
    return {one.pause.link: one.pause for node in (pair.crm, pair.erp) for one in paused(node)}


def go_on(pair: Pair, link: str = "item") -> None:
    """What `replicator resume` does when it is content."""
    for node, flow in ((pair.erp, "crm_to_erp"), (pair.crm, "erp_to_crm")):
        resume(node, flow, link)


def with_file(pair: Pair, text: str) -> None:
    """The daemon is stopped, the link's file edited, and the daemon started."""
    pair.crash()
    folder = next(Path(str(link.mark.path)) for link in pair.config.links if link.name == "item").parent
    (folder / "item.yaml").write_text(text)
    config, findings = load_config(folder.parent / "replicator.yaml", pair.environ)
    assert config is not None, findings
    pair.config = config


def write(pair: Pair, *statements: str) -> None:
    for statement in statements:
        pair.crm.execute(statement)  # type: ignore[call-overload]


def settle(pair: Pair) -> None:
    """As the daemon does, which also asks what people want."""
    for flow in pair.exchange.flows:
        flow.ask_for_retries()
    pair.settle()


THINGS = "SELECT label, amount FROM thing ORDER BY label"
MEANWHILE = (
    "INSERT INTO item (id, n) VALUES (3, 30)",  # new
    "UPDATE item SET n = 11 WHERE id = 1",  # edited twice
    "UPDATE item SET n = 12 WHERE id = 1",
    "DELETE FROM item WHERE id = 2",
    "INSERT INTO child VALUES (1, 3, 'of 3')",  # waits for what is kept
    "INSERT INTO other VALUES (1, 'goes on')",
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
def test_a_column_of_the_source_is_renamed(fresh: Fresh, way: str, restart: bool) -> None:
    with fresh(CRM, ERP, *links(way)) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'one', 10), (2, 'two', 20)")
        settle(pair)
        write(pair, "UPDATE item SET t = 'uno' WHERE id = 1")  # written before, read after
        write(pair, "ALTER TABLE item RENAME t TO title", *MEANWHILE, "UPDATE item SET title = 'three' WHERE id = 3")
        settle(pair)
        found = pauses(pair)["item"]
        assert (found.by, found.node, found.table, found.column) == ("schema", "crm", "public.item", "t")
        assert found.place.endswith("item.yaml:6:5")
        assert "title" in found.hint
        assert column(pair, "erp", "SELECT t FROM other") == ["goes on"]
        assert {(link, reason) for link, _, reason, _ in parked(pair)} == {("item", "paused"), ("child", "waits")}
        assert len(parked(pair, "item")) == 3
        if restart:
            pair.crash()
            write(pair, "UPDATE item SET title = 'tres' WHERE id = 3")
            settle(pair)
            assert len(parked(pair, "item")) == 3
        with_file(pair, links(way)[0].replace("{crm: t, erp: label}", "{crm: title, erp: label, name: t}"))
        go_on(pair)
        settle(pair)
        assert pair.rows("erp", THINGS) == [("tres" if restart else "three", 30), ("uno", 12)]
        assert column(pair, "erp", "SELECT label FROM part") == ["of 3"]
        assert parked(pair) == []
        assert pauses(pair) == {}
