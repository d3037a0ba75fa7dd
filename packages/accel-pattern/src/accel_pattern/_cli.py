"""The command `accel`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from accel_pattern._check import Subject, findings
from accel_pattern._errors import MissingExtraError, PatternError
from accel_pattern._inspect import integrations_of, load_app, routes_of
from accel_pattern._new import new_project


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    What the user can mend is one line on the standard error, never a traceback.
    """
    arguments = _parser().parse_args(argv)
    try:
        code: int | None = arguments.run(arguments)
    except PatternError as exc:
        sys.stderr.write(f"accel: {exc}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="accel", description="Tools for a service.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="run a complete service to look at")
    demo.add_argument(
        *("--port", "-p"),
        type=_port,
        default=8000,
        help="port on the loopback interface, 0 for a free one (default: 8000)",
    )
    demo.add_argument(
        "--tour",
        action="store_true",
        help="walk through every capability over HTTP, then end",
    )
    demo.set_defaults(run=_demo)
    new = commands.add_parser("new", help="write a new project")
    new.add_argument("name", help="its name, and that of its folder")
    new.add_argument(
        "--database",
        choices=("sqlite", "postgres"),
        default="sqlite",
        help="what its settings name (default: sqlite)",
    )
    new.set_defaults(run=_new)
    check = _command_on_app(commands, "check", "say what production would regret")
    check.add_argument(
        *("--workers", "-w"), type=int, default=1, help="processes (default: 1)"
    )
    check.add_argument("--json", action="store_true", help="write JSON")
    check.set_defaults(run=_check_app)
    routes = _command_on_app(commands, "routes", "list the routes of a service")
    routes.set_defaults(run=_routes)
    used = _command_on_app(commands, "integrations", "list what a service calls")
    used.set_defaults(run=_integrations)
    return parser


def _command_on_app(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    command.add_argument(
        "app", nargs="?", default="main:app", help="module:variable (main:app)"
    )
    return command


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:  # noqa: PLR2004 - the range of TCP
        raise argparse.ArgumentTypeError(f"a port lies between 0 and 65535: {port}")
    return port


def _demo(arguments: argparse.Namespace) -> None:
    try:
        from accel_pattern._demo import _run, _tour
    except ImportError as exc:
        raise MissingExtraError(exc.name or "uvicorn", "demo") from exc
    if arguments.tour:
        _tour.tour(arguments.port)
    else:
        _run.serve(arguments.port)


def _new(arguments: argparse.Namespace) -> None:
    folder = new_project(arguments.name, Path.cwd(), arguments.database)
    sys.stdout.write(
        f"Wrote {folder}. Now:\n"
        f"  cd {arguments.name}\n"
        "  uv run alembic upgrade head\n"
        "  uv run python -m app.fixture.load\n"
        "  uv run uvicorn main:app\n"
        "  uv run pytest\n"
        "The login of its admin stands in .env.\n"
    )


def _check_app(arguments: argparse.Namespace) -> int:
    subject = Subject(load_app(arguments.app), arguments.workers)
    found = findings(subject)
    if arguments.json:
        sys.stdout.write(json.dumps([item.as_dict() for item in found]) + "\n")
    else:
        lines = [f"{item.code}: {item.message} {item.cure}" for item in found]
        sys.stdout.write("\n".join(lines or ["Nothing to regret."]) + "\n")
    return int(bool(found))


def _routes(arguments: argparse.Namespace) -> None:
    for method, path, name in routes_of(load_app(arguments.app)):
        sys.stdout.write(f"{method:<8} {path:<40} {name}\n")


def _integrations(arguments: argparse.Namespace) -> None:
    for name, method, path, policy in integrations_of(load_app(arguments.app)):
        sys.stdout.write(f"{name}: {method} {path}; {policy}\n")
