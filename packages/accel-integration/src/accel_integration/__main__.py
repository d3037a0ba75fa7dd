"""The command line: documentation, OpenAPI, and models from examples."""

import argparse
import importlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accel_integration._describe import Integrations, entries_of
from accel_integration._openapi import openapi_of
from accel_integration._page import Links, render_page
from accel_integration._py2dantic import generate_pydantic_models

__all__ = ["main"]

# What needs no traceback: what was asked for is not there, or is none of what is meant.
UNDERSTOOD = (
    AttributeError,
    ImportError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)


def load(target: str) -> Integrations:
    """Import what `MODULE:OBJECT` names: a declaration, an instance, or a list."""
    module, colon, path = target.partition(":")
    if not colon or not path:
        msg = f"Name an object as MODULE:OBJECT, not {target!r}."
        raise ValueError(msg)
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    integrations: Integrations = found
    return integrations


def docs(args: argparse.Namespace) -> str:
    """Return the documentation as one page that needs nothing else."""
    entries = entries_of(load(args.target))
    return render_page(entries, title=args.title, links=Links(None))


def openapi(args: argparse.Namespace) -> str:
    """Return the OpenAPI document, or one for each integration by its name."""
    documents = {e.slug: openapi_of(e) for e in entries_of(load(args.target))}
    only = next(iter(documents.values())) if len(documents) == 1 else documents
    return json.dumps(only, indent=2) + "\n"


def py2dantic(args: argparse.Namespace) -> str:
    """Return the source of models for examples in JSON."""
    first, *more = (json.loads(read(name)) for name in args.file)
    return generate_pydantic_models(
        first, args.depth, args.name, args.parent, more=more
    )


def read(name: str) -> bytes:
    """Return what is in the file *name*, or in the standard input if it is -."""
    # As bytes: JSON says itself how it is written, whatever this machine would guess.
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def parser() -> argparse.ArgumentParser:
    """Return what understands the command line."""
    top = argparse.ArgumentParser("python -m accel_integration", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for function in (docs, openapi):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.add_argument("target", metavar="MODULE:OBJECT")
        command.set_defaults(run=function)
    commands.choices["docs"].add_argument("--title", default="Integrations")
    command = commands.add_parser("py2dantic", help=py2dantic.__doc__)
    command.add_argument(
        "file", metavar="FILE", nargs="+", help="a file with JSON, or -; all fit"
    )
    command.add_argument("--depth", type=int, default=10)
    command.add_argument("--name", default="RootModel")
    command.add_argument("--parent", default="BaseModel")
    command.set_defaults(run=py2dantic)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the status to exit with."""
    if "" not in sys.path:  # A module of the current folder can be named.
        sys.path.insert(0, "")
    args = parser().parse_args(argv)
    try:
        text = args.run(args)
    except UNDERSTOOD as exc:
        print(f"{type(exc).__name__}: {exc}", file=sys.stderr)  # noqa: T201 - a command
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):  # The page says that it is UTF-8.
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
