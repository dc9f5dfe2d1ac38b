"""What every key of the three kinds of files means, in one sentence: an editor shows it beside the key.

A test holds these tables against those of the loaders, so that none knows a key that the other does not.
"""

from __future__ import annotations

LINK = {
    "link": "The link's name: lower-case letters, digits and _; it never changes, for the pairs of keys are kept under it.",
    "flow": "The direction: `crm -> erp` for one way; without it, changes go both ways.",
    "match": "Columns on each node by which a record both sides have is recognised; or a list of such rules, the best first.",
    "create": "Per node, the condition over the other node's record under which a record is made there, or `never`.",
    "route": "For a class of nodes, an expression over the other node's record: the codes of those where it may be made.",
    "delete": "Per node, what a delete on the other side does there: `delete` (the default), `ignore`, or `set column = ...`.",
    "restore": "Per node, what takes back `delete: set ...` when the record takes part again: `set active = true`.",
    "stub": "Per node, what a record has there that is made for a reference before it comes: `set name = 'to come'`.",
    "update_deleted": "What wins when an edit meets a delete: `delete` (the default), or `update`, which makes the record again.",
    "rule": "The rule of fields that name none: `latest` (the default), a node, which then owns them, or `queue`.",
    "groups": "Fields that win or lose together, such as the parts of an address: `{address: [street, zip, city]}`.",
    "fields": "What corresponds to what, one entry a field.",
    "assert": "What must hold across both sides: pairs of SELECTs with equal results, which `replicator reconcile` checks.",
}
ASSERT = {
    "name": "What the assertion is called in reports.",
    "per": "With `record` the first columns are a record's key on each side, and the others are compared pair by pair.",
}
MATCH = {
    "loose": "Values are compared without case, blanks and punctuation; asked by `replicator match` only.",
}
SIDE = {
    "table": "The table whose rows are the records: `schema.name`.",
    "query": "A SELECT whose rows are the records, instead of a table; it is only read, so the link goes one way.",
    "key": "The column, or list of columns, that tells one record from another.",
    "where": "Which records take part, an SQL condition over `node.column`; one that leaves counts as deleted.",
    "derived": "More columns of the record, each the result of a SELECT over any tables: they are read, never written.",
    "slice": "The record is some columns of a row that another link makes; it is there while `where` holds.",
    "extends": "Tables whose row with the same key belongs to the record: the more general kinds, the nearest first.",
}
EXTENDS = {
    "table": "The table of the more general kind: `schema.name`.",
    "key": "Its column, or columns, that hold the same key as the record's.",
}
FIELD = {
    "name": "What the field is called in messages and groups; without it, the column named first.",
    "to": "The only node on which the field is written.",
    "rule": "What becomes of two edits: `latest`, the node that owns the field, `delta`, `queue` or `{merge: ...}`.",
    "values": "Pairs of values, from the node named first to the other: `{active: A, dormant: D}`.",
    "lookup": "Translates a natural key into the key of a row of a reference table.",
    "link": "The columns hold the key of a record of this link, or of one of those listed with the names of their kinds.",
    "kinds": "Per node, the table whose keys stand for the kinds of record, if their names do not.",
    "missing": "What becomes of a reference to what is not there yet: `wait`, `null`, `later`, filled in then, or `stub`.",
    "convert": "Per node written, an SQL expression over the other node's record.",
    "from": "The column's value, an SQL expression over the other node's record.",
    "value": "The column's value, the same for every record.",
    "code": "The node whose code the column holds, as `replicator.yaml` gives it, on every write.",
    "initial": "The value when a record is made, and only then: an SQL expression over the other node's record.",
}
KIND_TABLE = {
    "table": "The table of the kinds: `schema.name`.",
    "by": "Its column with the kind's name, or several, whose values are joined by dots.",
    "key": "Its column that the field's first column holds; `id` if not said.",
}
VALUES = {
    "map": "The pairs of values, from the node named first to the other.",
    "default": "What is written on the other node for a value that is not listed; without it the record is parked.",
    "back_default": "What is written on the node named first for a value that is not listed; without it the record is parked.",
}
LOOKUP = {
    "table": "The reference table: `schema.name`.",
    "by": "Its column with the natural key, which the other node's column holds.",
    "match": "For a field with one column: columns of the table with what they must be, SQL over the other node's record.",
    "key": "Its column that the field holds; `id` if not said.",
    "on": "The node that has the table; the node named second, if not said.",
    "missing": "What becomes of a record whose value is not in the table: it is parked (`wait`), or the field is NULL (`null`).",
    "fold": "Whether texts are compared without case and blanks around them.",
    "default": "The key to take when nothing is found.",
}
RULES = {
    "latest": "The edit that was made later.",
    "delta": "A counter: what each side adds is added on the other.",
    "queue": "Each side keeps its own value until a person decides.",
    "merge": "An SQL expression over the field's column on both nodes that makes one value of the two.",
}
CONFIG = {
    "nodes": "The databases that take part: at least two.",
    "mappings": "The folder of link files, relative to this file.",
    "settings": "Limits, each with a default.",
}
NODE = {
    "engine": "What kind of database it is.",
    "dsn": "The environment variable that holds its DSN: `${CRM_DSN}`.",
    "class": "The class of like nodes that it is one of: link files that name the class hold for each of them.",
    "code": "What data calls the node: `route` and `code` in link files go by it; its name, if not said.",
}
TEST_NODE = {key: NODE[key] for key in ("class", "code")}
SETTINGS = {
    "batch_rows": "Changes that are staged at once.",
    "parked_limit": "How many changes of a flow may wait for a person; more, and the flow stands still instead.",
    "parked_percent": "How many percent of a batch (of 100 changes or more) may be refused; more, and the flow stands still.",
    "lock_timeout_ms": "How long an apply waits for a row that a user holds, before it steps aside.",
    "clock_limit_ms": "The distance of two servers' clocks that becomes a finding.",
    "retention_days": "How long settled conflicts and tombstones are kept.",
    "history_days": "How long it is remembered where each value came from.",
}
TEST = {
    "test": "The link under test, or a list of them; those that they refer to take part as well.",
    "nodes": "The nodes, for links of a class: each with its `class` and `code`; else those that have a schema.",
    "schema": "Per node, the SQL file, or files, that make its tables, relative to this file.",
    "given": "Rows that are there before the replicator is prepared, in every case.",
    "before": "Steps that every case begins with.",
    "cases": "The cases; each runs on its own, from the same beginning.",
}
CASE = {
    "case": "What the case is called.",
    "given": "Rows that are there before the replicator is prepared, in this case.",
    "do": "The steps: a node with SQL or with rows to insert, each one transaction, or `sync`.",
    "expect": "What is there in the end: rows per node and table, `conflicts`, `parked`.",
}
EXPECT = {
    "conflicts": "The conflicts that were logged, all of them.",
    "parked": "The changes that are parked, all of them.",
}
CONFLICT = {
    "link": "The link of the record.",
    "field": "The field's name; null for a conflict over the whole record.",
    "kind": "What met, such as `update_origin_differs`, `delete_origin_differs` or `update_deleted`.",
    "winner": "The node whose value stands, or `both`.",
    "rule": "The rule that decided.",
    "status": "Whether it waits for a person.",
}
PARKED = {
    "link": "The link of the record.",
    "on": "The node where it could not be written.",
    "reason": "Why, such as `refused`, `waits` or `later`.",
    "sqlstate": "What the server said, as five characters.",
    "key": "The record's key on the node it comes from.",
    "says": "A part of the message.",
}
