"""Every code that a check of configuration, links or tables may report: one table, one constructor.

A code never changes its meaning and is never used again for something else. `L0` is about files,
`L1` about a link's outline, `L2` fields, `L3` expressions, `L4` links among each other, `L5` links
against the tables, `C0` about `replicator.yaml`, `T0` about tests of links, `T1` about these against the
tables. A finding can only be made from a code in this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replicator.model.finding import Finding, Mark

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Code:
    """`summary` fits one line of a list; `explanation` is what a person reads who asks what the code means."""

    code: str
    severity: Severity
    summary: str
    explanation: str


_TABLE = (
    # -- files ---------------------------------------------------------------------------------------------------------
    Code("L001", "error", "file cannot be read",
         "The file is missing, is not a regular file, or this user may not read it."),
    Code("L002", "error", "file is too large",
         "A configuration file may have 2 MiB. Links are kept one a file, so a larger one is a mistake."),
    Code("L003", "error", "file is not UTF-8",
         "Files are read as UTF-8 and nothing is guessed. Save the file as UTF-8; the place of the first wrong byte "
         "is given."),
    Code("L004", "error", "character is not allowed",
         "The file holds a control character, or an escape in it stands for NUL or half a surrogate pair. "
         "PostgreSQL takes none of these in a text."),
    Code("L005", "error", "not YAML",
         "The file breaks YAML's syntax at the place given; nothing after it was read. Often a quote is missing "
         "around a text with `: `, `#` or a leading `*`, `&`, `%`, `@`."),
    Code("L006", "error", "file is empty",
         "The file holds nothing but blanks and comments. Delete it or write the link."),
    Code("L007", "error", "file is not a mapping",
         "The top of the file must be `key: value` lines, not a list or a single value."),
    Code("L008", "error", "key is given twice",
         "YAML would silently keep one of the two values. Remove one, or rename it."),
    Code("L009", "error", "YAML tag is not allowed",
         "Tags such as `!!python/object` or `!env` are not used: every value is text, a list or a mapping. Remove "
         "the tag."),
    Code("L010", "error", "file has too many parts",
         "Anchors and aliases are allowed, but what they stand for is counted each time, and the whole file may not "
         "exceed 50,000 parts."),
    Code("L011", "error", "key is not plain text",
         "A key must be a single text. Lists and mappings as keys (`? [a, b]`) have no meaning here."),
    Code("L012", "error", "more than one document",
         "A file holds one document; a second `---` begins another, which would not be read. Use one file a link."),
    Code("L013", "error", "nested too deeply",
         "Nothing in a link file is deeper than a few levels; more than 32 is a mistake in indentation or brackets."),
    # -- the outline of a link -----------------------------------------------------------------------------------------
    Code("L101", "error", "unknown key",
         "The key is not one that this part of the file knows, so its value would be ignored. Usually a typing "
         "error; near names are listed."),
    Code("L102", "error", "required key is missing",
         "The part cannot be understood without this key."),
    Code("L103", "error", "wrong kind of value",
         "A text, a list or a mapping was expected and something else stands there."),
    Code("L104", "error", "link name is not allowed",
         "A link's name becomes part of names in the state schema: lower-case letters, digits and `_`, beginning "
         "with a letter, 40 characters at most."),
    Code("L105", "error", "a link needs exactly two sides",
         "Two of the top-level keys must be the names of nodes, each with `{table: ..., key: ...}`."),
    Code("L106", "error", "table name cannot be read",
         "Write `table` or `schema.table`; a part with dots or quotes in it goes into double quotes: "
         "'sales.\"Order.Lines\"'. Bare parts are taken exactly as written."),
    Code("L107", "error", "column name cannot be read",
         "Write the column's name alone, exactly as the database has it; the node is the key before it. A name with "
         "dots goes into double quotes."),
    Code("L108", "error", "flow cannot be read",
         "`flow` is `a -> b` for one way, or `a <-> b` for both, with the two nodes of the link. Without it the "
         "link is two-way."),
    Code("L109", "error", "match is not the same on both sides",
         "`match` names columns on both nodes, as many on one as on the other; they are compared in order."),
    Code("L110", "error", "not a node of this link",
         "Only the two nodes that are the link's sides (for a field: those it has columns on) can be named here."),
    Code("L111", "error", "nothing is written on that node",
         "The link, being one-way, never writes on this node, so what is asked for there could not happen. Change "
         "`flow` or remove it."),
    Code("L112", "error", "delete cannot be read",
         "`delete` says, for a node, what a delete on the other side does there: `delete`, `ignore`, or `set column "
         "= expression, ...`."),
    Code("L113", "error", "a list is empty",
         "The list must have at least one entry: a link without fields carries nothing, a side without key cannot "
         "find a record, a lookup whose match is empty would find any row."),
    Code("L114", "error", "column is named twice",
         "The same column stands twice in a key, a match or the assignments of a delete."),
    Code("L115", "error", "value is not one of those allowed",
         "Only the values listed in the message have a meaning here."),
    Code("L116", "warning", "an edit cannot cleanly undo that delete",
         "`update_deleted: update` makes a record again, under its old key, whose delete met an edit. It does so where "
         "`create` says `never` too, for the record was there before. Where `delete` keeps the other side's record "
         "(`ignore`, `set ...`), its users see no delete: whether they undo it depends on the moment of their edit, and "
         "columns that the delete has set may stay so."),
    Code("L117", "error", "nothing to restore",
         "`restore` takes back what `delete: set ...` has done on that node when the record takes part again; with no such "
         "rule there is nothing to take back."),
    Code("L118", "error", "stub reads more than the key",
         "A stub stands for a record of which nothing is known but its key, so `stub` may set constants and what is made of "
         "that key."),
    Code("L119", "error", "class of nodes cannot be on this side",
         "A link whose side is a class of nodes is one link for each of them. The other side must be a single node that is "
         "none of these."),
    # -- fields --------------------------------------------------------------------------------------------------------
    Code("L201", "error", "field has no column",
         "A field names a column on one or both nodes of the link: `{crm: name, erp: customer_name}`."),
    Code("L202", "error", "field has several sources",
         "A field gets its value in one way: as a copy, by `values`, `lookup`, `link`, `convert`, `from`, "
         "`value` or `code`. Split it in two, or put all into one `convert`."),
    Code("L203", "error", "one-sided field has no source",
         "A field with a column on one node only needs `from`, `value`, `code` or `initial` to say where its value "
         "comes from; or the other node's column is missing."),
    Code("L204", "error", "needs a column on both nodes",
         "`values`, `lookup`, `link` and `convert` turn one node's column into the other's, so the field must name "
         "both."),
    Code("L205", "error", "convert is missing for a direction",
         "The field is written on both nodes, but `convert` says how in one direction only. Give the other, or "
         "restrict the field with `to`."),
    Code("L206", "error", "values are not one-to-one",
         "Two values of the first-named node become the same one on the other, so the way back, which this field "
         "also goes, is undecided. Restrict the field with `to`, or make the values differ."),
    Code("L207", "error", "value list cannot be used",
         "A value list pairs texts. NULL always goes with NULL and is not listed; a value may be listed once; an "
         "empty list maps nothing."),
    Code("L208", "error", "field name is used twice",
         "A field's name identifies it in state, logs and messages. Give one of the two another with `name`."),
    Code("L209", "error", "column is filled by two fields",
         "Two fields of the link give this column a value, and which would win is undecided. Remove one, or "
         "restrict one with `to`."),
    Code("L210", "warning", "setting has no effect",
         "What is set can never come into play as the field stands, so the reader of the file is misled. Remove it, "
         "or let the field be written where it matters."),
    Code("L211", "error", "rule needs edits on both nodes",
         "`delta`, `merge` and `queue` say what becomes of two edits of one field. The field must have a column on both "
         "nodes and be written on both: a two-way link, and no `to`."),
    Code("L212", "error", "rule needs a plain copy",
         "A counter is added to, and a merge computed, with the values of both nodes. They must mean the same on both, "
         "so the field can have no `values`, `lookup`, `link` or `convert`."),
    Code("L213", "error", "key or match under delta or merge",
         "A key and a match column say which record it is. Added up or merged, they would say another one."),
    Code("L214", "error", "group names a field that is not there",
         "`groups` lists fields by their names: `name` where it is given, else the column that the field names first."),
    Code("L215", "error", "group is too small",
         "A group is two or more fields that win or lose together; one field alone does so anyway."),
    Code("L216", "error", "field is grouped twice",
         "A field can win or lose with one group only."),
    Code("L217", "error", "fields of a group do not go together",
         "One edit decides for the whole group, so all its fields have the same rule, `latest` or an owner, and are "
         "written on the same nodes."),
    Code("L218", "error", "derived column is to be written",
         "A derived column is the result of a query; there is nothing to write it to. Write the field on the other node "
         "only."),
    Code("L219", "error", "slice without a condition",
         "A slice is a part of a row that comes and goes; `where` says when it is there."),
    Code("L220", "error", "nothing says whose slice it is",
         "A record of the other side becomes part of a row that is there already. Which row, is told by fields over the "
         "slice's key, such as `{crm: id, erp: customer_no, link: customer}`, or by `match`."),
    Code("L221", "warning", "two fields compute each other",
         "Two fields, one on each node, each compute their column from the other's. To the replicator they are two one-way "
         "fields: two edits at once are no conflict, and the sides may end unlike. One field with both columns is one "
         "value on two sides; where the two differ, `convert` says how."),
    Code("L222", "error", "reference to several kinds cannot be read",
         "A reference to records of several links is held by two columns, the kind and the key, or by one text `kind,key`; "
         "`link` lists the links with the name of each kind, on both nodes or by node."),
    Code("L223", "warning", "every node of a class owns the field",
         "A record may be on several nodes of the class, and each keeps its own value of what it owns: the other side has what "
         "one of them wrote last. Let that other node own the field, or `latest` decide; or `route` each record to one of them."),
    # -- expressions ---------------------------------------------------------------------------------------------------
    Code("L301", "error", "SQL expression cannot be read",
         "The text is not an SQL expression in PostgreSQL's syntax; the place given is where reading stopped."),
    Code("L302", "error", "more than one expression",
         "One expression is expected; `;` separates statements and has no place in it."),
    Code("L303", "error", "statement or subquery",
         "Expressions compute from one record alone. What must be read from another table is a `lookup` or a `link` "
         "field."),
    Code("L304", "error", "aggregate or window function",
         "Aggregates and window functions need many rows; an expression sees one record."),
    Code("L305", "error", "parameter in an expression",
         "There is nothing that could fill `$1`, `:name`, `%s` or `?`. Write the value itself."),
    Code("L306", "error", "unknown function",
         "Only PostgreSQL's own pure functions are known: text, numbers, dates, JSON, arrays. Functions of your own "
         "may change under the replicator; write their expression out, or compute a column in the database."),
    Code("L307", "error", "function is not allowed",
         "The function gives another result at each call, writes, or reaches the server's files, settings or other "
         "databases. Two evaluations of a link must give the same value."),
    Code("L308", "error", "column without its node",
         "A column is written `node.column`, so that one can see on which side it is. A text constant goes into "
         "single quotes."),
    Code("L309", "error", "unknown node in an expression",
         "The name before the dot is not a node of this link."),
    Code("L310", "error", "expression reads the wrong node",
         "An expression sees one record: what is written on a node is computed from the other node's record; "
         "`where` and `delete` see their own."),
    Code("L311", "error", "SQL construct is not allowed",
         "The construct is not among those known to mean the same here and in the database. Casts, CASE, operators, "
         "IN lists and function calls are."),
    Code("L312", "error", "type is not allowed in a cast",
         "Casts go to PostgreSQL's built-in types. The value is cast to the column's own type (an enum, a domain) "
         "anyway; leave that cast off."),
    Code("L313", "warning", "expression reads the clock",
         "The value changes as time passes without any record changing, so the two sides will be found different "
         "again and again. Use it in `initial` or `delete`, where it is evaluated once."),
    Code("L314", "error", "expression is too long or too deep",
         "An expression may have 10,000 characters, 2,000 words and 50 levels. Larger logic belongs into a "
         "generated column or a view."),
    Code("L315", "error", "not a single column",
         "`node.*` and names of three parts are not read; write `node.column`."),
    Code("L316", "error", "expression is empty",
         "An SQL expression was expected. Write `null` for NULL, `''` for the empty text, or remove the key."),
    Code("L317", "error", "merge reads another column",
         "A merge makes one value of the field's two and sees nothing else: another column may have been edited, or "
         "not, by the time the two values meet."),
    Code("L318", "error", "merge does not read both columns",
         "A merge that reads one column, or none, drops the other side's edit without looking at it. That is what an "
         "owner does: `rule:` with that node's name."),
    Code("L320", "error", "query cannot be read",
         "A side's `query` and a derived column are one SELECT (or WITH ... SELECT) in PostgreSQL's words."),
    Code("L321", "error", "query changes something",
         "A query of a link is run again whenever a row that it reads has changed; it must do nothing but read."),
    Code("L322", "error", "query is not repeatable",
         "The query asks for the time, a random number or the session. Its result changes without any row changing, so "
         "no change would lead to reading it again."),
    Code("L323", "error", "table of a query has no schema",
         "Tables in queries are written with their schema, so that they mean the same in every session."),
    Code("L324", "error", "query reads the other node",
         "A query runs on its own node. Columns of its own record are written `node.column`; the other node's are not "
         "there."),
    Code("L325", "error", "query reads no table",
         "What is computed from the record alone goes into `convert` or `from`."),
    Code("L326", "error", "query does not give the key",
         "The columns of `key` must stand in the query's SELECT list under these names."),
    Code("L327", "error", "query would be written",
         "A side that is a query is only read, so the link flows away from it."),
    Code("L328", "error", "extended table has another kind of key",
         "A record and the tables it extends share one key; each names the columns that hold it, in the same order."),
    Code("L340", "error", "assertion reads a record",
         "An assertion compares two queries over whole tables. It has no record whose columns it could read: tables "
         "are written with their schema, and their columns with an alias, or alone."),
    # -- links among each other ----------------------------------------------------------------------------------------
    Code("L401", "error", "link name is used twice",
         "Two files declare a link of this name; the crosswalk of a link is kept under its name. Only the first was "
         "kept."),
    Code("L402", "error", "link does not exist",
         "`link` in a field names another link of the folder, through whose crosswalk the key is translated."),
    Code("L403", "error", "referenced link joins other nodes",
         "A key can only be translated by a link between the same two nodes."),
    Code("L404", "error", "referenced link has a composite key",
         "A field holds one column; it cannot hold a key of several. Give the referenced link a key of one column."),
    Code("L405", "error", "links wait for each other in a circle",
         "Each of these references waits until its record exists, so records that refer to each other would wait "
         "for ever. Give one of them `missing: later`, so that it is filled in when the record is there, `stub`, or `null`."),
    Code("L406", "error", "node is not declared",
         "The link has a side on a node that `replicator.yaml` does not list under `nodes`."),
    Code("L407", "warning", "file is not read",
         "Only files that end in `.yaml` are read as links. Rename it."),
    Code("L408", "error", "no links",
         "The folder of mappings has no link file (`*.yaml`, not `*_test.yaml`)."),
    Code("L409", "error", "nodes are joined in a ring",
         "What a node receives it passes on, so over the same tables there must be one way only between any two nodes: "
         "a star or a chain. Leave out one of the links; its records take the other way."),
    Code("L410", "error", "no stub can be made",
         "`missing: stub` makes a record of the other link, where the field is written, before its own comes. That link must "
         "make records there, its fields must go by the newer edit or by an owner, and what is written must not be passed on "
         "to further nodes."),
    # -- links against the tables --------------------------------------------------------------------------------------
    Code("L501", "error", "table does not exist",
         "The node has no such table, or the replicator's user may not see it. Names are compared exactly, upper "
         "and lower case included."),
    Code("L502", "error", "column does not exist",
         "The table has no such column. Names are compared exactly; in SQL expressions unquoted names are lower "
         "case."),
    Code("L503", "error", "key is not unique",
         "The columns of `key` must identify one row: a primary key, or a unique constraint or index over them (or "
         "some of them), without condition."),
    Code("L504", "error", "generated column is written",
         "The database computes this column and refuses a value from outside. Write on the other node only (`to`), "
         "or remove the field."),
    Code("L505", "error", "required column is never filled",
         "The column is NOT NULL without default, records are created in its table, and no field of the link gives "
         "it a value: every insert would fail. Add a field with `from`, `value` or `initial`."),
    Code("L506", "warning", "required column is left to a trigger",
         "As L505, but the table has triggers, which may fill it. If none does, every insert fails."),
    Code("L507", "warning", "copy may lose or be refused",
         "The target's type holds less than the source's: digits, characters, time of day or time zone. Say with "
         "`convert` what is meant, or widen the column."),
    Code("L508", "warning", "types do not go together",
         "The source's values are written as text and read as the target's type, which will be refused for some of "
         "them. Say with `convert` or `values` what is meant."),
    Code("L509", "warning", "lookup is not unique",
         "Nothing in the database keeps two rows of the looked-up table from having the same value, so a lookup "
         "could find several. Add a unique index."),
    Code("L510", "warning", "match is not unique",
         "Nothing in the database keeps two records from having the same match value; records that match several "
         "are not adopted. Add a unique index, or match on more columns."),
    Code("L511", "warning", "NULL may meet NOT NULL",
         "The source may be NULL and the target may not; such records are parked. Use `convert` with coalesce(), or "
         "make the source NOT NULL."),
    Code("L512", "error", "counter is not an exact number",
         "`delta` adds and subtracts, so both columns must be whole or decimal numbers. Binary fractions (`real`, "
         "`double precision`) are none: their sums depend on the order, so the two sides would end unlike."),
    Code("L513", "warning", "counter is rounded on the way",
         "One column keeps more decimals than the other. What is added on one side is rounded on the other each time, "
         "and the sums drift apart. Give both columns the same number of decimals."),
    Code("L514", "note", "NULL counts as 0",
         "A counter that may be NULL is added to as if it were 0: from NULL to 5 adds 5 on the other side, from 5 to "
         "NULL takes 5 away. Make the column NOT NULL DEFAULT 0 to say so in the table."),
    Code("L518", "warning", "quotient is not rounded",
         "PostgreSQL divides decimal numbers to at least 16 digits, and the column keeps them all. Applications that count "
         "digits refuse to work with such a value, which looks like any other in SQL. Round it to what they write themselves."),
    Code("L515", "warning", "sum or merge may be taken",
         "The column is part of a unique constraint. A value that nobody entered, made by adding or merging, may be "
         "one that another record has; the change is then parked."),
    Code("L516", "warning", "derived column may be several rows",
         "A derived column is one value. Nothing in the query or in the tables' unique keys keeps it from finding several "
         "rows, and the server refuses such a query."),
    Code("L517", "error", "slice cannot be emptied",
         "When the other side's record goes, the columns of the slice become NULL, unless `delete: set ...` says otherwise. "
         "This column may not be NULL."),
    Code("L519", "warning", "record that returns is made again",
         "With `ignore` the pair of a record that no longer takes part is forgotten and the other side's record kept. "
         "When the record takes part again it is a new one, and nothing tells that the old one is there."),
    Code("L520", "error", "stub lacks a required column",
         "A stub is made of its key, of constants and of `stub: set ...` of its link. The column is NOT NULL without default "
         "and gets nothing: every stub would be refused."),
    Code("L521", "warning", "stub leaves a required column to a trigger",
         "As L520, but the table has triggers, which may fill it. If none does, every stub is refused."),
    # -- replicator.yaml -----------------------------------------------------------------------------------------------
    Code("C001", "error", "DSN is written out",
         "A DSN holds a password and does not belong into a file. Put it into an environment variable and name "
         'that: `dsn: "${CRM_DSN}"`.'),
    Code("C002", "error", "environment variable is not set",
         "The variable that holds a node's DSN is missing or empty in the environment of this process."),
    Code("C003", "error", "node name is not allowed",
         "A node's name is used in links and in SQL expressions: lower-case letters, digits and `_`, beginning with "
         "a letter, 31 characters at most, no word of SQL or of link files."),
    Code("C004", "error", "engine is unknown",
         "The node's `engine` must be one this version has."),
    Code("C005", "error", "setting is out of bounds",
         "The setting must be a whole number within the bounds given."),
    Code("C006", "error", "too few or too many nodes",
         "A replicator needs at least two nodes, and stamps have room for 63."),
    Code("C007", "warning", "two nodes have the same DSN",
         "Two nodes take their DSN from the same variable, so both are the same database. That is rarely meant."),
    Code("C008", "error", "mapping folder does not exist",
         "`mappings` is a folder, given relative to `replicator.yaml`."),
    Code("C009", "error", "class name is not allowed",
         "A class of nodes is named in links as a node is: by the same rules (C003), and by a name that no node has."),
    Code("C010", "error", "code does not tell the node",
         "`code` is what data calls a node, and `route` picks nodes of a class by it: it must not be empty, and no other "
         "node of the class may have it."),
    # -- tests of links ------------------------------------------------------------------------------------------------
    Code("T001", "error", "link under test does not exist",
         "`test` names links of the same folder; a conflict can only be expected of those and of links that they refer "
         "to."),
    Code("T002", "error", "nothing says what tables a node has",
         "`schema` names, for each node, a file with the SQL that makes its tables, such as `pg_dump --schema-only` "
         "writes. Say it in the folder's `_test.yaml` for all tests, or in the test itself."),
    Code("T003", "error", "schema file cannot be read",
         "The file that `schema` names is missing or is not UTF-8. Its path is relative to the file that names it."),
    Code("T004", "error", "node of a test does not exist",
         "The nodes are those that `schema` names, here and in the folder's `_test.yaml`."),
    Code("T005", "error", "case name is used twice",
         "A case is known, reported and picked by its name."),
    Code("T006", "error", "field of a conflict does not exist",
         "A conflict is expected of a field that no link of the test has, so it could never come."),
    Code("T101", "error", "table of a test does not exist",
         "The schema files make no table of this name on that node."),
    Code("T102", "error", "column of a test does not exist",
         "The table has no column of this name, so no row could be given or expected with it."),
    Code("T103", "error", "value of a test is not of the column's type",
         "The column could never hold this value. Write it as the database writes it, or as an expression."),
    Code("T104", "error", "schema file is refused",
         "The server cannot run the SQL that is to make the tables. Files of pg_dump run as they are, if they are made "
         "without owners and privileges; extensions must be installed on the server that runs the tests."),
    Code("T105", "error", "given row is refused",
         "The server refuses a row that every case is to begin with."),
    Code("T106", "error", "replicator cannot be prepared for a test",
         "What `replicator init` does failed on the tables of the test."),
)  # fmt: skip

CODES: dict[str, Code] = {entry.code: entry for entry in _TABLE}


def finding(code: str, where: Mark | str, message: str, hint: str = "") -> Finding:
    """A finding of a code in the table; the table gives the severity."""
    return Finding(where, code, message, hint, CODES[code].severity)
