"""A customer goes: marked as deleted in the CRM, closed in the factories, whose books forbid more."""

from __future__ import annotations

from replicator.demo.scenarios.stage import Scenario, Stage

KEYED = """
insert into crm.account (name, kind, vat_number) values ('Fern & Moss Ltd', 'customer', 'GB811000099');
insert into crm.contact (account_id, last_name)
    select id, 'Fern' from crm.account where vat_number = 'GB811000099'"""
PARTY = "select party_no, name, closed_on from erp.party where tax_id = 'GB811000099'"
PERSON = "select family_name from erp.contact_person where family_name = 'Fern'"
GONE = """
update crm.contact set deleted_at = now() where last_name = 'Fern';
update crm.account set deleted_at = now() where vat_number = 'GB811000099'"""


def play(stage: Stage) -> None:
    stage.say("A customer with a contact, known in both factories.")
    stage.given("crm", KEYED)
    stage.settled()
    stage.sees("erp_north", PARTY, closed_on=None)
    stage.say("The company gives up its business: sales takes it out of the CRM.")
    stage.does("crm", GONE)
    stage.say("The factories close it; the contact is deleted there.")
    for node in ("erp_north", "erp_south"):
        stage.sees(node, PARTY.replace("closed_on", "closed_on is not null as closed"), closed=True)
        stage.sees_nothing(node, PERSON)
    stage.say("It was a mistake, and the south takes the party up again: it is back everywhere.")
    stage.does("erp_south", "update erp.party set closed_on = null where tax_id = 'GB811000099'")
    stage.sees("crm", "select name, deleted_at from crm.account where vat_number = 'GB811000099'", deleted_at=None)
    stage.sees("erp_north", PARTY, closed_on=None)


SCENARIO = Scenario("delete", "a customer is closed everywhere, and can come back", play)
