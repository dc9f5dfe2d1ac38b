"""The demo's nodes: one CRM, and two factories, each with an ERP of its own and its share of the ten warehouses."""

from __future__ import annotations

from dataclasses import dataclass

CRM = "crm"
SERVICE_WAREHOUSE = "SERV"  # where technicians take spare parts from, in each factory


@dataclass(frozen=True, slots=True)
class Factory:
    """`node`: its ERP's name in replicator.yaml. `code`: what the data of the CRM call it."""

    node: str
    code: str
    name: str
    region: str
    warehouses: tuple[tuple[str, str], ...]


NORTH = Factory(
    "erp_north",
    "NORTH",
    "Hamburg works",
    "north",
    (
        ("HAMB", "Hamburg, main store"),
        ("HRCK", "Hamburg, high rack"),
        ("KIEL", "Kiel"),
        ("ROST", "Rostock, port"),
        ("LEIP", "Leipzig"),
        (SERVICE_WAREHOUSE, "Hamburg, service"),
    ),
)
SOUTH = Factory(
    "erp_south",
    "SOUTH",
    "Linz works",
    "south",
    (
        ("LINZ", "Linz, main store"),
        ("GRAZ", "Graz"),
        ("VILL", "Villach"),
        (SERVICE_WAREHOUSE, "Linz, service"),
    ),
)
FACTORIES = (NORTH, SOUTH)
NODES = (CRM, *(factory.node for factory in FACTORIES))


def variable(node: str) -> str:
    """The environment variable of a node's DSN."""
    return f"{node.removeprefix('erp_').upper()}_DSN"


def replicator_yaml(mappings: str) -> str:
    """The configuration of the three, as a person would write it."""
    lines = ["nodes:", f'  {CRM}: {{engine: postgres, dsn: "${{{variable(CRM)}}}"}}']
    lines += [f'  {f.node}: {{engine: postgres, dsn: "${{{variable(f.node)}}}", class: erp, code: {f.code}}}' for f in FACTORIES]
    return "\n".join([*lines, f"mappings: {mappings}", ""])
