"""No replicator runs while this is held: what it needs to write is taken, its replication origins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg

from replicator.engines.postgres.connect import connect
from replicator.engines.postgres.errors import translated
from replicator.engines.postgres.setup import origin_name
from replicator.errors import ReplicatorError
from replicator.model.config import Config
from replicator.runtime.wiring import NodePair, dsn_of


class Running(ReplicatorError):
    """A replicator runs, and must not."""


@contextmanager
def alone(config: Config, environ: Mapping[str, str], pairs: Sequence[NodePair], purpose: str) -> Iterator[None]:
    """Between these nodes. One session at a time has an origin; raises Running when a replicator's has."""
    sessions = []
    try:
        for pair in pairs:
            for node, peer in (pair, (pair[1], pair[0])):
                connection = connect(node, dsn_of(config, node, environ), purpose)
                sessions.append(connection)
                with translated(node):
                    try:
                        connection.execute("SELECT pg_replication_origin_session_setup(%s)", (origin_name(peer, node),))
                    except psycopg.errors.ObjectInUse:
                        hint = "stop `replicator run` (one that stands by, too), then try again; start it again afterwards"
                        raise Running(f"{node}: a replicator is running, and this change needs it stopped", hint) from None
                    except psycopg.errors.UndefinedObject:
                        pass  # nothing has ever run there
        yield
    finally:
        for connection in sessions:
            connection.close()
