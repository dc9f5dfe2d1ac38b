"""Promise: when a table changes under the links, those that it breaks pause, and say which line to change; all others go on.
What is written meanwhile is kept, in order, and goes on after `resume`. A column that is gone is never NULL on the other side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replicator.engines.postgres.pauses import pause, paused, resume
from replicator.errors import ConfigurationError, StructureChanged
from replicator.exchange import Exchange
from replicator.mapping.config import load_config
from replicator.model.pause import Pause
from replicator.runtime.pausing import go_on as go_on_if_it_fits
from replicator.runtime.setup import init
from tests.apply.conftest import Fresh
from tests.apply.driving import column, parked, until
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
    """As the daemon does, which also asks what people want, and looks at the tables when it has been quiet."""
    for ask in (Exchange.look_at_tables, lambda exchange: None):
        for flow in pair.exchange.flows:
            try:
                flow.ask_for_retries()
            except StructureChanged:
                pair.crash()
                break
        pair.settle()
        try:
            ask(pair.exchange)
        except StructureChanged:
            pair.crash()


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


KEPT = [("dos", 20), ("one", 10)]  # what the ERP has of the records, before and while the link is paused
BREAKS = {  # DDL, node, what is not there, how it is mended, what the ERP has then
    "a column of the source is dropped": (
        "ALTER TABLE item DROP t", "crm", "t", "ALTER TABLE item ADD t text DEFAULT 'again'", [("again", 30), ("one", 12)],
    ),
    "a column of the source is no number any more": (
        "ALTER TABLE item ALTER n TYPE text", "crm", "n", "ALTER TABLE item ALTER n TYPE int USING n::int", [("one", 12), (None, 30)],
    ),
    "the table of the source is renamed": (
        "ALTER TABLE item RENAME TO article", "crm", "", "ALTER TABLE article RENAME TO item", [("one", 12), (None, 30)],
    ),
    "a column of the target is dropped": (
        "ALTER TABLE thing DROP label", "erp", "label", "ALTER TABLE thing ADD label text", None,
    ),
    "a column of the target is renamed": (
        "ALTER TABLE thing RENAME label TO title", "erp", "label", "ALTER TABLE thing RENAME title TO label", [("one", 12), (None, 30)],
    ),
    "a column of the target is another type": (
        "ALTER TABLE thing ALTER label TYPE int USING 1", "erp", "label", "ALTER TABLE thing ALTER label TYPE text USING 'text'",
        None,
    ),
    "the table of the target is renamed": (
        "ALTER TABLE thing RENAME TO goods", "erp", "", "ALTER TABLE goods RENAME TO thing", [("one", 12), (None, 30)],
    ),
    "a column of the target that has to be filled": (
        "ALTER TABLE thing ADD must int NOT NULL DEFAULT 1; ALTER TABLE thing ALTER must DROP DEFAULT", "erp", None,
        "ALTER TABLE thing ALTER must SET DEFAULT 2", [("one", 12), (None, 30)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("breaks", BREAKS)
def test_what_breaks_a_link_pauses_it_alone(fresh: Fresh, way: str, breaks: str) -> None:
    ddl, node, missing, mends, then = BREAKS[breaks]
    name = "article" if "article" in ddl else "item"
    with fresh(CRM, ERP, *links(way)) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'one', 10), (2, 'dos', 20)")
        settle(pair)
        (pair.crm if node == "crm" else pair.erp).execute(ddl)  # type: ignore[call-overload]
        write(pair, *(statement.replace("item ", f"{name} ") for statement in MEANWHILE))
        settle(pair)
        found = pauses(pair)["item"]
        assert list(pauses(pair)) == ["item"]
        assert found.by == "schema"
        assert "item.yaml:" in found.place
        if missing is not None:
            assert (found.node, found.table, found.column) == (node, "public.item" if node == "crm" else "public.thing", missing)
        assert column(pair, "erp", "SELECT t FROM other") == ["goes on"]
        assert sorted(parked(pair)) == [
            ("child", ["1"], "waits", None), *(("item", [key], "paused", None) for key in ("1", "2", "3")),
        ]  # fmt: skip
        if node == "crm":
            assert pair.rows("erp", THINGS) == KEPT
        settle(pair)
        assert len(parked(pair)) == 4
        (pair.crm if node == "crm" else pair.erp).execute(mends)  # type: ignore[call-overload]
        go_on(pair)
        settle(pair)
        assert parked(pair) == []
        assert column(pair, "erp", "SELECT label FROM part") == ["of 3"]
        if then is not None:
            assert pair.rows("erp", THINGS) == then
        write(pair, "UPDATE item SET n = 40 WHERE id = 3")
        settle(pair)
        assert column(pair, "erp", "SELECT max(amount) FROM thing") == [40]
        assert pauses(pair) == {}


GOES_ON = {
    "a column more on the source": ("crm", "ALTER TABLE item ADD fax text", "public.item has a new column fax (text): no link reads it"),
    "a column more on the target": ("erp", "ALTER TABLE thing ADD fax text", "public.thing has a new column fax (text): no link reads it"),
    "one less that no link reads": ("crm", "ALTER TABLE item DROP unread", "public.item has no column unread any more: no link reads it"),
    "a wider column of the source": ("crm", "ALTER TABLE item ALTER n TYPE bigint", "public.item.n is bigint now, it was integer"),
    "a wider column of the target": ("erp", "ALTER TABLE thing ALTER amount TYPE bigint", "public.thing.amount is bigint now, it was integer"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", GOES_ON)
def test_other_changes_are_noted_once(fresh: Fresh, caplog: pytest.LogCaptureFixture, way: str, change: str) -> None:
    node, ddl, told = GOES_ON[change]
    with fresh(CRM, ERP, *links(way)) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'one', 10)")
        settle(pair)
        write(pair, "UPDATE item SET n = 11")
        (pair.crm if node == "crm" else pair.erp).execute(ddl)  # type: ignore[call-overload]
        write(pair, "UPDATE item SET t = 'uno'", "INSERT INTO item (id, t, n) VALUES (2, 'two', 20)")
        if "bigint" in ddl and node == "crm":
            write(pair, "INSERT INTO item (id, t, n) VALUES (3, 'three', 3000000000)")
        settle(pair)
        pair.crash()
        settle(pair)
        assert pair.rows("erp", THINGS) == [("two", 20), ("uno", 11)]
        assert [message for message in caplog.messages if told in message] == [f"{node}: {told}"]
        assert pauses(pair) == {}
        assert [row[2:] for row in parked(pair)] == ([("refused", "22003")] if "bigint" in ddl and node == "crm" else [])


def stand_still(pair: Pair, link: str = "item") -> None:
    """What `replicator pause` does."""
    for node, flow in ((pair.erp, "crm_to_erp"), (pair.crm, "erp_to_crm")):
        if any(flow == one.name for one in pair.exchange.flows):
            pause(node, flow, Pause(link, "ann", "ann paused it"))


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
def test_edits_of_both_sides_while_it_is_paused(fresh: Fresh, restart: bool) -> None:
    """The later edit of each field stands, whichever flow is the first to write, and the conflict is logged."""
    with fresh(CRM, ERP, *links("two ways")) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'one', 10), (2, 'two', 20), (3, 'three', 30), (4, 'four', 40)")
        settle(pair)
        stand_still(pair)
        settle(pair)
        write(pair, "UPDATE item SET t = 'crm first' WHERE id = 1", "UPDATE item SET n = 21 WHERE id = 2")
        settle(pair)
        pair.erp.execute("UPDATE thing SET label = 'erp later' WHERE label = 'one'")
        pair.erp.execute("UPDATE thing SET label = 'zwei' WHERE label = 'two'")
        pair.erp.execute("UPDATE thing SET label = 'erp first' WHERE label = 'three'")
        pair.erp.execute("DELETE FROM thing WHERE label = 'four'")
        settle(pair)
        write(pair, "UPDATE item SET t = 'crm later' WHERE id = 3", "UPDATE item SET n = 41 WHERE id = 4")
        settle(pair)
        assert [row[0] for row in pair.rows("crm", "SELECT t FROM item ORDER BY id")] == ["crm first", "two", "crm later", "four"]
        if restart:
            pair.crash()
        go_on(pair)
        settle(pair)
        both = [("crm later", 30), ("erp later", 10), ("zwei", 21)]
        assert pair.rows("erp", THINGS) == pair.rows("crm", "SELECT t, n FROM item ORDER BY t") == both
        assert parked(pair) == []
        clashes = {row[2:5] for row in pair.conflicts() if row[3] == "t"}
        assert clashes == {("update_origin_differs", "t", "crm"), ("update_origin_differs", "t", "erp")}


def test_a_paused_link_does_not_stop_the_flow(fresh: Fresh) -> None:
    """What is kept counts neither over all nor as a share of a batch."""
    with fresh(CRM, ERP, *links("one way")) as pair:
        pair.config = replace(pair.config, settings=replace(pair.config.settings, parked_limit=50, parked_percent=1))
        settle(pair)
        stand_still(pair)
        settle(pair)
        write(pair, "INSERT INTO item SELECT i, 'x', i FROM generate_series(1, 300) i", "INSERT INTO other VALUES (1, 'goes on')")
        write(pair, "UPDATE item SET n = n + 1", "DELETE FROM item WHERE id > 200")
        settle(pair)
        assert column(pair, "erp", "SELECT t FROM other") == ["goes on"]
        assert len(parked(pair)) == 300  # one a record, however often it changes
        assert pair.exchange.flows[0].totals.halted is None
        go_on(pair)
        settle(pair)
        assert pair.rows("erp", "SELECT count(*), sum(amount) FROM thing") == [(200, sum(range(2, 202)))]
        assert parked(pair) == []


def test_a_truncated_table_is_told_of_while_paused_too(fresh: Fresh) -> None:
    with fresh(CRM, ERP, *links("one way")) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'one', 10)")
        settle(pair)
        stand_still(pair)
        settle(pair)
        write(pair, "TRUNCATE item", "INSERT INTO item VALUES (2, 'two', 20)")
        settle(pair)
        assert parked(pair) == [("item", ["2"], "paused", None), ("item", ["*"], "truncated", None)]
        go_on(pair)
        settle(pair)
        assert pair.rows("erp", THINGS) == [("one", 10), ("two", 20)]
        assert parked(pair) == [("item", ["*"], "truncated", None)]


@pytest.mark.parametrize("way", WAYS)
def test_what_was_written_before_the_change_is_read_right(fresh: Fresh, way: str) -> None:
    """No replicator runs while users write, the table changes, and they write on; the file is edited before the next start."""
    with fresh(CRM, ERP, *links(way)) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'one', 10), (2, 'two', 20)")
        settle(pair)
        pair.crash()
        write(pair, "UPDATE item SET n = 11 WHERE id = 1", "INSERT INTO item VALUES (3, 'three', 30)")
        write(pair, "DELETE FROM item WHERE id = 2")
        write(pair, "ALTER TABLE item RENAME t TO title", "UPDATE item SET title = 'uno' WHERE id = 1")
        write(pair, "INSERT INTO item (id, title, n) VALUES (4, 'four', 40)")
        with_file(pair, links(way)[0].replace("{crm: t, erp: label}", "{crm: title, erp: label, name: t}"))
        settle(pair)
        assert pair.rows("erp", THINGS) == [("four", 40), ("three", 30), ("uno", 11)]
        assert (parked(pair), pauses(pair)) == ([], {})


def test_a_table_that_is_made_anew(fresh: Fresh) -> None:
    """Its changes do not come until it is published: then all of its records go through the link once more."""
    with fresh(CRM, ERP, *links("one way")) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'one', 10)")
        settle(pair)
        write(pair, "DROP TABLE item", "INSERT INTO other VALUES (1, 'goes on')")
        settle(pair)
        assert pauses(pair)["item"].reason == "crm has no table public.item"
        write(pair, "CREATE TABLE item (id int PRIMARY KEY, t text, n int)")
        write(pair, "INSERT INTO item VALUES (1, 'uno', 11), (5, 'five', 50)")
        config, environ, nodes = pair.config, pair.environ, {"crm": pair.crm, "erp": pair.erp}
        [item] = [link for link in config.links if link.name == "item"]
        with pytest.raises(ConfigurationError, match="made anew"):
            go_on_if_it_fits(config, nodes, [item], dry_run=False)
        init(config, environ, False, lambda action: None)
        assert [one.copied for one in go_on_if_it_fits(config, nodes, [item], dry_run=False)] == [("crm_to_erp",)]
        settle(pair)
        until(pair, lambda: pair.rows("erp", THINGS) == [("five", 50), ("uno", 11)])
        write(pair, "UPDATE item SET n = 12 WHERE id = 1")
        settle(pair)
        assert pair.rows("erp", THINGS) == [("five", 50), ("uno", 12)]


OF_OTHERS = "CREATE TABLE note (id int PRIMARY KEY, item_id int, t text); CREATE TABLE kind (code text PRIMARY KEY, no int);"
LOOKED_UP = "link: item\ncrm: {table: item, key: id}\nerp: {table: thing, key: no}\nflow: crm -> erp\nfields:\n  - {crm: t, erp: label}\n  - {crm: n, erp: amount, lookup: {table: kind, by: no, key: no, on: erp, missing: null}}\n"
DERIVED = 'link: item\ncrm: {table: item, key: id, derived: {x: "select max(q.t) from public.note q where q.item_id = crm.id"}}\nerp: {table: thing, key: no}\nflow: crm -> erp\nfields:\n  - {crm: x, erp: label}\n  - {crm: n, erp: amount}\n'
QUERY = 'link: item\ncrm: {query: "select i.id, i.n, q.t from public.item i join public.note q on q.item_id = i.id", key: id}\nerp: {table: thing, key: no}\nflow: crm -> erp\nfields:\n  - {crm: t, erp: label}\n  - {crm: n, erp: amount}\n'
EXTENDS = "link: item\ncrm: {table: note, key: id, extends: {table: item, key: id}}\nerp: {table: thing, key: no}\nflow: crm -> erp\nfields:\n  - {crm: t, erp: label}\n  - {crm: n, erp: amount}\n"
BESIDE = {  # link, DDL on which node, how it is mended
    "a table looked up in is gone": (LOOKED_UP, "erp", "ALTER TABLE kind RENAME TO sort", "ALTER TABLE sort RENAME TO kind"),
    "a column looked up by is gone": (LOOKED_UP, "erp", "ALTER TABLE kind RENAME no TO nr", "ALTER TABLE kind RENAME nr TO no"),
    "a derived column reads what is gone": (DERIVED, "crm", "ALTER TABLE note RENAME t TO u", "ALTER TABLE note RENAME u TO t"),
    "a derived column reads a table that is gone": (DERIVED, "crm", "ALTER TABLE note RENAME TO memo", "ALTER TABLE memo RENAME TO note"),
    "a query reads what is gone": (QUERY, "crm", "ALTER TABLE note RENAME t TO u", "ALTER TABLE note RENAME u TO t"),
    "a query reads a table that is gone": (QUERY, "crm", "ALTER TABLE note RENAME TO memo", "ALTER TABLE memo RENAME TO note"),
    "a table that is extended lacks a column": (EXTENDS, "crm", "ALTER TABLE item RENAME n TO m", "ALTER TABLE item RENAME m TO n"),
    "the key is called otherwise": (links("one way")[0], "crm", "ALTER TABLE item RENAME id TO nr", "ALTER TABLE item RENAME nr TO id"),
}  # fmt: skip


@pytest.mark.parametrize("what", BESIDE)
def test_what_a_link_reads_beside_its_record(fresh: Fresh, what: str) -> None:
    link, node, ddl, mends = BESIDE[what]
    with fresh(CRM + OF_OTHERS, ERP + OF_OTHERS, link, OTHER) as pair:
        pair.erp.execute("INSERT INTO kind VALUES ('ten', 10), ('twelve', 12), ('thirty', 30)")
        write(pair, "INSERT INTO item VALUES (1, 'one', 10)", "INSERT INTO note VALUES (1, 1, 'one')")
        settle(pair)
        assert pair.rows("erp", THINGS) == [("one", 10)]
        (pair.crm if node == "crm" else pair.erp).execute(ddl)  # type: ignore[call-overload]
        note, text = "memo" if "memo" in ddl else "note", "u" if "TO u" in ddl else "t"
        key, number = "nr" if "id TO" in ddl else "id", "m" if "TO m" in ddl and "memo" not in ddl else "n"
        write(
            pair,
            f"UPDATE item SET {number} = 12 WHERE {key} = 1",
            f"INSERT INTO item ({key}, t, {number}) VALUES (3, 'three', 30)",
        )
        write(pair, f"INSERT INTO {note} (id, item_id, {text}) VALUES (3, 3, 'three')", "INSERT INTO other VALUES (1, 'goes on')")
        settle(pair)
        assert list(pauses(pair)) == ["item"]
        assert "item.yaml:" in pauses(pair)["item"].place
        assert column(pair, "erp", "SELECT t FROM other") == ["goes on"]
        assert pair.rows("erp", THINGS) == [("one", 10)]
        pair.crash()
        settle(pair)
        (pair.crm if node == "crm" else pair.erp).execute(mends)  # type: ignore[call-overload]
        [item] = [one for one in pair.config.links if one.name == "item"]
        go_on_if_it_fits(pair.config, {"crm": pair.crm, "erp": pair.erp}, [item], dry_run=False)
        settle(pair)
        until(pair, lambda: pair.rows("erp", THINGS) == [("one", 12), ("three", 30)])
        assert parked(pair) == []


def test_a_generated_column_that_is_never_sent(fresh: Fresh) -> None:
    """Before PostgreSQL 18. Its values would stay what they were for ever: the link is paused instead, and says why."""
    table = CRM.replace("t text, n int", "t text GENERATED ALWAYS AS (upper(unread)) STORED, n int", 1)
    with fresh(table, ERP, links("one way")[0]) as pair:
        write(pair, "INSERT INTO item (id, n, unread) VALUES (1, 10, 'one')")
        settle(pair)
        if pair.crm.info.server_version >= 180000:
            assert (pauses(pair), pair.rows("erp", THINGS)) == ({}, [("ONE", 10)])
            return
        assert pauses(pair)["item"].reason.startswith("changes came without t: generated columns are sent by PostgreSQL 18")
        assert (pauses(pair)["item"].stale, pair.rows("erp", THINGS)) == (True, [])


def test_nobody_writes_while_the_table_goes(fresh: Fresh) -> None:
    """No stream speaks of it: the tables are looked at now and then."""
    with fresh(CRM, ERP, *links("two ways")) as pair:
        settle(pair)
        write(pair, "ALTER TABLE item DROP t")
        settle(pair)
        assert pauses(pair)["item"].column == "t"


def test_only_what_it_reads_beside_has_changed(fresh: Fresh) -> None:
    """Nobody can tell which records that concerns while the link does not fit: all are copied anew."""
    with fresh(CRM + OF_OTHERS, ERP + OF_OTHERS, DERIVED, OTHER) as pair:
        write(pair, "INSERT INTO item VALUES (1, 'x', 10)", "INSERT INTO note VALUES (1, 1, 'one')")
        settle(pair)
        write(pair, "ALTER TABLE note RENAME t TO u", "UPDATE note SET u = 'uno'")
        settle(pair)
        assert (pauses(pair)["item"].stale, pair.rows("erp", THINGS)) == (True, [("one", 10)])
        write(pair, "ALTER TABLE note RENAME u TO t")
        [item] = [one for one in pair.config.links if one.name == "item"]
        go_on_if_it_fits(pair.config, {"crm": pair.crm, "erp": pair.erp}, [item], dry_run=False)
        settle(pair)
        until(pair, lambda: pair.rows("erp", THINGS) == [("uno", 10)])
