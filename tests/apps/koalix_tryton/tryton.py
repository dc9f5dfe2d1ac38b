"""Tryton as its makers ship it, used like its client does: through proteus, so on-change rules, defaults and buttons are its own.
Runs in the applications' own Python."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import proteus
from answering import answer
from proteus import Model, Wizard

os.environ["TRYTOND_DATABASE_URI"] = "postgresql:///"  # its engine is chosen when it is imported

MODULES = ["sale", "sale_opportunity", "account_invoice", "stock", "party", "product", "country", "currency", "company"]


def use(dsn: str) -> None:
    """From here on the models read and write this database."""
    from trytond import config

    parts = urlsplit(dsn)
    name = parts.path[1:]
    config.set("database", "uri", f"postgresql://{parts.username}@{parts.hostname}:{parts.port}/")
    proteus.config.set_trytond(f"postgresql:///{name}")
    User = Model.get("res.user")
    proteus.config.get_config()._context = User.get_preferences(True, {})


def install(dsn: str) -> None:
    """The modules, and what an installation has before it opens: a company with its chart of accounts, a fiscal year, a tax,
    a category of goods, a payment term, a stock of nothing, two countries."""
    from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, create_tax, get_accounts
    from trytond.modules.account_invoice.tests.tools import create_payment_term, set_fiscalyear_invoice_sequences
    from trytond.modules.company.tests.tools import create_company

    create_database(dsn)
    use(dsn)
    Module = Model.get("ir.module")
    Module.click(Module.find([("name", "in", MODULES)]), "activate")
    Wizard("ir.module.activate_upgrade").execute("upgrade")
    use(dsn)  # with the modules' models
    Currency = Model.get("currency.currency")
    euro = Currency(name="Euro", symbol="€", code="EUR", numeric_code="978", rounding=Decimal("0.01"), digits=2)
    euro.rates.new(date=date(2000, 1, 1), rate=Decimal(1))
    euro.save()
    Country = Model.get("country.country")
    for code, name in (("DE", "Germany"), ("AT", "Austria"), ("FR", "France")):
        Country(code=code, name=name).save()
    create_company(currency=euro)
    use(dsn)  # as the company's
    create_chart()
    set_fiscalyear_invoice_sequences(create_fiscalyear()).click("create_period")
    tax = create_tax(Decimal(".20"))
    tax.save()
    accounts = get_accounts()
    category = Model.get("product.category")(name="Goods", accounting=True)
    category.account_expense, category.account_revenue = accounts["expense"], accounts["revenue"]
    category.customer_taxes.append(tax)
    category.save()
    create_payment_term().save()


def create_database(dsn: str) -> None:
    """What `trytond-admin` does with an empty database."""
    from trytond import backend, config
    from trytond.pool import Pool
    from trytond.transaction import Transaction

    from sql import Table

    parts = urlsplit(dsn)
    name = parts.path[1:]
    config.set("database", "uri", f"postgresql://{parts.username}@{parts.hostname}:{parts.port}/")
    database = backend.Database(name)
    connection = database.get_connection()
    with connection.cursor() as cursor:
        database.init()
        configuration = Table("ir_configuration")
        cursor.execute(*configuration.insert([configuration.language], [["en"]]))
    connection.commit()
    database.put_connection(connection)
    pool = Pool(name)
    pool.init(update=["res", "ir"], lang=["en"])
    with Transaction().start(name, 0):
        Language, User = pool.get("ir.lang"), pool.get("res.user")
        (english,) = Language.search([("code", "=", "en")])
        english.translatable = True
        english.save()
        User.create([{"login": "admin", "name": "Administrator", "administrator": True, "language": english.id}])
        pool.get("ir.module").update_list()


def main() -> None:
    names: dict[str, Any] = {"use": use, "install": install, "date": date, "Decimal": Decimal, "get": Model.get, "Wizard": Wizard}
    answer(names, nullcontext)


if __name__ == "__main__":
    sys.exit(main())
