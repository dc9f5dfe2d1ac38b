"""Flows of the business, one a module: what people type, and what comes of it elsewhere. `replicator demo --scenario NAME`."""

from replicator.demo.scenarios import (
    complaint,
    conflict,
    customer,
    delete,
    margin,
    order,
    packaging,
    service,
    split,
    stock,
    warranty,
)
from replicator.demo.scenarios.stage import Scenario

__all__ = ["SCENARIOS", "Scenario"]

_MODULES = (customer, order, split, packaging, conflict, complaint, service, stock, warranty, margin, delete)
SCENARIOS: dict[str, Scenario] = {module.SCENARIO.name: module.SCENARIO for module in _MODULES}
