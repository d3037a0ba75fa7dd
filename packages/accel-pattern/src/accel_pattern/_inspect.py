"""An application, looked at from the command line."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from accel_pattern._errors import PatternError


class NoApplicationError(PatternError):
    """Raised when a name does not lead to an application."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"{name!r} is no application: {reason}. "
            "Name its module and variable, as in `main:app`, from the project's folder."
        )


def load_app(name: str) -> FastAPI:
    """Import the application that *name* (`module:variable`) says.

    Raises:
        NoApplicationError: There is none, or its module cannot be imported.
    """
    module_name, _, variable = name.partition(":")
    # `python -m` looks into the current folder by itself, an installed command does not.
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        app = getattr(importlib.import_module(module_name), variable or "app")
    except Exception as exc:
        # Settings that are wrong, for one, are told in several lines.
        why = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise NoApplicationError(name, why) from exc
    if not isinstance(app, FastAPI):
        raise NoApplicationError(name, f"it is a {type(app).__name__}")
    return app


def routes_of(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Iterate over method, path and name of each route, in the order of matching."""
    for context in iter_route_contexts(app.router.routes):
        methods = sorted(getattr(context, "methods", None) or ["*"])
        for method in methods:
            yield method, str(context.path), context.name or ""


def integrations_of(app: FastAPI) -> Iterator[tuple[str, str, str, str]]:
    """Iterate over integration, method, path and policy of each endpoint."""
    for declaration in getattr(app.state, "INTEGRATIONS", ()):
        for endpoint in declaration.endpoints().values():
            policy = "; ".join(s.describe() for s in endpoint.strategies)
            name = f"{declaration.integration.name}.{endpoint.name}"
            yield name, str(endpoint.httpmethod), endpoint.path, policy or "none"
