"""The decorators: one for endpoints and plain coroutines alike."""

import asyncio
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from accel_cache._codec import Codec
from accel_cache._engine import Engine, Query
from accel_cache._entry import Draft
from accel_cache._errors import CacheConfigurationError
from accel_cache._events import logger
from accel_cache._keys import Arguments, TagMaker, UnkeyableArgument, tags_of
from accel_cache._options import Options
from accel_cache._store import EVERYTHING

P = ParamSpec("P")
R = TypeVar("R")


class Decorator(Protocol):
    """Keeps a function's signature; a `def` becomes awaitable."""

    @overload
    def __call__(
        self, function: Callable[P, Awaitable[R]], /
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(
        self, function: Callable[P, R], /
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...


class PlainFunction:
    """Caches the values of a function by its arguments."""

    def __init__(
        self, function: Callable[..., Any], engine: Engine, options: Options
    ) -> None:
        self._function = function
        self._engine = engine
        self._options = options
        self._arguments = Arguments(function)
        self._codec = Codec(function)
        self._warned = False

    async def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the value, from the cache where possible."""
        named = self._arguments.bind(args, kwargs)
        try:
            key = self._arguments.key(named, self._options.key)
        except UnkeyableArgument as exc:
            self._warn(exc)
            return await self._run(args, kwargs)

        async def compute() -> Draft:
            return self._draft(await self._run(args, kwargs))

        query = Query(
            key,
            (*tags_of(self._options.tags, named), EVERYTHING),
            self._options.policy,
            compute,
        )
        outcome = await self._engine.ask(query)
        # Decoded on a miss too: a caller gets its own value, always of one type.
        try:
            return self._codec.decode(outcome.draft)
        except ValueError:
            if outcome.state == "MISS":
                raise
        # Stored by another release, in which the type had another shape.
        outcome = await self._engine.ask(replace(query, revalidate=True))
        return self._codec.decode(outcome.draft)

    def _draft(self, value: object) -> Draft:
        draft = self._codec.encode(value)
        ttl = self._options.policy.negative if value is None else None
        return replace(draft, ttl=ttl or None)

    async def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await _called(self._function, args, kwargs)

    def _warn(self, exc: UnkeyableArgument) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "%s is not cached: an argument of type %s has no stable form. "
                "Pass `key=` to name what the value depends on.",
                self._function.__qualname__,
                exc,
            )


async def _called(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def decorate(
    function: Callable[P, Awaitable[R]], engine: Engine, options: Options
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return *function* with the cache in front of it."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise CacheConfigurationError(
            f"Cannot cache {function.__qualname__!r}: it is a generator, whose items "
            "are sent one by one. Return a list or a response instead."
        )
    plain = PlainFunction(function, engine, options)
    # FastAPI is met, never needed: a module with endpoints has imported it.
    if "fastapi" not in sys.modules:

        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return cast("R", await plain(args, kwargs))

        return call
    return _for_fastapi(function, engine, options, plain)


def _for_fastapi(
    function: Callable[P, Awaitable[R]],
    engine: Engine,
    options: Options,
    plain: PlainFunction,
) -> Callable[P, Coroutine[Any, Any, R]]:
    from accel_cache._endpoint import CachedEndpoint

    endpoint = CachedEndpoint(function, engine, options)

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        request, response, arguments = endpoint.injection.split(kwargs)
        # Called by hand, or by a framework that does not inject what was asked for.
        if args or request is None or response is None:
            return cast("R", await plain(args, arguments))
        return cast("R", await endpoint.answer(request, response, arguments))

    call.__signature__ = endpoint.injection.signature  # type: ignore[attr-defined]
    call.__accel_cache__ = endpoint  # type: ignore[attr-defined]
    return call


def early_lookup(*session_providers: Callable[..., Any]) -> Any:
    """Return a route class for `APIRouter(route_class=...)` that answers sooner.

    What this process holds is sent before dependencies are solved, which skips
    opening a session for a hit. *session_providers* are the dependencies that
    may be skipped. A route with any other one, its own or of `include_router`,
    solves them all first, as ever: one of them may refuse the request.
    """
    from accel_cache._early import early_route_class

    return early_route_class(frozenset(session_providers))


def invalidator(
    function: Callable[P, Awaitable[R]], engine: Engine, tags: TagMaker, hold: float
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return *function*, after whose success *tags* are invalidated."""
    arguments = Arguments(function)

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        # Only after a success: what failed has changed nothing.
        value = await _called(function, args, kwargs)
        named = arguments.bind(args, kwargs)
        await engine.invalidate(tags_of(tags, named), hold)
        return cast("R", value)

    return call
