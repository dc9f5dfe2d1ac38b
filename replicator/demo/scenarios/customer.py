"""A customer is entered once, wherever that is."""

from __future__ import annotations

from replicator.demo.scenarios.stage import Scenario, Stage

KEYED = """
insert into crm.account (name, kind, vat_number, phone)
    values ('Halvorsen Kjøkken AS', 'customer', 'NO918273645', '+47 22 11 00 99');
insert into crm.address (account_id, kind, street, zip, city, country_code)
    select id, 'billing', 'Storgata 12', '0155', 'Oslo', 'NO' from crm.account where vat_number = 'NO918273645';
insert into crm.contact (account_id, first_name, last_name, email, opted_in)
    select id, 'Ingrid', 'Dahl', 'ingrid@halvorsen.example', true from crm.account where vat_number = 'NO918273645'"""
PARTY = """
select p.party_no, p.name, a.street, a.town, k.iso2, m.value as phone, c.family_name as contact, c.newsletter
from erp.party p
join erp.party_address a using (party_no) join erp.country k on k.id = a.country_id
join erp.contact_mechanism m using (party_no) join erp.contact_person c using (party_no)
where p.tax_id = 'NO918273645' and m.kind = 'phone'"""
TERMS = """
select t.factory, t.customer_no, t.credit_limit, t.payment_terms
from crm.account_terms t join crm.account a on a.id = t.account_id
where a.vat_number = 'NO918273645' order by t.credit_limit desc, t.factory"""
GRANTED = """
update erp.credit set credit_limit = 50000, reviewed_on = current_date
where party_no = (select party_no from erp.party where tax_id = 'NO918273645')"""
NEW_NUMBER = """
update erp.contact_mechanism set value = '+47 22 11 00 10'
where kind = 'phone' and party_no = (select party_no from erp.party where tax_id = 'NO918273645')"""


def play(stage: Stage) -> None:
    stage.say("Sales keys a new customer in the CRM, with an address and a contact.")
    stage.does("crm", KEYED)
    stage.say("Both factories have it, with numbers and country codes of their own.")
    stage.sees("erp_north", PARTY, phone="+47 22 11 00 99", newsletter=True)
    stage.sees("erp_south", PARTY, phone="+47 22 11 00 99", newsletter=True)
    stage.say("Their finance has opened an account each, and nothing is granted yet: sales sees that.")
    stage.sees("crm", TERMS, credit_limit=0)
    stage.say("The south's finance grants a credit; it is theirs to decide.")
    stage.does("erp_south", GRANTED)
    stage.sees("crm", TERMS, factory="SOUTH", credit_limit=50000)
    stage.say("The customer calls the north: a new telephone number. It is the same customer in the CRM and in the south.")
    stage.does("erp_north", NEW_NUMBER)
    stage.sees("crm", "select name, phone from crm.account where vat_number = 'NO918273645'", phone="+47 22 11 00 10")
    stage.sees("erp_south", PARTY, phone="+47 22 11 00 10")


SCENARIO = Scenario("customer", "a customer is entered once and known in the CRM and in both factories", play)
