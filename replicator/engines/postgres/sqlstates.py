"""What each SQLSTATE of PostgreSQL is to the replicator: a kind, and for some of them what to do about it.

A table to be read; nothing here decides. What follows from a kind is in `replicator/model/failure.py`. Source: PostgreSQL
documentation, Appendix A. A code that stands here goes before its class; what neither lists is `refused`: it was raised for
a row, by a trigger with a code of its own or by a limit that the row exceeds.
"""

from __future__ import annotations

from replicator.errors import Kind

CODES: dict[str, Kind] = {
    # lost: the connection or the server is gone
    "25P03": "lost",  # idle_in_transaction_session_timeout: the server has closed the session
    "25P04": "lost",  # transaction_timeout: so it has here
    "26000": "lost",  # invalid_sql_statement_name: a pooler gave the session to somebody else
    "40003": "lost",  # statement_completion_unknown
    "55006": "lost",  # object_in_use: a slot that a killed predecessor still holds
    "57P01": "lost",  # admin_shutdown
    "57P02": "lost",  # crash_shutdown
    "57P03": "lost",  # cannot_connect_now: starting, or stopping
    "57P04": "lost",  # database_dropped
    "57P05": "lost",  # idle_session_timeout
    # environment: nothing can be written there for now, whatever it is
    "25006": "environment",  # read_only_sql_transaction: a standby, or default_transaction_read_only
    "54001": "environment",  # statement_too_complex: max_stack_depth
    # locked: somebody holds the row
    "55P03": "locked",  # lock_not_available: lock_timeout
    "57014": "locked",  # query_canceled: statement_timeout, or a person
    # transient: the same again succeeds
    "40001": "transient",  # serialization_failure
    "40P01": "transient",  # deadlock_detected
    "72000": "transient",  # snapshot_too_old
    # waits: another record must come, or go, first
    "23503": "waits",  # foreign_key_violation
    "23505": "waits",  # unique_violation
    "23P01": "waits",  # exclusion_violation
    # refused: not this value
    "40002": "refused",  # transaction_integrity_constraint_violation
    "42804": "refused",  # datatype_mismatch: of a value that a trigger or a domain takes otherwise
    "42846": "refused",  # cannot_coerce
}

CLASSES: dict[str, Kind] = {
    "08": "lost",  # connection exception
    "0A": "broken",  # feature not supported
    "22": "refused",  # data exception: too long, out of range, no number, no date, division by zero
    "23": "refused",  # integrity constraint: NOT NULL, CHECK
    "25": "fault",  # invalid transaction state
    "28": "fault",  # invalid authorization
    "3D": "fault",  # invalid catalog name
    "3F": "broken",  # invalid schema name
    "40": "transient",  # transaction rollback
    "42": "broken",  # undefined column, table or function, insufficient privilege
    "44": "refused",  # WITH CHECK OPTION of a view
    "53": "environment",  # disk full, out of memory, too many connections
    "54": "refused",  # program limit: a row too large for an index
    "55": "broken",  # object not in the state that is needed
    "57": "environment",  # operator intervention
    "58": "environment",  # system error: input/output
    "F0": "environment",  # configuration file
    "P0": "refused",  # RAISE in a function or trigger
}

REMEDIES: dict[str, str] = {
    "22001": "make the target's column wider, or the value shorter in the link: left(...)",
    "23502": "let the link fill the column (`default`, `value`, `from`), or the target take NULL",
    "23503": "the record that it refers to is not there: link that table too, or see to it that it is",
    "23505": "another record has the value: is it the same one (`match`), or is one of them wrong?",
    "23514": "see what the constraint wants, and correct the value where it was entered, or the link's expression",
    "25006": "the server takes no writes: a standby, or default_transaction_read_only; the flow goes on by itself when it does",
    "28000": "the server does not let this role in: check pg_hba.conf and the role's REPLICATION attribute",
    "28P01": "wrong password: check the DSN in the environment",
    "3D000": "the database does not exist: check the DSN in the environment",
    "42501": "grant the replicator's role what the README lists under Privileges",
    "42703": "the table has changed: run `replicator lint`",
    "42704": "what `replicator init` made is not there: `replicator check` says what is missing",
    "42P01": "run `replicator init`, or restore the table",
    "53100": "the server's disk is full: make room, the flow goes on by itself",
    "53200": "the server is out of memory: see its log, the flow goes on by itself",
    "53300": "the server has no connection left: raise max_connections",
    "53400": "raise max_replication_slots and max_wal_senders, restart the server",
    "55000": "see the server's message; `replicator check` tells which setting is missing",
    "P0001": "a trigger or function of the target said no: its message tells why",
}


def kind_of(state: str) -> Kind:
    return CODES.get(state) or CLASSES.get(state[:2], "refused")
