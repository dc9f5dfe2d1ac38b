"""`replicator schema`: what a file of a kind may hold, as a JSON Schema."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from replicator.mapping.classes import names_of
from replicator.mapping.config import load_config
from replicator.mapping.json_schema import SCHEMAS

from .session import ConfigOption, JsonOption, open_session


class Kind(StrEnum):
    link = "link"
    config = "config"
    test = "test"


KIND_HELP = "A link file, replicator.yaml, or tests of links."


def schema(
    context: typer.Context,
    kind: Annotated[Kind, typer.Argument(metavar="[link|config|test]", help=KIND_HELP)] = Kind.link,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Prints the JSON Schema of a file, for editors.

    An editor that is given it completes keys, explains each under the cursor and marks what is not known. What it cannot
    tell, such as whether expressions and tables go together, `replicator lint` does. Where there is a replicator.yaml, the
    schemas of links and tests know its nodes, and a mistyped key is not taken for one.

    \b
    Example:
      replicator schema link > link.schema.json
      and as the first line of a link file:
      # yaml-language-server: $schema=../../link.schema.json
    """
    session = open_session(context, config, as_json)
    if session.named:
        session.require_file()
    known = load_config(session.config_path, session.environ)[0] if session.config_path.is_file() else None
    found = SCHEMAS[kind.value](names_of(known.nodes) if known else [])
    output = session.output
    output.line(json.dumps(found, indent=2, ensure_ascii=False))
    output.document(found)
    return 0
