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


class BrokenApplicationError(PatternError):
    """Raised when the module of an application cannot be imported."""

    def __init__(self, name: str, exc: Exception) -> None:
        # Settings that are wrong, for one, are told in several lines.
        why = " ".join(f"{type(exc).__name__}: {exc}".split())
        super().__init__(
            f"{name!r} cannot be imported: {why.rstrip('.')}. "
            "Mend the settings or the code that it is about."
        )


def load_app(name: str) -> FastAPI:
    """Import the application that *name* (`module:variable`) says.

    Raises:
        NoApplicationError: There is none.
        BrokenApplicationError: Its module exists, and cannot be imported.
    """
    module_name, _, variable = name.partition(":")
    # `python -m` looks into the current folder by itself, an installed command does not.
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as exc:
        # `app.main` is missing also where `app` is.
        if isinstance(exc, ModuleNotFoundError) and f"{module_name}.".startswith(
            f"{exc.name}."
        ):
            raise NoApplicationError(name, str(exc)) from exc
        raise BrokenApplicationError(name, exc) from exc
    variable = variable or "app"
    app = getattr(module, variable, None)
    if app is None:
        raise NoApplicationError(name, f"its module has no {variable!r}")
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
