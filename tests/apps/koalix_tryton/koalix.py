"""koalixcrm as its makers ship it: their settings, their migrations. Runs in the applications' own Python."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from answering import answer

os.environ["DJANGO_SETTINGS_MODULE"] = "projectsettings.settings.development_docker_sqlite_settings"


def use(dsn: str) -> None:
    """From here on the models read and write this database."""
    from django.db import connection

    connection.close()
    parts = urlsplit(dsn)
    connection.settings_dict.update(NAME=parts.path[1:], USER=parts.username, HOST=parts.hostname, PORT=str(parts.port))


def install(dsn: str) -> None:
    """Migrations, and what the manual says has to be entered before work: a user with their documents' templates, a currency, a unit,
    a tax, a billing cycle."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from filebrowser.base import FileObject
    from koalixcrm.crm.models import Currency, CustomerBillingCycle, Tax, Unit
    from koalixcrm.djangoUserExtension.models import InvoiceTemplate, QuoteTemplate, TemplateSet, UserExtension

    use(dsn)
    call_command("migrate", verbosity=0)
    staff = User.objects.create_superuser("staff", "staff@example.com", "secret")
    euro = Currency.objects.create(description="Euro", short_name="EUR", rounding="0.05")
    Unit.objects.create(description="Piece", short_name="pc")
    Unit.objects.create(description="Hour", short_name="h")
    Tax.objects.create(tax_rate=20, name="VAT 20")
    CustomerBillingCycle.objects.create(name="30 days", time_to_payment_date=30, payment_reminder_time_to_payment=10)
    quote = QuoteTemplate.objects.create(title="Quote", xsl_file=FileObject("quote.xsl"))
    invoice = InvoiceTemplate.objects.create(title="Invoice", xsl_file=FileObject("invoice.xsl"))
    templates = TemplateSet.objects.create(title="Ours", quote_template=quote, invoice_template=invoice)
    UserExtension.objects.create(user=staff, default_template_set=templates, default_currency=euro)


def main() -> None:
    import django
    from django.conf import settings

    settings.DATABASES["default"] = {"ENGINE": "django.db.backends.postgresql", "NAME": ""}
    django.setup()
    from django.contrib.auth.models import User
    from django.db import transaction
    from koalixcrm.crm import models
    from koalixcrm.crm.documents.calculations import Calculations

    names: dict[str, Any] = {name: value for name, value in vars(models).items() if isinstance(value, type)}
    names |= {"use": use, "install": install, "date": date, "Decimal": Decimal, "User": User, "Calculations": Calculations}
    names["atomic"] = transaction.atomic
    answer(names, nullcontext)


if __name__ == "__main__":
    sys.exit(main())
