# ruff: noqa: INP001  # Run by path, never imported as a package.
"""What the pages compute when they are built: tables of errors, and of figures."""

import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("accel_admin", "accel_auth", "accel_cache", "accel_db"),
    *("accel_integration", "accel_pattern", "accel_viewset"),
)


class Number(float):
    """A number that shows as an ellipsis."""

    def __format__(self, spec: str) -> str:
        """Show none of it."""
        return "…"

    def __str__(self) -> str:
        return "…"

    __repr__ = __str__


# What stands in a message where a value will be.
SAMPLES: dict[type, Any] = {
    bool: False,
    float: Number(1),
    int: Number(1),
    Path: Path("…"),
    timedelta: timedelta(seconds=1),
    type: object,
}


def define_env(env: Any) -> None:
    """Offer the macros to the pages."""
    env.macro(error_tables, "error_tables")
    env.macro(measured, "measured")


def measured(benchmark: str, section: str = "") -> str:
    """Return what *benchmark* measured last: all of it, or one *section*."""
    text = (ROOT / "benchmarks" / benchmark / "README.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- measured -->")
    figures, _, _ = rest.partition("<!-- /measured -->")
    if not section:
        return figures.strip()
    parts = re.split(r"^### ", figures, flags=re.MULTILINE)
    (found,) = (part for part in parts if part.startswith(section))
    return "### " + found.strip()


def error_tables() -> str:
    """Return one table per package, made from its tree of errors."""
    return "\n\n".join(f"## {package}\n\n{_table(package)}" for package in PACKAGES)


def errors_of(package: str) -> Iterator[type[Exception]]:
    """Yield the classes of the tree in *package*, parents first."""
    module = importlib.import_module(f"{package}._errors")
    for found in vars(module).values():
        if (
            inspect.isclass(found)
            and issubclass(found, Exception)
            and found.__module__ == module.__name__
            and hasattr(found, "http_status")
        ):
            yield found


def _table(package: str) -> str:
    public = importlib.import_module(package).__all__
    rows = ["| error | status | when, and what it says |", "| --- | --- | --- |"]
    for error in errors_of(package):
        name = error.__name__
        link = f"{package.removeprefix('accel_')}.md#{package}.{name}"
        shown = f"[`{name}`]({link})" if name in public else f"`{name}`"
        when = inspect.getdoc(error) or ""
        when = _cell(when.partition("\n\n")[0])
        says = f"<br>*{message}*" if (message := _message(error)) else ""
        rows.append(f"| {shown} | {_status(error)} | {when}{says} |")
    return "\n".join(rows)


def _status(error: type[Exception]) -> str:
    status = vars(error).get("http_status", getattr(error, "http_status", ""))
    return str(status) if isinstance(status, int) else "varies"


def _message(error: type[Exception]) -> str:
    """Let *error* write its message, with a sample for each argument."""
    if not _writes_its_message(error):
        return ""
    hints = typing.get_type_hints(error.__init__, vars(inspect.getmodule(error)))
    parameters = list(inspect.signature(error).parameters.values())
    positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    message = str(
        error(
            *(_sample(hints.get(p.name)) for p in positional),
            **{p.name: _sample(hints.get(p.name)) for p in named},
        )
    )
    return _cell(message)


def _writes_its_message(error: type[Exception]) -> bool:
    return isinstance(error.__init__, types.FunctionType)


def _sample(hint: Any) -> Any:
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        hint = next(x for x in typing.get_args(hint) if x is not type(None))
    origin = typing.get_origin(hint) or hint
    if origin in SAMPLES:
        return SAMPLES[origin]
    if inspect.isclass(origin) and origin is not str and origin is not object:
        return _of_class(origin)
    return "…"


def _of_class(kind: type) -> Any:
    if issubclass(kind, BaseException):
        return kind("…")
    for container in (tuple, list, frozenset, dict):
        if issubclass(container, kind):
            return container() if container is dict else container(["…"])
    return "…"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
