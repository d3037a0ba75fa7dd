"""The command `accel`."""

import argparse
import sys
from collections.abc import Sequence

from accel_pattern._errors import MissingExtraError, PatternError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code.

    What the user can mend is one line on the standard error, never a traceback.
    """
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except PatternError as exc:
        sys.stderr.write(f"accel: {exc}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


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
    return parser


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
