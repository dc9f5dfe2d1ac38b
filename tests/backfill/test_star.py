"""What one node had already is passed on by the hub to the others, and gives way there to what people edit meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from replicator.demo.servers import Server
from tests.two_way.nodes import STAR_3, Nodes, tree

HUB, NORTH, SOUTH = "n1", "n2", "n3"
TO_NORTH, TO_SOUTH = (HUB, NORTH), (HUB, SOUTH)


@pytest.fixture
def nodes(server: Server, tmp_path: Path) -> Iterator[Nodes]:
    with tree(server, tmp_path, STAR_3) as found:
        yield found


def had(nodes: Nodes, node: str, peer: str, tag: str, name: str) -> None:
    """A record from before the replicator."""
    connection = nodes.users[node]
    while True:
        try:
            connection.execute("SELECT pg_replication_origin_session_setup(%s)", (f"replicator_{peer}_to_{node}",))
            break
        except psycopg.errors.ObjectInUse:
            continue
    nodes.create(node, tag, {"name": name, "city": "old", "score": 1, "note": "old"})
    connection.execute("SELECT pg_replication_origin_session_reset()")


def copy(nodes: Nodes, source: str, target: str, link: str) -> None:
    nodes.users[target].execute(
        "INSERT INTO replicator.backfill (flow, link, why) VALUES (%s, %s, 'backfill')", (f"{source}_to_{target}", link)
    )
    pair = TO_NORTH if NORTH in (source, target) else TO_SOUTH
    for flow in nodes.exchange(pair).flows:
        flow.backfill.load()


def test_from_one_neighbour_to_all(nodes: Nodes) -> None:
    for number in range(5):
        had(nodes, NORTH, HUB, f"old-{number}", f"north {number}")
    had(nodes, SOUTH, HUB, "old-1", "south 1")  # both have it
    copy(nodes, NORTH, HUB, "customer_2")
    nodes.settle()
    nodes.edit(SOUTH, "old-2", name="edited in the south")
    nodes.edit(HUB, "old-3", city="edited at the hub")
    copy(nodes, NORTH, HUB, "customer_2")
    copy(nodes, HUB, NORTH, "customer_2")
    copy(nodes, HUB, SOUTH, "customer_3")
    copy(nodes, SOUTH, HUB, "customer_3")
    nodes.settle()
    found = nodes.records("old-%")
    assert found[HUB] == found[NORTH] == found[SOUTH]
    assert len(found[HUB]) == 5
    assert found[HUB]["old-2"][0] == "edited in the south"
    assert found[HUB]["old-3"][1] == "edited at the hub"
    assert found[HUB]["old-0"] == ("north 0", "old", 1.0, "old")
    assert nodes.parked() == []
