"""One quote, two factories: each gets its part of the order."""

from __future__ import annotations

from replicator.demo.scenarios.sale import confirm, order_at, quote, sales_order
from replicator.demo.scenarios.stage import Scenario, Stage

TITLE = "Refit of hall 3"


def play(stage: Stage) -> None:
    stage.say(
        "One quote: valves, which the north makes, a drive, which the south makes, and pumps, which sales gives to the south."
    )
    lines = [("VALVE-12", "NORTH", 80, 36.5), ("DRIVE-7", "SOUTH", 2, 980), ("PUMP-40", "SOUTH", 4, 420)]
    stage.does("crm", quote(TITLE, "ATU81100002", lines))
    stage.say("It is confirmed: an order in each factory, with the lines that are made there.")
    stage.does("crm", confirm(TITLE))
    north = stage.sees("erp_north", order_at(TITLE), code="VALVE-12", net_amount=2920)
    south = stage.sees("erp_south", order_at(TITLE), code="DRIVE-7", net_amount=3640)
    stage.say("In the CRM it is one quote with two order numbers.")
    stage.sees("crm", sales_order(TITLE), factory="NORTH", order_no=north["order_no"])
    stage.sees("crm", f"{sales_order(TITLE)} desc", factory="SOUTH", order_no=south["order_no"])
    stage.say("The customer steps back, and neither part is shipped yet: both factories' own rules cancel it.")
    stage.does("crm", f"update crm.quote set cancelled_at = now() where title = '{TITLE}'")
    stage.sees("crm", sales_order(TITLE), factory="NORTH", status="cancelled")
    stage.sees("crm", f"{sales_order(TITLE)} desc", factory="SOUTH", status="cancelled")


SCENARIO = Scenario("split", "one quote is made in two factories: two orders, one answer", play)
