"""Promise: what the replicator writes never comes back: nothing is applied, nothing is sent when nobody changes a thing."""

from __future__ import annotations

from tests.apply.conftest import Fresh
from tests.apply.driving import parked
from tests.two_way.pair_of_nodes import Pair

LINK = """
link: item
crm: {table: item, key: id}
erp: {table: item, key: no}
fields:
  - {crm: name, erp: name}
  - {crm: price, erp: price}
  - {crm: at, erp: at}
  - {crm: credit, erp: credit, rule: erp}
  - {crm: no, erp: no, to: crm}
"""
CRM = "CREATE TABLE item (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, price numeric(12,2), at timestamptz, credit numeric, no integer)"
# The ERP rounds prices, and its trigger changes names on the way in: neither may start a game of ping-pong.
ERP = """
CREATE TABLE item (no serial PRIMARY KEY, name text, price double precision, at timestamp(0), credit numeric DEFAULT 1.50);
CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION tidy();
"""
BOTH = "SELECT name, price::numeric::text, credit::text FROM item ORDER BY name"


def done(pair: Pair) -> list[tuple[int, dict[str, int]]]:
    """What each flow has written so far."""
    return [(flow.totals.changes, dict(flow.totals.written)) for flow in pair.exchange.flows]


def test_nothing_goes_round_in_circles(fresh: Fresh) -> None:
    with fresh(CRM, ERP, LINK) as pair:
        pair.crm.execute(
            "INSERT INTO item (name, price, at, credit) VALUES ('a', 0.10, '2024-01-01 00:00:00.6', 7), ('b', NULL, NULL, NULL)"
        )
        pair.erp.execute("INSERT INTO item (name, price, at) VALUES ('c', 1e-9, now()), ('d', 'NaN', 'infinity')")
        pair.settle()
        pair.crm.execute("UPDATE item SET name = name || '!', price = price + 1")
        pair.erp.execute("UPDATE item SET credit = 3.1415")
        pair.settle()
        assert len(pair.rows("crm", BOTH)) == 4
        before = done(pair)
        pair.crash()
        pair.settle()
        assert done(pair) == [(0, {}), (0, {})]
        pair.settle()
        assert done(pair) == [(0, {}), (0, {})]
        assert all(changes > 0 for changes, _ in before)
        assert parked(pair) == []


def test_an_echo_is_not_even_a_batch(fresh: Fresh) -> None:
    with fresh(CRM, ERP, LINK.replace("  - {crm: no, erp: no, to: crm}\n", "")) as pair:
        pair.settle()
        pair.crm.execute("INSERT INTO item (name, price) SELECT upper(md5(i::text)), i FROM generate_series(1, 50) i")
        pair.crm.execute("UPDATE item SET credit = 1.50")
        pair.settle()
        there, back = pair.exchange.flows
        assert there.totals.changes == 100
        # the CRM's empty `credit` is owned by the ERP, so its value returns: that alone goes back, and only once
        assert back.totals.changes == 0
        assert back.totals.written.get("insert", 0) == 0
        written = done(pair)
        for _ in range(5):
            assert all(step.batch.rows == 0 for step in pair.turn())
        assert done(pair) == written


def test_what_another_origin_wrote_is_a_users_change(fresh: Fresh) -> None:
    """Only our own origin is ignored where the server can tell (15); from 16 on the server leaves out every origin's."""
    with fresh(CRM, ERP, LINK) as pair:
        pair.crm.execute("INSERT INTO item (name) VALUES ('X')")
        pair.settle()
        pair.erp.execute(
            "SET session_replication_role = replica; UPDATE item SET name = 'BY A REPLICA ROLE'; RESET session_replication_role"
        )
        pair.settle()
        assert pair.rows("crm", "SELECT name FROM item") == [("BY A REPLICA ROLE",)]
