"""Two people edit one field at the same time; both sides end alike, and the log says why."""

from __future__ import annotations

from replicator.demo.scenarios.stage import Scenario, Stage

CRM = "select name, vat_number from crm.account where vat_number = 'ES811000003'"
ERP = "select name, tax_id from erp.party where tax_id = 'ES811000003'"


def play(stage: Stage) -> None:
    stage.say("The company has a new name. Sales types it in the CRM, and somebody in the north a moment later, another way.")
    stage.at_once(
        [
            ("crm", "update crm.account set name = 'Costa y Hijos SA' where vat_number = 'ES811000003'"),
            ("erp_north", "update erp.party set name = 'Costa & Hijos, S.A.' where tax_id = 'ES811000003'"),
        ]
    )
    stage.say("The later edit stands, in all three, and nothing is lost in silence.")
    for node, sql in (("crm", CRM), ("erp_north", ERP), ("erp_south", ERP)):
        stage.sees(node, sql, name="Costa & Hijos, S.A.")
    stage.explains("customer", "name")


SCENARIO = Scenario("conflict", "two people edit one field at the same time, and the log explains who won", play)
