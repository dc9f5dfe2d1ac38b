"""What passes through a node on its way from one neighbour to another, case by case: n1 is the CRM, n2 and n3 are ERPs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from replicator.capture.batch import Batch
from replicator.demo.servers import Server
from replicator.mapping.config import load_config
from replicator.model import stamp
from tests.two_way.nodes import STAR_3, Nodes, tree

HUB, NORTH, SOUTH = "n1", "n2", "n3"
TO_NORTH, TO_SOUTH = (HUB, NORTH), (HUB, SOUTH)
OUT, BACK = 0, 1  # the flows of an exchange: from the hub, to the hub
SECONDS = 1_000_000


@pytest.fixture(scope="module")
def star(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with tree(server, tmp_path_factory.mktemp("passing"), STAR_3) as found:
        yield found


@pytest.fixture
def nodes(star: Nodes, request: pytest.FixtureRequest) -> Nodes:
    """With a record named like the test on every node."""
    star.create(NORTH, request.node.originalname, {"name": "first", "city": "first", "score": 1, "note": "first"})
    star.settle()
    return star


@pytest.fixture
def tag(request: pytest.FixtureRequest) -> str:
    return request.node.originalname  # type: ignore[no-any-return]


def ends(nodes: Nodes, tag: str) -> set[object]:
    """What the nodes have of the record: one element if they agree."""
    nodes.settle()
    assert nodes.parked() == []
    return {rows.get(tag) for rows in nodes.records(tag).values()}


def until(nodes: Nodes, pair: tuple[str, str], flow: int) -> None:
    while not nodes.turn(pair, flow):
        nodes.exchange(pair).wait(0.02)


def batch_of(nodes: Nodes, pair: tuple[str, str]) -> Batch:
    """What the flow from the hub reads next."""
    while True:
        batch = nodes.exchange(pair).flows[OUT].stream.read(1000)
        if batch is not None and batch.links:
            return batch
        nodes.exchange(pair).wait(0.02)


def remembered(nodes: Nodes, node: str, link: str) -> list[int]:
    """Stamps of what was written on the node by this link, newest last."""
    return [row[0] for row in nodes.rows(node, f"SELECT stamp FROM replicator.ledger_{link} ORDER BY lsn")]


def test_an_edit_keeps_its_stamp_on_the_way_and_beats_an_older_one(nodes: Nodes, tag: str) -> None:
    nodes.edit(SOUTH, tag, name="older", city="south")
    nodes.edit(NORTH, tag, name="newer")
    until(nodes, TO_NORTH, BACK)
    until(nodes, TO_SOUTH, OUT)  # the older one, still unread, is written over
    until(nodes, TO_SOUTH, BACK)
    assert ends(nodes, tag) == {("newer", "south", 1.0, "first")}
    on_hub, in_south = remembered(nodes, HUB, "customer_2")[-1], remembered(nodes, SOUTH, "customer_3")[-1]
    assert on_hub == in_south
    assert stamp.node_of(in_south) == 2


def test_an_older_edit_that_arrives_late_is_beaten_everywhere(nodes: Nodes, tag: str) -> None:
    nodes.edit(NORTH, tag, name="older")
    nodes.edit(SOUTH, tag, name="newer")
    until(nodes, TO_SOUTH, BACK)
    until(nodes, TO_NORTH, BACK)  # written over the newer one, which this exchange has not read yet
    assert nodes.records(tag)[HUB][tag][0] == "older"
    until(nodes, TO_SOUTH, OUT)
    assert ends(nodes, tag) == {("newer", "first", 1.0, "first")}


def test_of_two_changes_in_one_batch_the_greater_stamp_stays(nodes: Nodes, tag: str) -> None:
    """Three edits, the newest first written on the hub: no exchange sees the one that it wrote over otherwise."""
    nodes.edit(NORTH, tag, name="oldest")
    nodes.edit(SOUTH, tag, name="older")
    nodes.edit(HUB, tag, name="newest")
    until(nodes, TO_SOUTH, BACK)
    until(nodes, TO_NORTH, BACK)
    assert ends(nodes, tag) == {("newest", "first", 1.0, "first")}


def test_what_is_written_back_over_a_third_nodes_value_is_told_to_all(nodes: Nodes, tag: str) -> None:
    """Found with two exchanges at work at once: written over twice and read late by both, the hub's edit is written back once,
    by the exchange with the south; the south has been sent the north's older value meanwhile."""
    nodes.edit(SOUTH, tag, name="oldest")
    nodes.edit(NORTH, tag, name="older")
    nodes.edit(HUB, tag, name="newest")
    until(nodes, TO_SOUTH, BACK)
    exchange = nodes.exchange(TO_SOUTH)
    exchange.flows[OUT]._pending = batch_of(nodes, TO_SOUTH)  # read, and not written yet
    until(nodes, TO_NORTH, BACK)
    until(nodes, TO_SOUTH, OUT)
    assert nodes.records(tag)[HUB][tag][0] == "newest"
    assert ends(nodes, tag) == {("newest", "first", 1.0, "first")}


def test_a_value_that_was_there_already_is_passed_on_with_its_stamp(nodes: Nodes, tag: str) -> None:
    nodes.edit(HUB, tag, name="same")
    nodes.edit(SOUTH, tag, name="between")
    nodes.edit(NORTH, tag, name="same")
    until(nodes, TO_NORTH, BACK)  # changes nothing on the hub, but is newer than what the south has to say
    assert ends(nodes, tag) == {("same", "first", 1.0, "first")}


def test_a_delete_passes_on(nodes: Nodes, tag: str) -> None:
    nodes.edit(SOUTH, tag, name="unseen")
    nodes.delete(NORTH, tag)
    assert ends(nodes, tag) == {None}


def test_a_record_passes_on_with_what_the_hub_made_of_it(star: Nodes) -> None:
    hub = star.users[HUB]
    hub.execute("ALTER TABLE crm.account ALTER city SET DEFAULT 'by default'")
    try:
        star.users[NORTH].execute("INSERT INTO erp.customer (code, company, points, town) VALUES ('born', 'a', 1, 'b')")
        assert ends(star, "born") == {("a", "b", 1.0, None)}
    finally:
        hub.execute("ALTER TABLE crm.account ALTER city DROP DEFAULT")


def test_what_a_trigger_of_the_hub_changes_beside_goes_to_both(nodes: Nodes, tag: str) -> None:
    """The trigger's change is the hub's, of the moment it was made: it beats older edits of that column, a newer one beats it."""
    hub = nodes.users[HUB]
    hub.execute(
        "CREATE FUNCTION crm.noted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.name <> OLD.name THEN NEW.note := 'was ' || OLD.name; END IF; RETURN NEW; END $$"
    )
    hub.execute("CREATE TRIGGER noted BEFORE UPDATE ON crm.account FOR EACH ROW EXECUTE FUNCTION crm.noted()")
    nodes.crash()  # triggers are looked up when the daemon starts
    try:
        nodes.edit(NORTH, tag, name="a")
        nodes.edit(SOUTH, tag, note="older")
        until(nodes, TO_NORTH, BACK)
        assert ends(nodes, tag) == {("a", "first", 1.0, "was first")}
        nodes.edit(SOUTH, tag, name="b")
        until(nodes, TO_SOUTH, BACK)
        nodes.edit(NORTH, tag, note="newer")
        assert ends(nodes, tag) == {("b", "first", 1.0, "newer")}
    finally:
        hub.execute("DROP TRIGGER noted ON crm.account; DROP FUNCTION crm.noted")
        nodes.crash()


def test_users_of_the_hub_answer_one_whose_clock_is_ahead(nodes: Nodes, tag: str) -> None:
    """The step of the hub's clock stands in its log, and both flows that read the hub take it, also after a restart."""
    nodes.crash()
    nodes.ahead = {NORTH: 30 * SECONDS}
    try:
        nodes.edit(NORTH, tag, name="of the future")
        until(nodes, TO_NORTH, BACK)
        nodes.edit(HUB, tag, name="in answer")
        until(nodes, TO_SOUTH, OUT)
        nodes.crash()
        nodes.edit(SOUTH, tag, name="in answer to the answer")
        assert ends(nodes, tag) == {("in answer to the answer", "first", 1.0, "first")}
        nodes.crash()
        nodes.edit(HUB, tag, name="last")
        assert ends(nodes, tag) == {("last", "first", 1.0, "first")}
    finally:
        nodes.set_clocks_right()


def test_nothing_echoes(nodes: Nodes, tag: str) -> None:
    """One edit is one update of each node's row, and then there is peace."""
    nodes.edit(NORTH, tag, name="once")
    assert ends(nodes, tag) == {("once", "first", 1.0, "first")}
    sql = "SELECT xmin::text FROM {} WHERE {} = %s"
    places = {HUB: ("crm.account", "tag"), NORTH: ("erp.customer", "code"), SOUTH: ("erp.customer", "code")}
    before = {node: nodes.rows(node, sql.format(*place), (tag,)) for node, place in places.items()}
    nodes.settle()
    assert before == {node: nodes.rows(node, sql.format(*place), (tag,)) for node, place in places.items()}


def test_a_lock_that_another_exchange_holds_is_waited_for(nodes: Nodes, tag: str) -> None:
    """Both exchanges write the hub's row; what is locked is tried again, and the other one goes on."""
    with psycopg.connect(nodes.environ["N1_DSN"]) as other:
        other.execute("SELECT FROM crm.account WHERE tag = %s FOR UPDATE", (tag,))
        nodes.edit(NORTH, tag, name="waits")
        nodes.edit(SOUTH, tag, city="waits too")
        for _ in range(3):
            for pair in (TO_NORTH, TO_SOUTH):
                nodes.turn(pair)
        assert nodes.records(tag)[HUB][tag] == ("first", "first", 1.0, "first")
    while nodes.parked():  # each has its time; the daemon asks every second
        for pair in nodes.pairs:
            for flow in nodes.exchange(pair).flows:
                flow.ask_for_retries()
        nodes.settle()
    assert ends(nodes, tag) == {("waits", "waits too", 1.0, "first")}


def test_a_ring_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    for name, one, other in (("a", "n1", "n2"), ("b", "n2", "n3"), ("c", "n3", "n1")):
        sides = "\n".join(f"{node}: {{table: s.person, key: id}}" for node in (one, other))
        (tmp_path / "mappings" / f"{name}.yaml").write_text(
            f"link: {name}\n{sides}\nfields:\n  - {{{one}: name, {other}: name}}\n"
        )
    nodes = "".join(f'  {n}: {{engine: postgres, dsn: "${{{n.upper()}_DSN}}"}}\n' for n in ("n1", "n2", "n3"))
    (tmp_path / "replicator.yaml").write_text(f"nodes:\n{nodes}mappings: mappings\n")
    _, findings = load_config(tmp_path / "replicator.yaml", {})
    assert [f.code for f in findings] == ["L409"]
