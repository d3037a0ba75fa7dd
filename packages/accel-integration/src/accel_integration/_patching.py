"""Patches: mock rules in force."""

import asyncio
import contextlib
import functools
import inspect
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import httpx

from accel_integration._api import ApiHTTP
from accel_integration._cassette import Cassette
from accel_integration._context import Clock, Scope, time_left
from accel_integration._endpoint import Endpoint, interceptors
from accel_integration._fake_clock import FakeClock, on_clock
from accel_integration._mocks import (
    Call,
    Delayed,
    MockRules,
    OnRequest,
    Reply,
    Script,
    UnmockedCallError,
)

__all__ = ["patch_integration"]

P = ParamSpec("P")
R = TypeVar("R")

# What a mocked client has in common with the real one.
ALIKE = (
    "auth",
    "base_url",
    "cookies",
    "event_hooks",
    "follow_redirects",
    "headers",
    "params",
    "timeout",
)


class patch_integration:  # noqa: N801 - a decorator and a context manager
    """Put *mock_rules* in force, for a test function or for a `with` block.

    While it lasts, an endpoint without a rule raises, so that no test makes a real
    request by accident. It lasts as long as the body of an async test, too. Each time,
    the rules begin anew, so that tests which share them do not depend on each other.

    Args:
        mock_rules: Rules, or a dict of them.
        clock: What the stability patterns live on; by default a `FakeClock`, so that
            retries take no time.
    """

    def __init__(
        self,
        mock_rules: MockRules | Mapping[Callable[..., Any], Any],
        *,
        clock: Clock | None = None,
    ) -> None:
        if not isinstance(mock_rules, MockRules):
            mock_rules = MockRules(mock_rules)
        self.rules = mock_rules
        self._clock = clock
        self._stacks: list[contextlib.ExitStack] = []

    def __enter__(self) -> MockRules:
        if not any(is_about(patch, self.rules) for patch in interceptors):
            self.rules.rewind()
        stack = contextlib.ExitStack()
        plans = [endpoint.plan for endpoint in self.rules.endpoints()]
        stack.enter_context(on_clock(self._clock or FakeClock(), plans))
        patch = Patch(self.rules)
        interceptors.append(patch)
        stack.callback(interceptors.remove, patch)
        self._stacks.append(stack)
        return self.rules

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stacks.pop().close()

    def __call__(self, test: Callable[P, R]) -> Callable[P, R]:
        """Decorate a test, sync or async.

        Raises:
            TypeError: It is a class, or a generator, whose body would not be patched.
        """
        is_generator = inspect.isgeneratorfunction(test)
        if inspect.isclass(test) or is_generator or inspect.isasyncgenfunction(test):
            msg = (
                f"Cannot patch {test.__qualname__!r}: it is a class or a generator. "
                "Decorate its test functions, or write `with patch_integration(...):` "
                "around its `yield`."
            )
            raise TypeError(msg)

        @functools.wraps(test)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return test(*args, **kwargs)

        # Its own function, so that the patch lasts until the body has been awaited.
        @functools.wraps(test)
        async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            with self:
                return await test(*args, **kwargs)  # type: ignore[misc]

        is_async = inspect.iscoroutinefunction(test)
        return async_wrapper if is_async else wrapper  # type: ignore[return-value]


class Patch:
    """Rules in force. It remembers the functions woven around its mocks."""

    def __init__(self, rules: MockRules) -> None:
        self.rules = rules
        self._woven: dict[tuple[Endpoint, str], Callable[..., Any]] = {}

    def __call__(self, endpoint: Endpoint, api: ApiHTTP) -> Callable[..., Any]:
        """Return what answers instead of *endpoint*, with its patterns around it."""
        if not self.rules.covers(endpoint):
            # A patch around this one may know the endpoint.
            outer = interceptors[: interceptors.index(self)]
            if not outer:
                raise UnmockedCallError(endpoint)
            return outer[-1](endpoint, api)
        # Woven once, so that breakers and throttles keep their states between calls.
        key = endpoint, api.origin
        if key not in self._woven:
            mock = Mock(self.rules, endpoint)
            func = mock.acall if endpoint.is_async else mock.call
            scope = Scope(endpoint.plan.endpoint, api.origin)
            self._woven[key] = endpoint.plan.weave(scope, func)
        return self._woven[key]


def is_about(interceptor: object, rules: MockRules) -> bool:
    """Tell whether *interceptor* is a patch by which *rules* are in force."""
    return isinstance(interceptor, Patch) and interceptor.rules is rules


def uses_requests(rule: Any) -> bool:
    """Tell whether *rule* is about requests, so that the real method must run."""
    if isinstance(rule, Script):
        return any(uses_requests(step) for step in rule.steps)
    if isinstance(rule, Delayed):
        return uses_requests(rule.answer)
    return isinstance(rule, Reply | OnRequest | Cassette)


def is_exception(answer: Any) -> bool:
    """Tell whether *answer* is to be raised."""
    is_class = isinstance(answer, type) and issubclass(answer, BaseException)
    return is_class or isinstance(answer, BaseException)


class Mock:
    """What takes the place of one endpoint's function."""

    def __init__(self, rules: MockRules, endpoint: Endpoint) -> None:
        self._rules = rules
        self._endpoint = endpoint
        self._rule = rules.rule_for(endpoint)
        self._real = endpoint.plan.func

    async def acall(self, api: ApiHTTP, *args: Any, **kwargs: Any) -> Any:
        """Answer a call of an async endpoint."""
        self._note(args, kwargs)
        if uses_requests(self._rule):
            reply = functools.partial(self._areply, api)
            async with mocked_client(api.client, "AsyncClient", reply) as client:
                return await self._real(api_with(api, client), *args, **kwargs)
        answer, seconds = self._next_answer()
        await asyncio.sleep(seconds)
        answer = self._give(answer, api_with(api, None), args, kwargs)
        return await answer if inspect.isawaitable(answer) else answer

    def call(self, api: ApiHTTP, *args: Any, **kwargs: Any) -> Any:
        """Answer a call of a sync endpoint."""
        self._note(args, kwargs)
        if uses_requests(self._rule):
            reply = functools.partial(self._reply, api)
            with mocked_client(api.client, "Client", reply) as client:
                return self._real(api_with(api, client), *args, **kwargs)
        answer, seconds = self._next_answer()
        sleep_within(seconds)
        return self._give(answer, api_with(api, None), args, kwargs)

    def _note(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._rules.calls.append(Call(self._endpoint.plan.endpoint, args, kwargs))

    def _next_answer(self) -> tuple[Any, float]:
        """Return the next answer, and how long it takes."""
        answer, seconds = self._rule, 0.0
        while isinstance(answer, Script | Delayed):
            if isinstance(answer, Script):
                answer = answer.next()
            else:
                seconds += answer.seconds
                answer = answer.answer
        return answer, seconds

    @staticmethod
    def _give(
        answer: Any, api: ApiHTTP, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if is_exception(answer):
            raise answer
        return answer(api, *args, **kwargs) if callable(answer) else answer

    async def _areply(self, api: ApiHTTP, request: Any) -> Any:
        answer, seconds = self._next_answer()
        await asyncio.sleep(seconds)
        answer = self._on_request(answer, request, api)
        if inspect.isawaitable(answer):
            answer = await answer
        return as_response(answer, request)

    def _reply(self, api: ApiHTTP, request: Any) -> Any:
        answer, seconds = self._next_answer()
        sleep_within(seconds)
        return as_response(self._on_request(answer, request, api), request)

    @staticmethod
    def _on_request(answer: Any, request: Any, api: ApiHTTP) -> Any:
        if is_exception(answer):
            raise answer
        if isinstance(answer, Cassette):
            return answer.answer(request, api)
        return answer.handler(request) if isinstance(answer, OnRequest) else answer


def sleep_within(seconds: float) -> None:
    """Sleep in a thread, but no longer than an `sp.Timeout` around here allows."""
    left = time_left()
    time.sleep(seconds if left is None else min(seconds, left))


def library_of(thing: Any) -> Any:
    """Return the library whose client, or request, *thing* is: httpx or its like."""
    for cls in type(thing).__mro__:
        home = sys.modules[cls.__module__.partition(".")[0]]
        if hasattr(home, "MockTransport"):
            return home
    return httpx


def mocked_client(real: Any, kind: str, handler: Callable[[Any], Any]) -> Any:
    """Return a client like *real* whose requests *handler* answers."""
    home = library_of(real)
    options = {name: getattr(real, name) for name in ALIKE if hasattr(real, name)}
    return getattr(home, kind)(transport=home.MockTransport(handler), **options)


def as_response(answer: Any, request: Any) -> Any:
    """Return *answer* as a response of the library that *request* belongs to."""
    if not isinstance(answer, Reply):
        return answer
    return library_of(request).Response(answer.status, **answer.options)


def api_with(api: ApiHTTP, client: Any) -> ApiHTTP:
    """Return *api* with another client."""
    return ApiHTTP(api.credentials, api.url, api.version, api.httpmethod, client)
