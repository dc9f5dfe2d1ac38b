"""A django-oscar shop as its makers ship it: their settings, their migrations, nothing of ours in its database.

Django knows one configuration in a process. `configure` gives it; `use` then points it at a database.
Nothing of Django is imported before `configure`, so that importing this module costs nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from psycopg.conninfo import conninfo_to_dict

OSCAR = "oscar.apps."
APPS = [
    *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions", "sites", "messages", "flatpages")),
    "oscar.config.Shop",
    *(
        f"{OSCAR}{name}.apps.{name.title()}Config"
        for name in (
            "analytics", "checkout", "address", "shipping", "catalogue", "communication", "partner", "basket", "payment",
            "offer", "order", "customer", "search", "voucher", "wishlists", "dashboard",
        )
    ),
    f"{OSCAR}catalogue.reviews.apps.CatalogueReviewsConfig",
    *(
        f"{OSCAR}dashboard.{name}.apps.{name.title()}DashboardConfig"
        for name in (
            "reports", "users", "orders", "catalogue", "offers", "partners", "pages", "ranges", "reviews", "vouchers",
            "communications", "shipping",
        )
    ),
    "treebeard",
    "haystack",
    "widget_tweaks",
    "django_tables2",
]  # fmt: skip
PIPELINE = {
    "Pending": ("Being processed", "Cancelled"),
    "Being processed": ("Complete", "Cancelled"),
    "Complete": (),
    "Cancelled": (),
}


def configure() -> None:
    """Settings as in Oscar's own "Building a shop", in euros."""
    from django.conf import settings

    if settings.configured:
        return
    from oscar import defaults

    given = {name: getattr(defaults, name) for name in dir(defaults) if name.isupper()}
    given |= {
        "OSCAR_DEFAULT_CURRENCY": "EUR",
        "OSCAR_INITIAL_ORDER_STATUS": "Pending",
        "OSCAR_INITIAL_LINE_STATUS": "Pending",
        "OSCAR_ORDER_STATUS_PIPELINE": PIPELINE,
        "SECRET_KEY": "tests",
        "SITE_ID": 1,
        "USE_TZ": True,
        "TIME_ZONE": "UTC",
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": ""}},
        "HAYSTACK_CONNECTIONS": {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
        "AUTHENTICATION_BACKENDS": ("oscar.apps.customer.auth_backends.EmailBackend",),
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],  # only for speed
        "INSTALLED_APPS": APPS,
    }
    settings.configure(**given)
    import django

    django.setup()


def use(dsn: str) -> None:
    """From here on the models read and write this database."""
    from django.db import connection

    connection.close()
    parts = conninfo_to_dict(dsn)
    connection.settings_dict.update(NAME=parts["dbname"], USER=parts["user"], HOST=parts["host"], PORT=str(parts["port"]))


def leave() -> None:
    from django.db import connection

    connection.close()


def install(dsn: str) -> None:
    """Oscar's migrations, its countries, and what a shop has before it opens: a kind of product (with its weight) and a warehouse."""
    from django.core.management import call_command
    from django.db import connection

    use(dsn)
    call_command("migrate", verbosity=0)
    call_command("oscar_populate_countries", "--no-shipping", verbosity=0)
    goods = model("catalogue", "ProductClass").objects.create(name="Goods")
    model("catalogue", "ProductAttribute").objects.create(product_class=goods, name="Weight", code="weight", type="float")
    model("partner", "Partner").objects.create(name="Our warehouse")
    connection.close()


def model(app: str, name: str) -> Any:
    from oscar.core.loading import get_model

    return get_model(app, name)


def user_model() -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model()


def sign_up(first: str, last: str, email: str, **more: Any) -> Any:
    """As Oscar's registration form does it."""
    from oscar.apps.customer.forms import generate_username

    return user_model().objects.create_user(generate_username(), email, "secret", first_name=first, last_name=last, **more)


def add_address(user: Any, line1: str, **more: Any) -> Any:
    """The account's new default billing address."""
    given = {"line4": "Kiel", "postcode": "24103", "country_id": "DE", "is_default_for_billing": True, **more}
    name = {"first_name": user.first_name, "last_name": user.last_name}
    return model("address", "UserAddress").objects.create(user=user, line1=line1, **name, **given)


def place_order(user: Any, lines: list[tuple[Any, int]], notes: str = "", guest_email: str = "") -> Any:
    """As Oscar's checkout does it: a basket, an address, and the order with everything that belongs to it."""
    from django.db import transaction
    from oscar.apps.order.utils import OrderCreator
    from oscar.apps.partner.strategy import Selector
    from oscar.apps.shipping.methods import Free
    from oscar.core.prices import Price

    with transaction.atomic():
        basket = model("basket", "Basket").objects.create(owner=user)
        basket.strategy = Selector().strategy()
        for product, quantity in lines:
            basket.add_product(product, quantity)
        address = model("order", "ShippingAddress").objects.create(
            first_name="Ann", last_name="Archer", line1="Dock 4", line4="Kiel", postcode="24103", country_id="DE", notes=notes
        )
        method = Free()
        total = Price("EUR", basket.total_excl_tax, basket.total_excl_tax * Decimal("1.19"))
        order = OrderCreator().place_order(
            basket, total, method, method.calculate(basket), user, address,
            **({"guest_email": guest_email} if guest_email else {}),
        )  # fmt: skip
        basket.submit()
    return type(order).objects.get(pk=order.pk)  # its number was given as an integer
