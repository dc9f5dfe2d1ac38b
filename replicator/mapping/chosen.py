"""Which links a person means who names one: `customer`, which may be several between the CRM and each factory, or one of
these, `customer@erp_north`."""

from __future__ import annotations

from replicator.errors import ConfigurationError
from replicator.mapping.findings import near
from replicator.model.config import Config
from replicator.model.link import Link


def links_named(config: Config, name: str) -> list[Link]:
    """The link of this name, or all that its file has become. ConfigurationError if there is none."""
    found = [link for link in config.links if name in (link.name, link.declared)]
    if not found:
        known = list(dict.fromkeys(link.name for link in config.links))
        files = [link.declared for link in config.links]
        raise ConfigurationError(f"there is no link {name!r}", near(name, [*known, *files]) or f"links are {', '.join(known)}")
    return found


def link_named(config: Config, name: str, on: str | None = None) -> Link:
    """The one link that is meant; `on`, a node that only it joins, may tell it from the others."""
    found = links_named(config, name)
    there = [link for link in found if on in {side.node for side in link.sides}]
    if len(there) == 1:
        return there[0]
    if len(found) > 1:
        raise ConfigurationError(
            f"{name} is {len(found)} links, and one of them is needed", f"say {' or '.join(link.name for link in found)}"
        )
    return found[0]
