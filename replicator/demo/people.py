"""Believable companies, persons and products, the same for the same seed.

Promises: texts keep to the lengths the ERP allows, in many scripts; no two companies of one `People`
share a VAT number. Not for use from several threads at once: make a pool and let threads choose.
"""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass

from faker import Faker

LOCALES = {
    "de_DE": "DE",
    "en_GB": "GB",
    "fr_FR": "FR",
    "it_IT": "IT",
    "es_ES": "ES",
    "pl_PL": "PL",
    "nl_NL": "NL",
    "sv_SE": "SE",
    "el_GR": "GR",
    "ja_JP": "JP",
    "zh_CN": "CN",
}
MATERIALS = ("Steel", "Brass", "Aluminium", "PTFE", "Stainless", "Nylon", "Ceramic", "Copper", "Carbon", "Rubber")
PARTS = (
    *("ball bearing", "hex bolt", "gasket", "drive belt", "pump housing", "valve seat", "gear wheel", "spindle"),
    *("coupling", "filter cartridge", "hose clamp", "guide rail", "motor mount", "sensor bracket", "drain plug"),
)
FAMILIES = ("bearings", "drives", "pumps", "seals", "sensors")
UNITS = ("PCE", "PCE", "PCE", "BOX", "MTR", "KGM", "SET")
NOTES = (
    "Call before delivery.",
    'Customer wants the "blue" version;\nsecond line: 5% if paid early',
    "Tab\tand back\\slash, as pasted from a spreadsheet",
    "Größe nach Muster – siehe Zeichnung №7 ✓",
    "見積書を更新してください",
)


@dataclass(frozen=True, slots=True)
class Company:
    name: str
    vat: str | None
    street: str
    zip: str
    city: str
    country: str
    phone: str
    email: str | None
    website: str | None


@dataclass(frozen=True, slots=True)
class Person:
    first: str
    last: str
    email: str | None
    phone: str | None
    title: str


@dataclass(frozen=True, slots=True)
class Product:
    code: str
    description: str
    family: str
    price: str
    unit: str
    weight: str | None


class People:
    """`first_vat` keeps the numbers of several sources apart: each takes at most 400 million from there on."""

    def __init__(self, seed: int, first_vat: int = 100_000_000) -> None:
        self.random = random.Random(seed)
        self._fakers = {locale: Faker(locale) for locale in LOCALES}
        for faker in self._fakers.values():
            faker.seed_instance(self.random.getrandbits(32))
        self._vat = first_vat
        self._code = 0

    def company(self) -> Company:
        locale = self.random.choice(tuple(LOCALES))
        faker, country = self._fakers[locale], LOCALES[locale]
        self._vat += self.random.randrange(1, 1_000)
        name = _line(faker.company())[:100]
        domain = f"{_plain(name) or 'company' + str(self._vat)}.example"
        return Company(
            name=name,
            vat=f"{country}{self._vat}" if self.random.random() > 0.03 else None,
            street=_line(faker.street_address())[:100],
            zip=_line(faker.postcode())[:12],
            city=_line(faker.city())[:60],
            country=country,
            phone=_line(faker.phone_number())[:40],
            email=f"office@{domain}" if self.random.random() > 0.2 else None,
            website=f"https://www.{domain}" if self.random.random() > 0.3 else None,
        )

    def person(self) -> Person:
        faker = self._fakers[self.random.choice(tuple(LOCALES))]
        first, last = faker.first_name()[:60], faker.last_name()[:60]
        mailbox = f"{_plain(first) or 'info'}.{_plain(last) or self.random.randrange(10_000)}"
        return Person(
            first=first,
            last=last,
            email=f"{mailbox}@example.com"[:120] if self.random.random() > 0.1 else None,
            phone=_line(faker.phone_number())[:40] if self.random.random() > 0.3 else None,
            title=_line(faker.job())[:80],
        )

    def product(self) -> Product:
        self._code += 1
        size = self.random.choice((4, 6, 8, 10, 12, 16, 20, 25, 40, 63))
        part = f"{self.random.choice(MATERIALS)} {self.random.choice(PARTS)} {size} mm"
        return Product(
            code=f"P-{self._code:05d}",
            description=part,
            family=self.random.choice(FAMILIES),
            price=f"{self.random.lognormvariate(3.2, 1.1):.2f}",
            unit=self.random.choice(UNITS),
            weight=f"{self.random.lognormvariate(-0.5, 1.2):.3f}" if self.random.random() > 0.05 else None,
        )

    def note(self) -> str | None:
        return self.random.choice(NOTES) if self.random.random() > 0.4 else None


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """The ASCII letters and digits of a text; nothing of one in another script."""
    decomposed = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", decomposed.lower())[:40]
