"""Arguments: what an endpoint is called with, checked before any request is sent."""

import inspect
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from accel_integration._annotations import members_of
from accel_integration._errors import RequestError
from accel_integration._masking import one_line

__all__ = ["ArgumentSchema"]

# Whose validation would be lazy, or ask for a class that no file has.
STREAMS = frozenset(
    {
        *("Iterable", "AsyncIterable", "Iterator", "AsyncIterator"),
        *("Generator", "AsyncGenerator", "IO", "BinaryIO", "TextIO"),
    }
)


class Argument:
    """One parameter: the class that needs no look, and what validates the rest."""

    __slots__ = ("adapter", "exact", "name")

    def __init__(self, name: str, annotation: Any) -> None:
        self.name = name
        self.exact = annotation if isinstance(annotation, type) else None
        self.adapter = _adapter_of(annotation)

    def convert(self, endpoint: str, value: Any) -> Any:
        """Return *value* as what the parameter is annotated with."""
        if type(value) is self.exact or self.adapter is None:
            return value
        try:
            return self.adapter.validate_python(value)
        except ValidationError as exc:
            # Without the values: they may be secrets, and messages end up in logs.
            errors = exc.errors(
                include_input=False, include_url=False, include_context=False
            )
            places = [(".".join(map(str, e["loc"])), e["msg"]) for e in errors]
            reasons = [
                one_line(f"{place}: {why}" if place else why) for place, why in places
            ]
            raise RequestError(endpoint, self.name, reasons) from None


class ArgumentSchema:
    """Everything that an endpoint takes, but for its ApiHTTP."""

    def __init__(
        self, endpoint: str, parameters: Mapping[str, inspect.Parameter]
    ) -> None:
        self._endpoint = endpoint
        self._signature = inspect.Signature(list(parameters.values()))
        self._calls = _usual_calls(list(parameters.values()))
        named = [p for p in parameters.values() if p.kind is not p.VAR_KEYWORD]
        arguments = {
            p.name: Argument(p.name, p.annotation) for p in parameters.values()
        }
        self._positional = [
            arguments[p.name]
            for p in named
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self._rest = [arguments[p.name] for p in named if p.kind is p.VAR_POSITIONAL]
        self._named = {
            p.name: arguments[p.name] for p in named if p.kind is not p.VAR_POSITIONAL
        }
        self._others = next(
            (arguments[p.name] for p in parameters.values() if p.kind is p.VAR_KEYWORD),
            None,
        )

    def convert(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call as what the endpoint is annotated with.

        Raises:
            TypeError: An argument is missing, or is none that the endpoint takes.
            RequestError: An argument is something else.
        """
        # Before any pattern, of which some would answer a mistake of ours for ever.
        if not self._is_usual(len(args), kwargs):
            self._refuse_others(args, kwargs)
        return self._convert_args(args), self._convert_kwargs(kwargs)

    def _is_usual(self, count: int, kwargs: dict[str, Any]) -> bool:
        """Tell whether the names are right, without the time of `bind`."""
        if count >= len(self._calls):
            return False
        required, allowed = self._calls[count]
        return required <= kwargs.keys() <= allowed

    def _refuse_others(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            msg = f"{self._endpoint} was not called: {exc}."
            raise TypeError(msg) from None

    def _convert_args(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        for value, argument in zip(args, self._positional, strict=False):
            if type(value) is not argument.exact and argument.adapter is not None:
                break
        else:
            if not self._rest:  # The usual call is looked at, but not built again.
                return args
        name, known = self._endpoint, self._positional[: len(args)]
        found = [a.convert(name, v) for a, v in zip(known, args, strict=False)]
        rest = args[len(known) :]
        if self._rest:
            rest = tuple(self._rest[0].convert(name, value) for value in rest)
        return (*found, *rest)

    def _convert_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in kwargs.items():
            argument = self._named.get(name, self._others)
            found[name] = argument.convert(self._endpoint, value) if argument else value
        return found


def _usual_calls(
    parameters: list[inspect.Parameter],
) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Return which names a call must and may have, by its number of other arguments."""
    positional = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    calls = []
    for count in range(len(positional) + 1):
        given = {p.name for p in positional[:count]}
        open_ = [
            p
            for p in parameters
            if p.name not in given and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        required = frozenset(p.name for p in open_ if p.default is p.empty)
        allowed = frozenset(p.name for p in open_ if p.kind is not p.POSITIONAL_ONLY)
        calls.append((required, allowed))
    return calls


def _adapter_of(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what validates *annotation*, or None for what Pydantic does not know."""
    if annotation is Any or any(map(_is_stream, members_of(annotation))):
        return None
    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return None


def _is_stream(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    return getattr(kind, "__name__", "") in STREAMS
