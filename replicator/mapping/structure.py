"""Links against the tables they name: what a database would refuse, lose or find twice.

Works on what was read of the tables, not on a database. Every rule is a small function over one
link, listed in RULES; a rule is silent about tables and columns that do not exist, which have
rules of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from replicator.mapping.checked import Checked, Copy, Tables
from replicator.mapping.codes import finding
from replicator.mapping.expressions import to_sql
from replicator.mapping.findings import Findings, near
from replicator.mapping.one_row import gives_one_row
from replicator.mapping.sql_tree import divides
from replicator.mapping.stubbed import columns_of_stub
from replicator.mapping.types import decimals, is_exact, loss, mismatch
from replicator.model.finding import Finding, Mark
from replicator.model.link import Field, Kind, KindTable, Link, Missing, Side
from replicator.model.table import Column, TableName

COMPUTED = ("delta", "merge")  # rules that make a value of two, and therefore allow no `convert`


def check_structure(links: Sequence[Link], tables: Tables) -> list[Finding]:
    """Every finding of every rule. A table that is None does not exist; one that is not a key is not looked at."""
    found = Findings()
    by_name = {link.name: link for link in links}
    for link in links:
        for rule in RULES:
            found.extend(rule(Checked(link, by_name, tables)))
    return found.in_order()


def not_there(links: Sequence[Link], tables: Tables) -> list[Finding]:
    """Tables and columns that links name and that do not exist."""
    found = Findings()
    by_name = {link.name: link for link in links}
    for link in links:
        for rule in (missing_tables, missing_columns):
            found.extend(rule(Checked(link, by_name, tables)))
    return found.in_order()


def errors_of_link(checked: Checked) -> list[Finding]:
    """What is wrong with one link."""
    found = Findings()
    for rule in RULES:
        found.extend(rule(checked))
    return [finding for finding in found.in_order() if finding.severity == "error"]


def tables_needed(links: Sequence[Link]) -> list[tuple[str, TableName]]:
    """What `check_structure` wants to know of: the tables of all sides and lookups, each once."""
    needed = {(side.node, name) for link in links for side in link.sides for name in _catalogued(side)}
    needed |= {place for link in links for place in link.looked_up}
    return sorted(needed)


def _catalogued(side: Side) -> list[TableName]:
    """The names under which the catalog knows what a side's record is made of."""
    return [*side.tables, *([side.table] if side.query else []), *([side.described] if side.derived else [])]


def tables_marked(link: Link) -> list[tuple[str, TableName, Mark]]:
    """Every table that the link names, and where it does."""
    marks = {(side.node, name): query.mark for side in link.sides for query in side.queries for name in query.tables}
    marks |= {(side.node, side.table): side.mark for side in link.sides}
    named = [(side.node, name, marks.get((side.node, name), side.mark)) for side in link.sides for name in side.tables]
    named += [(f.lookup.node, f.lookup.table, f.lookup.mark) for f in link.fields if f.lookup]
    return named + [(node, kept.table, kept.mark) for field, node, kept in _kind_tables(link)]


def missing_tables(checked: Checked) -> Iterator[Finding]:
    for node, name, mark in tables_marked(checked.link):
        if checked.tables.get((node, name), ...) is None:
            others = [str(t) for n, t in checked.tables if n == node and checked.tables[n, t]]
            hint = near(str(name), others) or "check the name, and that the replicator's user may use its schema"
            yield finding("L501", mark, f"{node} has no table {name}", hint)


def _kind_tables(link: Link) -> Iterator[tuple[Field, str, KindTable]]:
    for field in link.fields:
        if field.reference is not None and field.reference.part == "key":
            for node, kept in field.reference.tables.items():
                yield field, node, kept


def missing_columns(checked: Checked) -> Iterator[Finding]:
    for use in checked.uses():
        own = use.table == checked.link.side(use.node).table
        table = checked.table(use.node) if own else checked.tables.get((use.node, use.table))
        if table is not None and use.column not in table.by_name:
            hint = near(use.column, table.by_name) or f"it has {', '.join(list(table.by_name)[:8])}"
            yield finding("L502", use.mark, f"{use.node}: {use.table} has no column {use.column}", hint)


def keys_not_unique(checked: Checked) -> Iterator[Finding]:
    for side in checked.link.sides:
        table = checked.table(side.node)
        if table and not table.is_unique(side.key) and all(name in table.by_name for name in side.key):
            hint = f"its primary key is {', '.join(table.primary_key)}" if table.primary_key else "add a unique index"
            message = f"{side.node}: {', '.join(side.key)} is not unique in {side.table}"
            yield finding("L503", side.mark, message, hint)


def generated_columns_written(checked: Checked) -> Iterator[Finding]:
    for side in checked.link.sides:
        rule = checked.link.delete.get(side.node)
        others = checked.link.restore.get(side.node), checked.link.stub.get(side.node)
        written = [(name, e.mark) for how in (rule, *others) if how for name, e in how.assignments]
        for field in checked.link.fields:
            if side.node in field.writes or side.node in field.initial:
                written.append((field.columns[side.node], field.mark))
        for name, mark in written:
            column = checked.column(side.node, name)
            if column and (column.generated or column.identity_always):
                message = f"{checked.place(side.node, name)} is generated always and cannot be written"
                yield finding("L504", mark, message, f"write the field with `to: {checked.link.other(side.node).node}`")


def required_columns_unfilled(checked: Checked) -> Iterator[Finding]:
    for side in checked.link.sides:
        table = checked.table(side.node)
        if table is None or side.slice or not checked.creates_on(side.node):
            continue
        named = {f.columns[side.node]: f for f in checked.link.fields if side.node in f.writes or side.node in f.initial}
        filled = {name for name, field in named.items() if not _left_to_owner(field, side.node)}
        for column in table.columns:
            given = column.default is not None or column.identity or column.identity_always or column.generated
            if column.not_null and not given and column.name not in filled:
                code = "L506" if table.has_triggers else "L505"
                owned = named.get(column.name)
                why = "the field that it belongs to is not written when a record is made there" if owned else "no field fills it"
                message = f"{checked.place(side.node, column.name)} is NOT NULL without default, and {why}"
                hint = f"add a field with `from`, `value` or `initial`, or `create: {{{side.node}: never}}`"
                if owned:
                    other = checked.link.other(side.node).node
                    example = f'`initial: {{{side.node}: "{other}.{owned.columns[other]}"}}`'
                    hint = f"say what a new record has, for example {example}, or give the column a default"
                yield finding(code, owned.mark if owned else side.mark, message, hint)


def _left_to_owner(field: Field, node: str) -> bool:
    """Whether a record that is made on `node` takes the column's default: the node owns the field."""
    return field.rule.owner == node and len(field.writes) == 2 and node not in field.initial


def stubs_unfilled(checked: Checked) -> Iterator[Finding]:
    for kind, its, node in _stubs(checked):
        table, filled = its.table(node), columns_of_stub(its.link, node)
        for column in table.columns if table else ():
            given = column.default is not None or column.identity or column.identity_always or column.generated
            if column.not_null and not given and column.name not in filled:
                code = "L521" if table and table.has_triggers else "L520"
                place = its.place(node, column.name)
                message = f"{place} is NOT NULL without default, and a stub of link {kind.link} has nothing for it"
                hint = f'say in that link what a stub has: `stub: {{{node}: "set {column.name} = ..."}}`'
                yield finding(code, kind.mark, message, hint)


def _stubs(checked: Checked) -> Iterator[tuple[Kind, Checked, str]]:
    """What the link makes stubs of, and where."""
    for field in checked.link.fields:
        reference = field.reference
        if reference is not None and reference.missing is Missing.STUB and reference.part == "key":
            for kind in reference.kinds:
                link = checked.links.get(kind.link)
                for node in sorted(field.writes) if link is not None else ():
                    yield kind, replace(checked, link=link or checked.link), node


def lossy_copies(checked: Checked) -> Iterator[Finding]:
    for copy in checked.copies():
        if what := loss(copy.source, copy.column):
            yield _copy_finding("L507", checked, copy, what)


def unlike_copies(checked: Checked) -> Iterator[Finding]:
    for copy in checked.copies():
        if what := mismatch(copy.source, copy.column):
            yield _copy_finding("L508", checked, copy, what)


def _copy_finding(code: str, checked: Checked, copy: Copy, what: str) -> Finding:
    place = checked.place(copy.target, copy.column.name)
    message = f"{copy.source.name} {copy.source.type} goes into {place} {copy.column.type}: {what}"
    hint = (
        "change one of the columns"
        if copy.field.rule.kind in COMPUTED
        else "say with `convert` what is meant, or change the column"
    )
    return finding(code, copy.field.mark, message, hint)


def lookups_not_unique(checked: Checked) -> Iterator[Finding]:
    for field in checked.link.fields:
        look = field.lookup
        table = checked.tables.get((look.node, look.table)) if look else None
        # Looked up on the table's node; looked up backwards where the field is written on the other.
        forth = [tuple(look.match) or (look.by,)] if look and look.node in field.writes else []
        asked = [*forth, (look.key,)] if look and field.writes - {look.node} else forth
        for names in dict.fromkeys(asked) if look and table else ():
            if look and table and table.by_name.keys() >= set(names) and not table.is_unique(names):
                listed = ", ".join(names)
                message = f"{look.node}: {listed} is not unique in {look.table}, so a lookup could find several rows"
                yield finding("L509", look.mark, message, f"add a unique index on {look.table} ({listed})")


def kinds_not_unique(checked: Checked) -> Iterator[Finding]:
    for _, node, kept in _kind_tables(checked.link):
        table = checked.tables.get((node, kept.table))
        for names in ((kept.key,), kept.by) if table else ():
            if table and table.by_name.keys() >= set(names) and not table.is_unique(names):
                listed = ", ".join(names)
                message = f"{node}: {listed} is not unique in {kept.table}, so a kind could be several"
                yield finding("L509", kept.mark, message, f"add a unique index on {kept.table} ({listed})")


def matches_not_unique(checked: Checked) -> Iterator[Finding]:
    link = checked.link
    for side in link.sides:
        columns, table = link.match.get(side.node, ()), checked.table(side.node)
        if columns and table and not table.is_unique(columns) and all(name in table.by_name for name in columns):
            message = f"{side.node}: {', '.join(columns)} is not unique in {side.table}; several records could match"
            hint = "add a unique index, or match on more columns"
            yield finding("L510", link.match_mark or side.mark, message, hint)


def null_into_not_null(checked: Checked) -> Iterator[Finding]:
    for field in checked.link.fields:
        for target in sorted(field.writes) if field.rule.kind != "delta" else ():  # a counter's NULL is written as 0
            column = checked.column(target, field.columns[target])
            if column and column.not_null and (why := _may_be_null(checked, field, target)):
                message = f"{checked.place(target, column.name)} is NOT NULL, but {why}"
                computed = field.rule.kind in COMPUTED
                hint = "make the source NOT NULL" if computed else "use `convert` with coalesce(), or make the source NOT NULL"
                yield finding("L511", field.mark, message, hint)


def _may_be_null(checked: Checked, field: Field, target: str) -> str:
    if target in field.convert:
        return ""
    source = checked.link.other(target)
    how = field.lookup.missing if field.lookup else field.reference.missing if field.reference else Missing.WAIT
    if how is Missing.LATER:
        return "it stays NULL until what it refers to is there"
    if how is Missing.NULL and (field.lookup is None or field.lookup.default is None):
        return "what is not found becomes NULL"
    if field.lookup and field.lookup.match:
        return ""
    name = field.columns[source.node]
    column = checked.column(source.node, name)
    asked = source.where is not None and name in source.where.reads  # the condition may rule NULL out
    return f"{checked.place(source.node, name)} may be NULL" if column and not column.not_null and not asked else ""


def counters_not_exact(checked: Checked) -> Iterator[Finding]:
    for field, columns in _counters(checked):
        for node, column in columns.items():
            if not is_exact(column):
                message = f"{checked.place(node, column.name)} is {column.type}, which cannot be counted up exactly"
                yield finding("L512", field.rule.mark, message, "use integer, bigint or numeric on both sides, or another rule")


def counters_rounded(checked: Checked) -> Iterator[Finding]:
    for field, columns in _counters(checked):
        if len(columns) == 2 and all(map(is_exact, columns.values())):
            (one, a), (other, b) = columns.items()
            if decimals(a) != decimals(b):
                message = f"{one}.{a.name} is {a.type} and {other}.{b.name} {b.type}: what one adds is rounded on the other"
                yield finding("L513", field.rule.mark, message, "give both columns the same number of decimals")


def counters_null(checked: Checked) -> Iterator[Finding]:
    for field, columns in _counters(checked):
        places = [checked.place(node, column.name) for node, column in columns.items() if not column.not_null]
        if places and all(map(is_exact, columns.values())):
            message = f"{' and '.join(places)} may be NULL, which counts as 0"
            yield finding("L514", field.rule.mark, message, "make it NOT NULL DEFAULT 0, if 0 is what NULL means")


def _counters(checked: Checked) -> Iterator[tuple[Field, dict[str, Column]]]:
    for field in checked.link.fields:
        if field.rule.kind == "delta":
            found = {node: checked.column(node, name) for node, name in field.columns.items()}
            yield field, {node: column for node, column in found.items() if column}


def computed_values_unique(checked: Checked) -> Iterator[Finding]:
    for field in checked.link.fields:
        for node, name in field.columns.items() if field.rule.kind in COMPUTED else ():
            table = checked.table(node)
            if table and any(name in key for key in (table.primary_key, *table.unique_keys)):
                message = f"{checked.place(node, name)} is unique; {field.rule.kind} may make a value that another record has"
                yield finding("L515", field.rule.mark, message, "use latest, queue or an owner, or live with parked records")


def quotients_unrounded(checked: Checked) -> Iterator[Finding]:
    for field in checked.link.fields:
        for target, expression in field.convert.items():
            column = checked.column(target, field.columns[target])
            source = expression.node
            reads = [checked.column(source, name) for name in sorted(expression.reads)] if source else []
            whole = all(read is not None and decimals(read) == 0 for read in reads)
            endless = column is not None and is_exact(column) and decimals(column) is None
            if column and endless and not whole and divides(to_sql(expression, lambda _: "c")):
                place = checked.place(target, column.name)
                message = f"{place} is {column.type} and keeps every decimal of a quotient, as in 12.5000000000000000"
                hint = "end it with round(..., 4), or as many decimals as the application's own values have"
                yield finding("L518", expression.mark, message, hint)


def derived_several(checked: Checked) -> Iterator[Finding]:
    for side in checked.link.sides:
        for name, query in side.derived.items():
            known = all(checked.tables.get((side.node, table)) is not None for table in query.tables)
            if known and not gives_one_row(query.text, lambda table, node=side.node: checked.tables.get((node, table))):  # type: ignore[misc]
                message = f"the query of {side.node}.{name} may give several rows for one record, which the server refuses"
                hint = "end it with `order by ... limit 1`, or make one value of them with max(), string_agg(), ..."
                yield finding("L516", query.mark, message, hint)


def slices_not_emptied(checked: Checked) -> Iterator[Finding]:
    for side in checked.link.sides:
        rule = checked.link.delete.get(side.node)
        for name, value in rule.assignments if side.slice and rule else ():
            column = checked.column(side.node, name)
            if value.text == "NULL" and column and column.not_null:
                message = f"{checked.place(side.node, name)} is NOT NULL, and is to become NULL when the other side deletes"
                hint = f"say what is there then, for example `delete: {{{side.node}: \"set {name} = ''\"}}`"
                yield finding("L517", side.mark if value.mark == checked.link.mark else value.mark, message, hint)


def returning_made_twice(checked: Checked) -> Iterator[Finding]:
    link = checked.link
    for source, target in sorted(link.flows):
        rule, create = link.delete.get(target), link.create.get(target)
        kept = rule is not None and rule.kind == "ignore" and link.side(source).where is not None
        found_again = bool(link.match.get(target)) or (create is not None and create.text == "false")
        given = {field.columns[target] for field in link.fields if target in field.writes or target in field.initial}
        if kept and rule and not found_again and not given.issuperset(link.side(target).key):
            message = f"a record that leaves {source}'s condition stays on {target}; when it returns it is made there again"
            hint = f'let it only be marked, `delete: {{{target}: "set ..."}}` with `restore`, or say `match`'
            yield finding("L519", rule.mark, message, hint)


RULES: tuple[Callable[[Checked], Iterator[Finding]], ...] = (
    missing_tables,
    missing_columns,
    keys_not_unique,
    generated_columns_written,
    required_columns_unfilled,
    stubs_unfilled,
    lossy_copies,
    unlike_copies,
    lookups_not_unique,
    kinds_not_unique,
    matches_not_unique,
    null_into_not_null,
    counters_not_exact,
    counters_rounded,
    counters_null,
    computed_values_unique,
    quotients_unrounded,
    derived_several,
    slices_not_emptied,
    returning_made_twice,
)
