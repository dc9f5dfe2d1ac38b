"""The exceptions of the product: each says what is wrong, and what to do next.

`ReplicatorError` is the only family the command line turns into a message; anything
else is a bug. `exit_code` follows DESIGN: 2 for bad usage or configuration, 3 for a
failure while running. No message ever holds a cell value, a password or a whole DSN.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["lost", "environment", "transient", "locked", "waits", "refused", "broken", "fault"]


class ReplicatorError(Exception):
    """Something a person can mend.

    `message` names the thing that is wrong (node, table, slot, SQLSTATE);
    `hint` says what to type or change; `known` is what a structured log tells apart (node, flow, slot, sqlstate).
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "", **known: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.known = {name: value for name, value in known.items() if value}

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.hint}" if self.hint else self.message


class ConfigurationError(ReplicatorError):
    """The configuration, a link file or the command line cannot be used."""

    exit_code = 2


class ProtocolError(ReplicatorError):
    """Bytes on the replication stream that the protocol does not allow."""


class NodeUnavailable(ReplicatorError):
    """A server cannot be reached, or the connection to it broke. Worth another try."""


class RunsElsewhere(NodeUnavailable):
    """Another replicator has these flows: one at a time may. Worth another try: it may end."""


class SourceLost(ReplicatorError):
    """The slot, server or timeline is not the one the checkpoint speaks of: changes may be missing."""


class StructureChanged(NodeUnavailable):
    """A table is not what it was when the flows were started: they start anew, at once, with it as it is now."""


class TooManyParked(ReplicatorError):
    """More changes would be set aside than the settings allow: the flow stands still instead."""


class WriteFailed(ReplicatorError):
    """A server refused a statement. Kinds, and what follows from each: model/failure.py.

    transient    the same again succeeds: a deadlock
    locked       somebody holds what is to be written
    environment  nothing can be written there for now: no room, read only
    waits        another record must come, or go, first
    refused      this value cannot be written there
    broken       what a link names is not there any more, or may not be written
    fault        anything else that a person has to look at
    """

    def __init__(self, message: str, hint: str, kind: Kind, sqlstate: str, **known: str) -> None:
        super().__init__(message, hint, sqlstate=sqlstate, **known)
        self.kind = kind
        self.sqlstate = sqlstate

    @property
    def of_rows(self) -> bool:
        """Whether it is what some rows hold that was refused, and others may go through."""
        return self.kind in ("waits", "refused")
