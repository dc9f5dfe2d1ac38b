"""`replicator run`: the daemon in the foreground, as a service manager or a terminal wants it.

Promises: SIGTERM and Ctrl-C finish the batch in hand and end with 0 (a second one ends at once: nothing is
lost by that either); nothing starts with a configuration that has errors.
"""

from __future__ import annotations

import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer

from replicator.apply.outcome import Totals
from replicator.errors import NodeUnavailable, ReplicatorError
from replicator.mapping.structure import check_structure
from replicator.model.config import Config
from replicator.model.finding import Finding, Mark
from replicator.runtime import drift
from replicator.runtime.daemon import Daemon
from replicator.runtime.drain import Drain, Idle, all_flows
from replicator.runtime.lint import check_links, close_all, connect_all, errors_of
from replicator.runtime.setup import check_applied
from replicator.runtime.status import Status, read_status, require_initialised
from replicator.runtime.wiring import plain_connections, read_catalog

from . import logs
from .logs import LogFormat
from .output import Output
from .session import BadConfiguration, Common, ConfigOption, JsonOption, Session, open_session

log = logging.getLogger("replicator")

POLL_SECONDS = 0.1
LOOK_AGAIN_SECONDS = 1.0  # for a server that went away while it was looked at
ONE_SHOT_PATIENCE = 10.0  # seconds in which a predecessor that is ending should be gone
UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def run(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="Carry over what is there now, then stop.")] = False,
    until_idle: Annotated[
        float | None, typer.Option("--until-idle", metavar="SECONDS", min=0.05, help="Stop when idle for that long.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, from where.")] = False,
    report_every: Annotated[
        str,
        typer.Option("--report-every", metavar="TIME", help="How often to log a line a flow, such as 30s or 5m; 0: never."),
    ] = "10s",
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="Serve metrics and health there; a PORT alone: on 127.0.0.1."),
    ] = None,
    reconcile_every: Annotated[
        str | None,
        typer.Option("--reconcile-every", metavar="TIME", help="Compare each link once in that time, such as 1h, in turns."),
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option("--log-format", envvar="REPLICATOR_LOG_FORMAT", help="[default: human; with --json: json]"),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Keeps the databases in step.

    Runs until it is told to stop, by SIGTERM or Ctrl-C. A server that goes away is waited for. What needs
    a person ends the run with a message and exit code 3. A second one, on whichever host, stands by and takes
    over within seconds when the first ends; with --once or --until-idle it gives up instead.
    With --json, one object with the totals is printed at the end; the log is on standard error.

    \b
    Example:
      replicator run
      replicator run --until-idle 5            in cron: catch up, then stop
      replicator run --dry-run                 flows, links, slots, start positions
      replicator run --metrics 0.0.0.0:9187    and figures on http://HOST:9187/metrics, /healthz, /readyz
      replicator run --reconcile-every 6h      and see that both sides agree, link by link
    """
    if once and until_idle is not None:
        raise typer.BadParameter("--once and --until-idle exclude each other")
    every = seconds(report_every)
    if reconcile_every is not None and seconds(reconcile_every) <= 0:
        raise typer.BadParameter("--reconcile-every 0 would never stop comparing; write 1h")
    where = None if metrics is None else endpoint(metrics)
    session = open_session(context, config, as_json)
    form = log_format or (LogFormat.json if session.output.as_json else LogFormat.human)
    handler = logs.start(session.output, form, (context.find_object(Common) or Common()).debug)
    try:
        loaded = session.load()
        status = _looked_at(session, loaded, patient=not (once or until_idle is not None or dry_run))
        if dry_run:
            _show_plan(session.output, status)
            return 0
        short = once or until_idle is not None
        daemon = Daemon(loaded, session.environ, patience=ONE_SHOT_PATIENCE if short else None)
        with (
            _metrics(loaded, daemon, where),
            _rounds(session, loaded, reconcile_every),
            _signals(daemon.stop),
            _company(daemon, every, _condition(session, loaded, daemon, once, until_idle)),
        ):
            daemon.run()
        _log_totals(daemon, "stopped: ")
    except ReplicatorError as error:
        if form is LogFormat.human:
            raise
        logs.failed(error)  # whoever reads the log as objects finds the end among them, not as text behind them
        if session.output.as_json:
            session.output.failure(error.message, error.hint, getattr(error, "findings", ()))
        return error.exit_code
    finally:
        logs.stop(handler)
    session.output.document({"flows": {name: _totals(totals) for name, totals in sorted(daemon.totals.items())}})
    return 0


def seconds(text: str) -> float:
    """`10s`, `500ms`, `5m` or a plain number of seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|)", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a time; write 30s or 5m")
    return float(match[1]) * UNITS[match[2]]


def endpoint(text: str) -> tuple[str, int]:
    """`0.0.0.0:9187`, `[::1]:9187`, or a port alone."""
    match = re.fullmatch(r"(?:(?P<host>[^\s:\[\]]+|\[[^\s\[\]]+\]):)?(?P<port>\d{1,5})", text.strip())
    if match is None or int(match["port"]) > 65535:
        raise typer.BadParameter(f"{text!r} is no place to serve metrics; write 127.0.0.1:9187 or 9187")
    return (match["host"] or "127.0.0.1").strip("[]"), int(match["port"])


@contextmanager
def _metrics(config: Config, daemon: Daemon, where: tuple[str, int] | None) -> Iterator[None]:
    if where is None:
        yield
        return
    from replicator.runtime.web import serving  # a web server is not what every run needs

    with serving(config, daemon, *where) as port:
        log.info("metrics: http://%s:%d/metrics", where[0], port, extra={"fields": {"host": where[0], "port": port}})
        yield


@contextmanager
def _rounds(session: Session, config: Config, every: str | None) -> Iterator[None]:
    if every is None:
        yield
        return
    from replicator.runtime.rounds import Rounds  # what compares is not what every run needs

    rounds = Rounds(config, session.environ, seconds(every))
    rounds.start()
    try:
        yield
    finally:
        rounds.stop()


def _looked_at(session: Session, config: Config, patient: bool) -> Status:
    """What there is, if nothing keeps the flows from running. A server that goes away meanwhile is waited for, as one is
    that goes away later (`patient`)."""
    while True:
        try:
            _refuse_errors(session, config, patient)
            status = read_status(config, session.environ)
            require_initialised(status)
        except NodeUnavailable as error:
            if not patient:
                raise
            log.warning("%s; trying again in %.1f s", error.message, LOOK_AGAIN_SECONDS, extra={"fields": error.known})
            time.sleep(LOOK_AGAIN_SECONDS)
        else:
            return status


def _refuse_errors(session: Session, config: Config, patient: bool) -> None:
    """What lint finds on the servers. A daemon starts without a server that is away and waits for it (`patient`). Links that a
    changed table has broken do not keep the others from running: they are paused."""
    connections, unreachable = connect_all(config, session.environ, "run")
    try:
        if unreachable and not patient:
            first = unreachable[0]
            raise NodeUnavailable(f"{first.where}: {first.message}", first.hint, node=str(first.where))
        refused: list[Finding] = []
        catalog = read_catalog(config.links, connections, refused)
        excused = drift.excused(config.links, catalog, connections, refused)
        if excused:
            files = {link.mark.path for link in config.links if link.name in excused}
            found = [*refused, *check_structure(config.links, catalog)]
            errors = [one for one in errors_of(found) if not (isinstance(one.where, Mark) and one.where.path in files)]
        else:
            if refused:
                catalog = read_catalog(config.links, connections)  # says what is wrong, and where
            if not unreachable:
                check_applied(config, connections, catalog)
            errors = errors_of(check_links(config, connections, catalog))
    finally:
        close_all(connections)
    if errors:
        raise BadConfiguration(errors)


def _condition(session: Session, config: Config, daemon: Daemon, once: bool, until_idle: float | None) -> Callable[[], bool]:
    """When to stop without being told."""
    if once:
        drain = Drain(config, daemon, plain_connections(config, session.environ, "run --once"))
        drain.mark()
        return drain.done
    if until_idle is not None:
        idle = Idle(daemon, frozenset(all_flows(config)))
        daemon.watch = idle.watch
        return lambda: idle.seconds() >= until_idle
    return lambda: False


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """The first signal asks, the second kills."""

    def asked(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()
        log.info("stopping after the batch in hand; the same again ends at once")

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _company(daemon: Daemon, every: float, over: Callable[[], bool]) -> Iterator[None]:
    """A thread beside the daemon that reports, and stops it when `over` says so. If that fails, so does the run."""
    leave = threading.Event()
    failures: list[Exception] = []

    def keep() -> None:
        reported = time.monotonic()
        try:
            while not leave.wait(POLL_SECONDS):
                if every and time.monotonic() - reported >= every:
                    reported = time.monotonic()
                    _log_totals(daemon)
                if over():
                    daemon.stop.set()
                    return
        except Exception as error:  # noqa: BLE001 - raised in the main thread
            failures.append(error)
            daemon.stop.set()

    thread = threading.Thread(target=keep, name="replicator reports")
    thread.start()
    try:
        yield
    finally:
        leave.set()
        thread.join()
    if failures:
        raise failures[0]


def _log_totals(daemon: Daemon, prefix: str = "") -> None:
    for name, totals in sorted(daemon.totals.items()):
        rows = sum(totals.written.values())
        text = (
            f"{prefix}{name}: {totals.transactions:,} transactions, {totals.changes:,} changes, {rows:,} rows written, "
            f"{totals.conflicts:,} conflicts, {totals.parked:,} parked, the last {totals.behind_ms:,.0f} ms late"
        )
        if totals.waiting:
            text += f"; waiting: {totals.waiting}"
        log.info("%s", text, extra={"fields": {"flow": name, **_totals(totals)}})


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "transactions": totals.transactions, "changes": totals.changes, "rows_written": dict(totals.written),
        "conflicts": totals.conflicts, "parked": totals.parked, "behind_ms": round(totals.behind_ms, 3),
        "waiting": totals.waiting,
    }  # fmt: skip


def _show_plan(output: Output, status: Status) -> None:
    rows = [(f.flow, f.slot, f.slot_state, f.position, ", ".join(f.links)) for f in status.flows]
    output.table(("flow", "slot", "is", "starts at", "links"), rows)
    output.line("nothing was started")
    flows = [
        {"flow": f.flow, "links": f.links, "slot": f.slot, "slot_state": f.slot_state, "starts_at": f.position}
        for f in status.flows
    ]
    output.document({"dry_run": True, "flows": flows})
