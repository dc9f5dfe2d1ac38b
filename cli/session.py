"""What every command starts from: the common options, the configuration, and where to speak."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from replicator.errors import ConfigurationError
from replicator.mapping.config import load_config, missing_environment
from replicator.model.config import Config
from replicator.model.finding import Finding
from replicator.runtime.lint import errors_of

from .output import Output

DEFAULT_CONFIG = "replicator.yaml"
CONFIG_HELP = f"The configuration. [default: $REPLICATOR_CONFIG, else {DEFAULT_CONFIG}]"

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help=CONFIG_HELP)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class BadConfiguration(ConfigurationError):
    """A configuration with errors in it, all of them."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        count = len(findings)
        what = "one error" if count == 1 else f"{count} errors"
        super().__init__(f"the configuration has {what}", "`replicator lint` shows everything there is to say about it")
        self.findings = tuple(findings)


@dataclass
class Session:
    """One run of one command. `environ` holds the DSNs, which are handed on and never shown.
    `named`: the configuration was named by an option."""

    config_path: Path
    output: Output
    named: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def require_file(self) -> None:
        if not self.config_path.is_file():
            hint = "name it with --config or REPLICATOR_CONFIG; README.md shows a small one"
            raise ConfigurationError(f"there is no configuration {self.config_path}", hint)

    def load(self, links: bool = True) -> Config:
        """The configuration, if it is free of errors and the DSNs are set. `links`: they must be right as well."""
        self.require_file()
        config, findings = load_config(self.config_path, self.environ)
        if config is not None:
            findings = [*(findings if links else ()), *missing_environment(config, self.environ)]
        errors = errors_of(findings)
        if errors or config is None:
            raise BadConfiguration(errors)
        return config


@dataclass
class Common:
    """The options that were given before the command."""

    config: Path | None = None
    as_json: bool = False
    debug: bool = False


def open_session(context: typer.Context, config: Path | None, as_json: bool) -> Session:
    """Options may stand before the command or after it; those after it count."""
    common = context.find_object(Common) or Common()
    path = config or common.config or Path(os.environ.get("REPLICATOR_CONFIG") or DEFAULT_CONFIG)
    return Session(path, Output(as_json or common.as_json), named=bool(config or common.config))
