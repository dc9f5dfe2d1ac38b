"""`replicator test`: the tests that lie beside the links, run by the live program on databases of their own."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from replicator.errors import ConfigurationError
from replicator.mapping.cases import find_suites, load_suite
from replicator.mapping.config import load_config
from replicator.model.case import Case, Suite
from replicator.model.finding import Finding
from replicator.runtime.lint import errors_of
from replicator.runtime.match_rows import Failure, Line
from replicator.runtime.suite_run import BadSuite, Bench, CaseResult, SuiteRun

from .output import Output, as_object
from .session import BadConfiguration, ConfigOption, JsonOption, Session, open_session

BAD_FILE = 2
SHOWN_VALUE = 60
PLAIN = re.compile(r"[\w./+-][\w ./+:@-]*(?<! )")  # what needs no quotes in a test file
SERVER_HELP = "Make the databases on this server instead of starting one; its role must be a superuser."


def run_tests(
    context: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="Test files, or folders of them.")] = None,
    *,
    pick: Annotated[str, typer.Option("-k", metavar="TEXT", help="Only cases with this text in their name or file.")] = "",
    server: Annotated[str, typer.Option("--server", metavar="DSN", envvar="REPLICATOR_TEST_SERVER", help=SERVER_HELP)] = "",
    keep: Annotated[bool, typer.Option("--keep", help="At the first failure, leave its databases until Ctrl-C.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Runs the tests beside the links.

    A file `customer_test.yaml` says what people do on either side and what both sides must then hold; mappings/README.md
    shows how. Each case runs on fresh databases of a PostgreSQL server that is started for it: the DSNs of the
    configuration are not needed and nothing of yours is touched. Without PATH, the tests in the folder of the mappings.
    Ends with 1 if a case fails, with 2 if a file cannot be understood.

    \b
    Example:
      replicator test
      replicator test mappings/crm_erp/customer_test.yaml -k address
      replicator test -k address --keep      and look at what is there with psql
    """
    session = open_session(context, config, as_json)
    report = Report(session.output)
    files = _files(session, paths or [])
    with Bench(server or None) as bench:
        for path in files:
            suite, findings = load_suite(path)
            if suite is None:
                report.bad(path, findings)
                continue
            cases = [case for case in suite.cases if pick.casefold() in f"{path.name} {case.name}".casefold()]
            if cases and not _run(bench, suite, cases, report, keep):
                break
    if pick and not report.results and not report.findings:
        raise ConfigurationError(f"no case has {pick!r} in its name or file", "`replicator test` without -k shows them all")
    return report.close()


def _files(session: Session, paths: Sequence[Path]) -> list[Path]:
    if not paths:
        session.require_file()
        loaded, findings = load_config(session.config_path, session.environ)
        if loaded is None:
            raise BadConfiguration(errors_of(findings))
        paths = [Path(loaded.mappings)]
    files = [file for path in paths for file in find_suites(path)]
    if not files:
        places = ", ".join(map(str, paths))
        hint = "a test is called as its link, customer_test.yaml; mappings/README.md shows one"
        raise ConfigurationError(f"there are no tests in {places}", hint)
    return list(dict.fromkeys(files))


def _run(bench: Bench, suite: Suite, cases: Sequence[Case], report: Report, keep: bool) -> bool:
    """Whether to go on."""
    report.begin(suite)
    with SuiteRun(bench, suite) as run:
        for case in cases:
            try:
                result = run.run(case)
            except BadSuite as error:
                report.bad(Path(suite.path), error.findings)
                return True
            report.add(suite, result)
            if keep and result.failures:
                report.stay(run)
                return False
    return True


@dataclass
class Report:
    """Says each result as it comes."""

    output: Output
    results: list[tuple[Suite, CaseResult]] = field(default_factory=list)
    findings: dict[Finding, None] = field(default_factory=dict)
    not_run: int = 0
    began: float = field(default_factory=time.monotonic)

    def begin(self, suite: Suite) -> None:
        self.output.line(suite.path, "bold")

    def bad(self, path: Path, findings: Sequence[Finding]) -> None:
        """The file is not run; what it has in common with another is said once."""
        self.not_run += 1
        new = [finding for finding in findings if finding not in self.findings]
        self.findings.update(dict.fromkeys(new))
        self.output.line(f"{path}: not run", "bold red")
        self.output.findings(new)

    def add(self, suite: Suite, result: CaseResult) -> None:
        self.results.append((suite, result))
        word, style = ("FAIL", "bold red") if result.failures else ("ok", "green")
        self.output.line(f"  {word:4}  {result.case.name}  ({result.seconds:.1f} s)", style)
        for failure in result.failures:
            self.output.line(f"        {failure.mark}: {failure.message}", "red")
            for text, tint in _difference(failure):
                self.output.line(f"          {text}", tint)

    def stay(self, run: SuiteRun) -> None:
        for node, command in run.psql().items():
            self.output.line(f"{node}: {command}")
        self.output.line("until Ctrl-C")
        try:
            while True:
                self.wait()
        except KeyboardInterrupt:
            self.output.aside("stopping")

    def wait(self) -> None:
        time.sleep(1)

    def close(self) -> int:
        failed = [(suite, result) for suite, result in self.results if result.failures]
        files = len({suite.path for suite, _ in self.results})
        counts = {
            "cases": len(self.results), "files": files, "passed": len(self.results) - len(failed),
            "failed": len(failed), "files_not_run": self.not_run, "seconds": round(time.monotonic() - self.began, 2),
        }  # fmt: skip
        text = f"{_counted(len(self.results), 'case')} in {_counted(files, 'file')}"
        text += f", {counts['passed']} passed, {len(failed)} failed"
        if self.not_run:
            text += f", {_counted(self.not_run, 'file')} not run"
        self.output.line(text, "bold red" if failed or self.not_run else "bold green")
        if failed:
            suite, result = failed[0]
            command = shlex.join(["replicator", "test", suite.path, "-k", result.case.name, "--keep"])
            self.output.line(f"to look into its databases: {command}")
        self.output.document(
            {
                **counts,
                "results": [_as_object(suite, result) for suite, result in self.results],
                "findings": [as_object(finding) for finding in self.findings],
            }
        )
        if self.not_run:
            return BAD_FILE
        return 1 if failed else 0


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _difference(failure: Failure) -> list[tuple[str, str]]:
    """Lines with their colours: `-` expected, `+` found, as expected without a sign. A whole row as a test file has it."""
    expected = [line for line in failure.lines if line.expected is not None]
    found = [line for line in failure.lines if line.found is not None]
    if not expected or not found:
        rows = (("-", expected, "red"), ("+", found, "green"))
        return [(f"{sign} {{{', '.join(map(_pair, lines))}}}", tint) for sign, lines, tint in rows if lines]
    width = max(len(line.column) for line in failure.lines)
    lines = []
    for line in failure.lines:
        name = f"{line.column:{width}}"
        if line.same:
            lines.append((f"  {name}  {_cut(line.found)}", "dim"))
        else:
            lines += [(f"- {name}  {_cut(line.expected)}", "red"), (f"+ {name}  {_cut(line.found)}", "green")]
    return lines


def _pair(line: Line) -> str:
    text = line.expected if line.expected is not None else _cut(line.found)
    return f"{line.column}: {text if PLAIN.fullmatch(text) or line.found is None else json.dumps(text, ensure_ascii=False)}"


def _cut(text: str | None) -> str:
    text = (text or "''").replace("\n", "\\n")
    return text if len(text) <= SHOWN_VALUE else text[: SHOWN_VALUE - 3] + "..."


def _as_object(suite: Suite, result: CaseResult) -> dict[str, Any]:
    mark = result.case.mark
    return {
        "file": suite.path, "case": result.case.name, "line": mark.line, "column": mark.column,
        "passed": not result.failures, "seconds": round(result.seconds, 3),
        "failures": [
            {
                "where": str(f.mark), "path": f.mark.path, "line": f.mark.line, "column": f.mark.column, "message": f.message,
                "expected": {line.column: line.expected for line in f.lines if line.expected is not None},
                "found": {line.column: line.found for line in f.lines if line.found is not None},
            }
            for f in result.failures
        ],
    }  # fmt: skip
