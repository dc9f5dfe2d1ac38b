"""What salespeople of the demo do in the CRM: keep accounts and contacts, and negotiate quotes until they are confirmed.

A user's open quotes are that user's own, as a salesperson's are; accounts and contacts are everybody's.
Accounts that may be closed one day (see CLOSABLE_VAT) get no quotes, no edits and no contacts beyond
the first, and are closed when all systems have known them for a while.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import LiteralString

from replicator.demo.bulk import column
from replicator.demo.factory_world import CLOSABLE_VAT
from replicator.demo.people import NOTES
from replicator.demo.quotes import TITLES
from replicator.demo.user import Edits, User, Work

OPEN_QUOTES_KEPT = 200
CONTESTED_KEPT = 24
LOOK_AGAIN = 1.0  # second

EDITED_ACCOUNT: LiteralString = """
    SELECT id FROM crm.account
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL AND coalesce(vat_number, '') NOT LIKE %s ORDER BY id LIMIT 1"""
LASTING_ACCOUNT: LiteralString = """
    SELECT id FROM crm.account
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL AND kind <> 'prospect' AND coalesce(vat_number, '') NOT LIKE %s
    ORDER BY id LIMIT 1"""
CLOSABLE_ACCOUNT: LiteralString = """
    SELECT id FROM crm.account a
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL AND vat_number LIKE %s AND kind <> 'prospect'
      AND created_at < now() - interval '20 seconds'
      AND parent_id IS NULL AND NOT EXISTS (SELECT 1 FROM crm.account b WHERE b.parent_id = a.id)
    ORDER BY id LIMIT 1"""
CONTESTED: LiteralString = """
    SELECT vat_number FROM crm.account a
    WHERE deleted_at IS NULL AND vat_number NOT LIKE %s AND kind <> 'prospect'
      AND (SELECT count(*) FROM crm.account_terms t WHERE t.account_id = a.id) > 1
    ORDER BY id LIMIT %s"""
ANY_PROSPECT: LiteralString = """
    SELECT id FROM crm.account
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL AND kind = 'prospect' ORDER BY id LIMIT 1"""
ANY_CONTACT: LiteralString = """
    SELECT id FROM crm.contact
    WHERE id >= (SELECT gen_random_uuid()) AND deleted_at IS NULL ORDER BY id LIMIT 1"""
LASTING_ADDRESS: LiteralString = """
    SELECT d.id FROM crm.address d JOIN crm.account a ON a.id = d.account_id
    WHERE d.id >= (SELECT gen_random_uuid()) AND coalesce(a.vat_number, '') NOT LIKE %s ORDER BY d.id LIMIT 1"""
ANY_PRODUCT: LiteralString = """
    SELECT p.id, p.list_price, (SELECT s.factory FROM crm.product_site s WHERE s.product_id = p.id ORDER BY random() LIMIT 1)
    FROM crm.product p
    WHERE id >= (SELECT gen_random_uuid()) AND active AND EXISTS (SELECT 1 FROM crm.product_site s WHERE s.product_id = p.id)
    ORDER BY id LIMIT 1"""
OPEN_QUOTES: LiteralString = """
    SELECT id FROM crm.quote
    WHERE stage IN ('draft', 'negotiation') AND abs(hashtext(id::text) %% %s) = %s LIMIT %s"""
NEW_ACCOUNT: LiteralString = """
    INSERT INTO crm.account (name, vat_number, phone, email, website, kind, account_manager)
    VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"""
NEW_ADDRESS: LiteralString = """
    INSERT INTO crm.address (account_id, kind, street, zip, city, country_code) VALUES (%s, %s, %s, %s, %s, %s)"""
NEW_CONTACT: LiteralString = """
    INSERT INTO crm.contact (account_id, first_name, last_name, email, phone, job_title, opted_in)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
NEW_QUOTE: LiteralString = """
    INSERT INTO crm.quote (account_id, title, note, wanted_on) VALUES (%s, %s, %s, current_date + 30) RETURNING id"""
NEW_LINE: LiteralString = """
    INSERT INTO crm.quote_line (quote_id, position, product_id, factory, quantity, unit_price, discount_percent)
    SELECT %s, coalesce(max(position), 0) + 1, %s, %s, %s, %s, %s FROM crm.quote_line WHERE quote_id = %s"""
SETTLE_FACTORIES: LiteralString = """
    UPDATE crm.quote_line l
    SET factory = (SELECT s.factory FROM crm.product_site s WHERE s.product_id = l.product_id ORDER BY s.factory LIMIT 1)
    WHERE quote_id = %s AND factory IS NULL"""
CONFIRM: LiteralString = """
    UPDATE crm.quote SET stage = 'confirmed', confirmed_at = now()
    WHERE id = %s AND EXISTS (SELECT 1 FROM crm.quote_line l WHERE l.quote_id = quote.id)"""
CANCEL: LiteralString = "UPDATE crm.quote SET cancelled_at = now() WHERE id = %s AND cancelled_at IS NULL"

LAPSE_CONTACTS: LiteralString = "UPDATE crm.contact SET deleted_at = now() WHERE account_id = %s AND deleted_at IS NULL"
CLOSE: LiteralString = "UPDATE crm.account SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL"
DELETE_CONTACT: LiteralString = "UPDATE crm.contact SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL"
OPT: LiteralString = "UPDATE crm.contact SET opted_in = NOT opted_in WHERE id = %s"
WIN: LiteralString = "UPDATE crm.account SET kind = 'customer', updated_at = now() WHERE id = %s"
SET_STANDING: LiteralString = "UPDATE crm.account SET status = %s, segment = %s, updated_at = now() WHERE id = %s"
NEXT_ROUND: LiteralString = """
    WITH round AS (UPDATE crm.quote SET stage = 'negotiation', revision = revision + 1, note = %s WHERE id = %s
                   RETURNING id, revision)
    INSERT INTO crm.quote_revision (quote_id, revision, offered, reason)
    SELECT id, revision, (SELECT coalesce(jsonb_agg(to_jsonb(l)), '[]') FROM crm.quote_line l WHERE l.quote_id = r.id), 'price'
    FROM round r"""
REJECT: LiteralString = "UPDATE crm.quote SET stage = 'rejected' WHERE id = %s"
CHANGE_LINE: LiteralString = """
    UPDATE crm.quote_line SET quantity = %s, discount_percent = %s
    WHERE id = (SELECT id FROM crm.quote_line WHERE quote_id = %s ORDER BY random() LIMIT 1)"""
REMOVE_LINE: LiteralString = """
    DELETE FROM crm.quote_line
    WHERE id = (SELECT id FROM crm.quote_line WHERE quote_id = %(quote)s ORDER BY random() LIMIT 1)
      AND (SELECT count(*) FROM crm.quote_line WHERE quote_id = %(quote)s) > 1"""

ACCOUNT_EDITS: Edits = (
    ("UPDATE crm.account SET phone = %s, updated_at = now() WHERE id = %s", ("phone",)),
    ("UPDATE crm.account SET email = %s, updated_at = now() WHERE id = %s", ("email",)),
    ("UPDATE crm.account SET website = %s, updated_at = now() WHERE id = %s", ("website",)),
    ("UPDATE crm.account SET name = %s, updated_at = now() WHERE id = %s", ("name",)),
)
CONTESTED_EDITS: Edits = (  # field by field what the factories' users edit too
    ("UPDATE crm.account SET phone = %s, updated_at = now() WHERE vat_number = %s", ("phone",)),
    ("UPDATE crm.account SET name = %s, updated_at = now() WHERE vat_number = %s", ("name",)),
)
ADDRESS_EDITS: Edits = (
    (
        "UPDATE crm.address SET street = %s, zip = %s, city = %s, country_code = %s WHERE id = %s",
        ("street", "zip", "city", "country"),
    ),
    ("UPDATE crm.address SET street = %s WHERE id = %s", ("street",)),
)
CONTACT_EDITS: Edits = (
    ("UPDATE crm.contact SET phone = %s WHERE id = %s", ("phone",)),
    ("UPDATE crm.contact SET email = %s WHERE id = %s", ("email",)),
    ("UPDATE crm.contact SET last_name = %s, email = %s WHERE id = %s", ("last", "email")),
    ("UPDATE crm.contact SET job_title = %s, phone = %s WHERE id = %s", ("title", "phone")),
)


class SalesUser(User):
    def begin(self) -> None:
        number, users = self.seat
        self.open_quotes: list[uuid.UUID] = column(self.db, OPEN_QUOTES, [users, number, OPEN_QUOTES_KEPT])
        self.confirmed: list[uuid.UUID] = []
        self._looked = 0.0

    def work(self) -> list[Work]:
        return [
            (16, "edit account", self.edit_account),
            (8, "edit contested customer", self.edit_contested),
            (6, "edit address", self.edit_address),
            (5, "create account", self.create_account),
            (2, "win a prospect", self.win_prospect),
            (5, "create contact", self.create_contact),
            (14, "edit contact", self.edit_contact),
            (3, "delete contact", self.delete_contact),
            (1, "close account", self.close_account),
            (6, "create quote", self.create_quote),
            (22, "negotiate", self.negotiate),
            (5, "confirm quote", self.confirm_quote),
            (1, "cancel a confirmed quote", self.cancel_quote),
            (1, "reject quote", self.reject_quote),
            (1, "drop quote", self.drop_quote),
        ]

    # -- accounts and contacts

    def edit_account(self) -> bool:
        account = self.one(EDITED_ACCOUNT, [CLOSABLE_VAT])
        if account is None:
            return False
        if self.random.random() < 0.2:
            standing = (self.random.choice(("active", "dormant")), self.random.choice(("key", "small")))
            return self.changed(SET_STANDING, [*standing, account[0]])
        return self.edit(ACCOUNT_EDITS, self.company(), account[0])

    def edit_contested(self) -> bool:
        """The same field of the same customer that the others, here and in the factories, are editing right now."""
        if time.monotonic() - self._looked > LOOK_AGAIN:
            self._looked = time.monotonic()
            self.office.contested = column(self.db, CONTESTED, [CLOSABLE_VAT, CONTESTED_KEPT])
        target = self.office.target()
        if target is None:
            return False
        vat, which = target
        return self.edit((CONTESTED_EDITS[which % len(CONTESTED_EDITS)],), self.company(), vat)

    def edit_address(self) -> bool:
        address = self.one(LASTING_ADDRESS, [CLOSABLE_VAT])
        return address is not None and self.edit(ADDRESS_EDITS, self.company(), address[0])

    def create_account(self) -> bool:
        c = self.company()
        c = dataclasses.replace(c, vat=self.new_vat(c.country))
        kind = self.random.choices(("customer", "dealer", "prospect"), (60, 20, 20))[0]
        account = self.one(NEW_ACCOUNT, [c.name, c.vat, c.phone, c.email, c.website, kind, self.name])
        assert account is not None
        self.db.execute(NEW_ADDRESS, [account[0], "billing", c.street, c.zip, c.city, c.country])
        for _ in range(self.random.randrange(3)):
            self._new_contact(account[0])
        if self.random.random() < 0.15 and kind != "prospect" and not str(c.vat).endswith(CLOSABLE_VAT[-1]):
            self.office.just_keyed.append(c)
        return True

    def win_prospect(self) -> bool:
        """From now on the factories know the company."""
        account = self.one(ANY_PROSPECT)
        return account is not None and self.changed(WIN, account)

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
        """With every line it is settled who makes it."""
        quote = self._take_quote()
        if quote is None:
            return False
        self.db.execute(SETTLE_FACTORIES, [quote])
        if not self.changed(CONFIRM, [quote]):
            return False
        self.confirmed = [*self.confirmed[-50:], quote]
        return True

    def cancel_quote(self) -> bool:
        """The customer steps back; the factory says whether it is not too late."""
        return bool(self.confirmed) and self.changed(CANCEL, [self.random.choice(self.confirmed)])

    def reject_quote(self) -> bool:
        quote = self._take_quote()
        return quote is not None and self.changed(REJECT, [quote])

    def drop_quote(self) -> bool:
        quote = self._take_quote()
        if quote is None:
            return False
        self.db.execute("DELETE FROM crm.quote_line WHERE quote_id = %s", [quote])
        self.db.execute("DELETE FROM crm.quote_revision WHERE quote_id = %s", [quote])
        return self.changed("DELETE FROM crm.quote WHERE id = %s", [quote])

    def _take_quote(self) -> uuid.UUID | None:
        """One of the user's open quotes, which then is open no more."""
        if not self.open_quotes:
            return None
        return self.open_quotes.pop(self.random.randrange(len(self.open_quotes)))

    def _add_line(self, quote: uuid.UUID) -> None:
        product = self.one(ANY_PRODUCT)
        if product is not None:
            factory = product[2] if self.random.random() < 0.5 else None
            self.db.execute(NEW_LINE, [quote, product[0], factory, self._quantity(), product[1], self._discount(), quote])

    def _quantity(self) -> str:
        return self.random.choice(("1", "2", "5", "10", "12.50", "100", "0.75"))

    def _discount(self) -> str:
        return self.random.choice(("0", "0", "3", "5", "7.50", "10"))

    def _note(self) -> str | None:
        return self.random.choice((None, *NOTES))
