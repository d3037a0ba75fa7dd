"""Annotations: what they name, where that is known, and how people write it."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, Literal, Union, get_args, get_origin

__all__ = [
    "enclosing_locals",
    "members_of",
    "name_of_type",
    "resolve_annotations",
    "type_text",
]


def members_of(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, however it is written, or *annotation* alone."""
    if type(annotation).__name__ == "TypeAliasType":  # `type X = ...` of Python 3.12
        return members_of(annotation.__value__)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(m for arg in get_args(annotation) for m in members_of(arg))
    return (annotation,)


def name_of_type(annotation: Any) -> str:
    """Return the name of a class, which an annotation may write as text."""
    is_text = isinstance(annotation, str)
    name = annotation if is_text else getattr(annotation, "__name__", "")
    return str(name).rpartition(".")[2]


def type_text(hint: Any) -> str:
    """Return a type as people write it, without the modules."""
    members = members_of(hint)
    if len(members) > 1:
        return " | ".join(type_text(member) for member in members)
    if hint is None or hint is type(None):
        return "None"
    if get_origin(hint) is Literal:  # Its name says nothing of what it allows.
        return f"Literal[{', '.join(map(repr, get_args(hint)))}]"
    if get_origin(hint) is None:
        return _plain_text(hint)
    arguments = [type_text(argument) for argument in get_args(hint)]
    name = getattr(get_origin(hint), "__name__", str(get_origin(hint)))
    return f"{name}[{', '.join(arguments)}]"


def _plain_text(hint: Any) -> str:
    if hint is ...:
        return "..."
    if isinstance(hint, list):  # The arguments of a Callable.
        return f"[{', '.join(map(type_text, hint))}]"
    return getattr(hint, "__name__", str(hint).replace("typing.", ""))


def enclosing_locals(
    caller: FrameType | None, func: Callable[..., Any]
) -> dict[str, Any]:
    """Return the names around the class body, if annotations were left as text.

    A class inside of a function may name what only that function knows.
    """
    hints = inspect.get_annotations(inspect.unwrap(func))
    if caller is None or not any(isinstance(hint, str) for hint in hints.values()):
        return {}
    found: dict[str, Any] = {}
    frame: FrameType | None = caller
    while frame is not None and frame.f_globals is caller.f_globals:
        found = {**frame.f_locals, **found}
        frame = frame.f_back
    return found


def resolve_annotations(
    func: Callable[..., Any], namespaces: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Evaluate the annotations of *func*, the first of *namespaces* before the others.

    Raises:
        TypeError: A name is in none of them.
    """
    scope: dict[str, Any] = {}
    for namespace in reversed(namespaces):
        scope.update(namespace)
    try:
        return typing.get_type_hints(
            func, globalns=func.__globals__, localns=scope, include_extras=True
        )
    except NameError as exc:
        msg = (
            f"Cannot evaluate the annotations of {func.__qualname__!r}: {exc}. "
            "Define the name in the class or in the module of the endpoint."
        )
        raise TypeError(msg) from exc
