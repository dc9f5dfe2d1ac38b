"""What a CRM user of the demo does: keeps accounts and contacts, and negotiates quotes until they are confirmed.

A user's open quotes are that user's own, as a salesperson's are; accounts and contacts are everybody's.
Accounts that may be closed one day (see CLOSABLE_VAT) get no quotes and no contacts beyond the first.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import LiteralString

from replicator.demo.bulk import column
from replicator.demo.people import NOTES
from replicator.demo.quotes import TITLES
from replicator.demo.user import Edits, User, Work
from replicator.demo.world import CLOSABLE_VAT

OPEN_QUOTES_KEPT = 200
CONTESTED_KEPT = 24
LOOK_AGAIN = 1.0  # second

ANY_ACCOUNT: LiteralString = """
    SELECT id FROM crm.account
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL ORDER BY id LIMIT 1"""
LASTING_ACCOUNT: LiteralString = """
    SELECT id FROM crm.account
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL AND coalesce(vat_number, '') NOT LIKE %s
    ORDER BY id LIMIT 1"""
CLOSABLE_ACCOUNT: LiteralString = """
    SELECT id FROM crm.account
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL AND vat_number LIKE %s
      AND erp_customer_no IS NOT NULL
    ORDER BY id LIMIT 1"""
CONTESTED: LiteralString = """
    SELECT vat_number FROM crm.account
    WHERE erp_customer_no IS NOT NULL AND deleted_at IS NULL AND vat_number NOT LIKE %s
    ORDER BY id LIMIT %s"""
ANY_CONTACT: LiteralString = """
    SELECT id FROM crm.contact
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL ORDER BY id LIMIT 1"""
ANY_PRODUCT: LiteralString = """
    SELECT id, list_price FROM crm.product
    WHERE id >= (SELECT gen_random_uuid()) AND active ORDER BY id LIMIT 1"""
OPEN_QUOTES: LiteralString = """
    SELECT id FROM crm.quote
    WHERE stage IN ('draft', 'negotiation') AND abs(hashtext(id::text) %% %s) = %s LIMIT %s"""
NEW_ACCOUNT: LiteralString = """
    INSERT INTO crm.account (name, vat_number, street, zip, city, country_code, phone, website, status, account_manager)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id"""
NEW_CONTACT: LiteralString = """
    INSERT INTO crm.contact (account_id, first_name, last_name, email, phone, job_title, opted_in)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
NEW_QUOTE: LiteralString = """
    INSERT INTO crm.quote (account_id, title, note, valid_until) VALUES (%s, %s, %s, current_date + 30) RETURNING id"""
NEW_LINE: LiteralString = """
    INSERT INTO crm.quote_line (quote_id, position, product_id, quantity, unit_price, discount_percent)
    SELECT %s, coalesce(max(position), 0) + 1, %s, %s, %s, %s FROM crm.quote_line WHERE quote_id = %s"""
CONFIRM: LiteralString = """
    UPDATE crm.quote SET stage = 'confirmed', confirmed_at = now(), updated_at = now()
    WHERE id = %s AND EXISTS (SELECT 1 FROM crm.quote_line l WHERE l.quote_id = quote.id)"""

LAPSE_CONTACTS: LiteralString = "UPDATE crm.contact SET deleted_at = now() WHERE account_id = %s AND deleted_at IS NULL"
CLOSE: LiteralString = "UPDATE crm.account SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL"
DELETE_CONTACT: LiteralString = "UPDATE crm.contact SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL"
OPT: LiteralString = "UPDATE crm.contact SET opted_in = NOT opted_in, updated_at = now() WHERE id = %s"
SET_STANDING: LiteralString = "UPDATE crm.account SET status = %s, segment = %s, updated_at = now() WHERE id = %s"
SET_CREDIT_LIMIT: LiteralString = "UPDATE crm.account SET credit_limit = %s, updated_at = now() WHERE id = %s"
NEXT_ROUND: LiteralString = "UPDATE crm.quote SET stage = 'negotiation', note = %s, updated_at = now() WHERE id = %s"
REJECT: LiteralString = "UPDATE crm.quote SET stage = 'rejected', updated_at = now() WHERE id = %s"
CHANGE_LINE: LiteralString = """
    UPDATE crm.quote_line SET quantity = %s, discount_percent = %s
    WHERE id = (SELECT id FROM crm.quote_line WHERE quote_id = %s ORDER BY random() LIMIT 1)"""
REMOVE_LINE: LiteralString = """
    DELETE FROM crm.quote_line
    WHERE id = (SELECT id FROM crm.quote_line WHERE quote_id = %(quote)s ORDER BY random() LIMIT 1)
      AND (SELECT count(*) FROM crm.quote_line WHERE quote_id = %(quote)s) > 1"""

ACCOUNT_EDITS: Edits = (
    ("UPDATE crm.account SET phone = %s, updated_at = now() WHERE id = %s", ("phone",)),
    ("UPDATE crm.account SET website = %s, updated_at = now() WHERE id = %s", ("website",)),
    ("UPDATE crm.account SET name = %s, updated_at = now() WHERE id = %s", ("name",)),
    (
        "UPDATE crm.account SET street = %s, zip = %s, city = %s, country_code = %s, updated_at = now() WHERE id = %s",
        ("street", "zip", "city", "country"),
    ),
)
CONTESTED_EDITS: Edits = (  # field by field what the ERP's users edit too
    ("UPDATE crm.account SET phone = %s, updated_at = now() WHERE vat_number = %s", ("phone",)),
    ("UPDATE crm.account SET name = %s, updated_at = now() WHERE vat_number = %s", ("name",)),
    ("UPDATE crm.account SET city = %s, updated_at = now() WHERE vat_number = %s", ("city",)),
)
CONTACT_EDITS: Edits = (
    ("UPDATE crm.contact SET phone = %s, updated_at = now() WHERE id = %s", ("phone",)),
    ("UPDATE crm.contact SET email = %s, updated_at = now() WHERE id = %s", ("email",)),
    ("UPDATE crm.contact SET last_name = %s, email = %s, updated_at = now() WHERE id = %s", ("last", "email")),
    ("UPDATE crm.contact SET job_title = %s, phone = %s, updated_at = now() WHERE id = %s", ("title", "phone")),
)


class CrmUser(User):
    system = "crm"

    def begin(self) -> None:
        number, users = self.seat
        self.open_quotes: list[uuid.UUID] = column(self.db, OPEN_QUOTES, [users, number, OPEN_QUOTES_KEPT])
        self.confirmed: list[uuid.UUID] = []
        self._looked = 0.0

    def work(self) -> list[Work]:
        return [
            (16, "edit account", self.edit_account),
            (8, "edit contested customer", self.edit_contested),
            (3, "try to set a credit limit", self.try_credit_limit),
            (5, "create account", self.create_account),
            (5, "create contact", self.create_contact),
            (14, "edit contact", self.edit_contact),
            (3, "delete contact", self.delete_contact),
            (1, "close account", self.close_account),
            (6, "create quote", self.create_quote),
            (22, "negotiate", self.negotiate),
            (5, "confirm quote", self.confirm_quote),
            (2, "amend confirmed quote", self.amend_confirmed_quote),
            (1, "reject quote", self.reject_quote),
            (1, "drop quote", self.drop_quote),
        ]

    # -- accounts and contacts

    def edit_account(self) -> bool:
        account = self.one(ANY_ACCOUNT)
        if account is None:
            return False
        if self.random.random() < 0.2:
            standing = (self.random.choice(("active", "dormant", "prospect")), self.random.choice(("key", "small")))
            return self.changed(SET_STANDING, [*standing, account[0]])
        return self.edit(ACCOUNT_EDITS, self.company(), account[0])

    def edit_contested(self) -> bool:
        """The same field of the same customer that the others, here and in the ERP, are editing right now."""
        if time.monotonic() - self._looked > LOOK_AGAIN:
            self._looked = time.monotonic()
            self.office.contested = column(self.db, CONTESTED, [CLOSABLE_VAT, CONTESTED_KEPT])
        target = self.office.target()
        if target is None:
            return False
        vat, which = target
        return self.edit((CONTESTED_EDITS[which % len(CONTESTED_EDITS)],), self.company(), vat)

    def try_credit_limit(self) -> bool:
        """Finance decides it, in the ERP: the replicator is to put it back."""
        account = self.one(ANY_ACCOUNT)
        return account is not None and self.changed(SET_CREDIT_LIMIT, [self.random.randrange(1_000, 99_999), *account])

    def create_account(self) -> bool:
        c = self.company()
        c = dataclasses.replace(c, vat=self.new_vat(c.country))
        address = (c.name, c.vat, c.street, c.zip, c.city, c.country, c.phone, c.website)
        account = self.one(NEW_ACCOUNT, [*address, self.random.choice(("active", "prospect")), self.name])
        assert account is not None
        for _ in range(self.random.randrange(3)):
            self._new_contact(account[0])
        if self.random.random() < 0.15 and not str(c.vat).endswith(CLOSABLE_VAT[-1]):
            self.office.just_keyed.append(c)
        return True

    def create_contact(self) -> bool:
        account = self.one(LASTING_ACCOUNT, [CLOSABLE_VAT])
        if account is None:
            return False
        self._new_contact(account[0])
        return True

    def _new_contact(self, account: uuid.UUID) -> None:
        p = self.person()
        opted_in = self.random.random() < 0.4
        self.db.execute(NEW_CONTACT, [account, p.first, p.last, p.email, p.phone, p.title, opted_in])

    def edit_contact(self) -> bool:
        contact = self.one(ANY_CONTACT)
        if contact is None:
            return False
        return self.changed(OPT, contact) if self.random.random() < 0.2 else self._edit_person(contact[0])

    def _edit_person(self, contact: uuid.UUID) -> bool:
        return self.edit(CONTACT_EDITS, self.person(), contact)

    def delete_contact(self) -> bool:
        contact = self.one(ANY_CONTACT)
        return contact is not None and self.changed(DELETE_CONTACT, contact)

    def close_account(self) -> bool:
        account = self.one(CLOSABLE_ACCOUNT, [CLOSABLE_VAT])
        if account is None:
            return False
        self.db.execute(LAPSE_CONTACTS, account)
        return self.changed(CLOSE, account)

    # -- quotes

    def create_quote(self) -> bool:
        account = self.one(LASTING_ACCOUNT, [CLOSABLE_VAT])
        if account is None or self.one(ANY_PRODUCT) is None:
            return False
        quote = self.one(NEW_QUOTE, [account[0], self.random.choice(TITLES), self._note()])
        assert quote is not None
        for _ in range(self.random.randint(1, 6)):
            self._add_line(quote[0])
        self.open_quotes.append(quote[0])
        return True

    def negotiate(self) -> bool:
        """A round: a line changed, added or taken away."""
        if not self.open_quotes:
            return False
        quote = self.random.choice(self.open_quotes)
        chance = self.random.random()
        if chance < 0.5:
            self.changed(CHANGE_LINE, [self._quantity(), self._discount(), quote])
        elif chance < 0.8:
            self._add_line(quote)
        else:
            self.db.execute(REMOVE_LINE, {"quote": quote})
        return self.changed(NEXT_ROUND, [self._note(), quote])

    def confirm_quote(self) -> bool:
        quote = self._take_quote()
        if quote is None or not self.changed(CONFIRM, [quote]):
            return False
        self.confirmed = [*self.confirmed[-50:], quote]
        return True

    def amend_confirmed_quote(self) -> bool:
        """The customer calls again: another quantity on an order that the ERP may have already."""
        if not self.confirmed:
            return False
        return self.changed(CHANGE_LINE, [self._quantity(), self._discount(), self.random.choice(self.confirmed)])

    def reject_quote(self) -> bool:
        quote = self._take_quote()
        return quote is not None and self.changed(REJECT, [quote])

    def drop_quote(self) -> bool:
        quote = self._take_quote()
        if quote is None:
            return False
        self.db.execute("DELETE FROM crm.quote_line WHERE quote_id = %s", [quote])
        return self.changed("DELETE FROM crm.quote WHERE id = %s", [quote])

    def _take_quote(self) -> uuid.UUID | None:
        """One of the user's open quotes, which then is open no more."""
        if not self.open_quotes:
            return None
        return self.open_quotes.pop(self.random.randrange(len(self.open_quotes)))

    def _add_line(self, quote: uuid.UUID) -> None:
        product = self.one(ANY_PRODUCT)
        if product is not None:
            self.db.execute(NEW_LINE, [quote, product[0], self._quantity(), product[1], self._discount(), quote])

    def _quantity(self) -> str:
        return self.random.choice(("1", "2", "5", "10", "12.50", "100", "0.75"))

    def _discount(self) -> str:
        return self.random.choice(("0", "0", "3", "5", "7.50", "10"))

    def _note(self) -> str | None:
        return self.random.choice((None, *NOTES))
