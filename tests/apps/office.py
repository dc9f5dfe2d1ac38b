"""koalixcrm and Tryton as the tests use them: what people do there, in either application's own words, and both linked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apps.application import Application
from tests.two_way.pair_of_nodes import Pair

HERE = Path(__file__).parent / "koalix_tryton"
PYTHON = Path(__file__).parents[2] / ".venv-apps" / "bin" / "python"

# What people see of a customer, in either application's words; addresses without what only one side knows.
CRM_CUSTOMER = """
c = Customer.objects.get(name=name)
[sorted([a.address_line_1, a.zip_code, a.town, a.country] for a in PostalAddressForContact.objects.filter(person=c)),
 sorted(p.phone for p in PhoneAddressForContact.objects.filter(person=c)),
 sorted(m.email for m in EmailAddressForContact.objects.filter(person=c))]
"""
ERP_CUSTOMER = """
p, = get('party.party').find([('name', '=', name)])
[sorted([a.street_unstructured, a.postal_code, a.city, a.country.code] for a in p.addresses),
 sorted(m.value for m in p.contact_mechanisms if m.type in ('phone', 'mobile')),
 sorted(m.value for m in p.contact_mechanisms if m.type == 'email')]
"""
NEW_CUSTOMER = """
with atomic():
    c = Customer.objects.create(name=name, default_customer_billing_cycle=CustomerBillingCycle.objects.get(),
                                last_modified_by=User.objects.get(), is_lead=False)
    PostalAddressForContact.objects.create(person=c, purpose='O', name=name, address_line_1='Dock 4', zip_code=24103,
                                           town='Kiel', country='DE')
    PhoneAddressForContact.objects.create(person=c, purpose='O', phone='+49 431 5555')
    PhoneAddressForContact.objects.create(person=c, purpose='B', phone='+49 171 5555')
    EmailAddressForContact.objects.create(person=c, purpose='O', email='acme@example.com')
c.id
"""
NEW_PARTY = """
p = get('party.party')(name=name)
a = p.addresses[0]
a.street_unstructured, a.postal_code, a.city = 'Ring 1', '1010', 'Wien'
a.country, = get('country.country').find([('code', '=', 'AT')])
p.contact_mechanisms.new(type='phone', value='+43 1 222')
p.contact_mechanisms.new(type='email', value='blum@example.com')
p.contact_mechanisms.new(type='website', value='https://blum.example.com')
p.save()
p.id
"""
NEW_PRODUCT = """
with atomic():
    p = ProductType.objects.create(title=title, product_type_identifier=code, default_unit=Unit.objects.get(short_name=unit),
                                   tax=Tax.objects.get(), description='As in the catalogue', last_modified_by=User.objects.get())
    ProductPrice.objects.create(product_type=p, price='12.50', unit=p.default_unit, currency=Currency.objects.get())
p.id
"""
# A contract first, as koalixcrm wants it; then a quote of it with a line for each (code, quantity, discount).
NEW_QUOTE = """
with atomic():
    staff = User.objects.get()
    k = Contract.objects.create(description='Frame', default_customer=Customer.objects.get(name=name), staff=staff,
                                last_modified_by=staff, default_currency=Currency.objects.get(), default_template_set_id=1)
    q = k.create_quote()
    for number, (code, quantity, discount) in enumerate(lines, 1):
        p = ProductType.objects.get(product_type_identifier=code)
        SalesDocumentPosition.objects.create(sales_document=q, position_number=number, quantity=quantity, unit=p.default_unit,
                                             product_type=p, discount=discount, overwrite_product_price=False)
Calculations.calculate_document_price(q, date.today())
q.id
"""
SALE = "(sale,) = get('sale.sale').find([('reference', '=', f'Quote {quote}')])\n"
ERP_LINES = (
    SALE + "[[l.product.code, l.quantity, l.unit.symbol, str(l.unit_price), [t.name for t in l.taxes]] for l in sale.lines]"
)
CRM_LINES = """
[[l.product_type.product_type_identifier, float(l.quantity), l.unit.short_name]
 for l in SalesDocumentPosition.objects.filter(sales_document=quote)]
"""
CRM_QUOTE = "q = Quote.objects.get(id=quote); [q.status, q.external_reference]"


@dataclass
class World:
    pair: Pair
    crm: Application
    erp: Application

    def settle(self) -> None:
        self.pair.settle()

    def parked(self) -> list[tuple[Any, ...]]:
        return self.pair.parked()

    def edit(self, node: str, sql: str) -> None:
        (self.pair.crm if node == "crm" else self.pair.erp).execute(sql)  # type: ignore[call-overload]

    def customer(self, name: str) -> None:
        """A customer of the CRM that both know."""
        self.crm(NEW_CUSTOMER, name=name)
        self.settle()

    def quote(self, name: str, *lines: tuple[str, Any, Any]) -> int:
        """A quote for a customer of its own that both know, with its products."""
        self.crm(NEW_CUSTOMER, name=name)
        for code, _, _ in lines:
            self.crm(NEW_PRODUCT, title=f"Article {code}", code=code, unit="pc")
        self.settle()
        quote: int = self.crm(NEW_QUOTE, name=name, lines=lines)
        self.settle()
        assert not self.parked()
        return quote


def install(script: str, dsn: str) -> None:
    with Application(PYTHON, HERE / f"{script}.py") as application:
        application("install(dsn)", dsn=dsn)
