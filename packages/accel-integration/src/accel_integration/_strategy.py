"""What every strategy has, and how stacked strategies become one function."""

import functools
import inspect
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

from accel_integration._annotations import name_of_type
from accel_integration._context import Clock, Scope
from accel_integration._events import Hub, Listener, Unsubscribe
from accel_integration._parameters import name_or_none
from accel_integration._weaver import Body, Weaver

__all__ = [
    "RANDOM",
    "OrderWarning",
    "Plan",
    "StatefulStrategy",
    "Strategy",
    "checked",
    "name_of",
    "plan_of",
]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

MARKER = "__accel_plan__"
STREAMS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
# A function that meets ever new origins (webhooks, a crawler) keeps about 6 KB for each:
# for the last so many, and at most for twice as many.
MAX_ORIGINS = 4096

# The system's, since the processes forked from one would go on with the same numbers,
# and retry at the same moments.
RANDOM = random.SystemRandom()


class OrderWarning(UserWarning):
    """Warns of strategies whose order probably does not do what was meant."""


class Strategy:
    """A stability pattern: a decorator for async and sync functions.

    Decorators stacked on each other are fused into one function.
    """

    # Whether it may call what it decorates more than once,
    repeats: ClassVar[bool] = False
    # and whether it does so without pauses in between.
    is_concurrent: ClassVar[bool] = False
    # Whether it answers where what it decorates has failed.
    hides_failures: ClassVar[bool] = False

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.hub = Hub()

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        wrapper: Callable[P, R] = Plan.around(func, (self,)).wrapper
        return wrapper

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.describe()}>"

    def subscribe(self, listener: Listener) -> Unsubscribe:
        """Call *listener* with each event of this strategy; call the result to stop."""
        return self.hub.subscribe(listener)

    def describe(self) -> str:
        """Say in words what this strategy does, as a part of a sentence."""
        raise NotImplementedError

    def weave(self, weaver: Weaver, body: Body) -> None:
        """Write the lines of this strategy around *body*."""
        raise NotImplementedError

    def doubts(self, inner: "Strategy") -> str | None:
        """Say why this strategy should perhaps not be outside of *inner*."""

    def forget_states(self, endpoint: str) -> None:
        """Forget what was learnt of *endpoint*, because the clock was replaced."""

    def forget_state(self, scope: Scope) -> None:
        """Forget what was learnt in *scope*, because it has not been called for long."""


class StatefulStrategy(Strategy, Generic[S]):
    """A strategy with one state for each (endpoint, origin).

    A node that fails does not make others of the same service look bad.
    """

    def __init__(self, clock: Clock = time.monotonic, key: str | None = None) -> None:
        super().__init__(clock)
        name_or_none("key", key)
        self.key = key
        self._states: dict[Scope, S] = {}
        self._hubs: dict[Scope, Hub] = {}

    def new_state(self, scope: Scope, hub: Hub) -> S:
        """Return the state in which *scope* begins."""
        raise NotImplementedError

    def at(self, endpoint: str | Callable[..., Any], origin: str = "") -> S:
        """Return the state for *endpoint* (a function or its full name) at *origin*."""
        return self._state_of(Scope(name_of(endpoint), origin))[0]

    def bind(self, weaver: Weaver, stem: str) -> str:
        """Bind the state for the function being woven; return its name."""
        state, hub = self._state_of(weaver.scope)
        hub.forward_to(weaver.hub)
        return weaver.bind(stem, state)

    def forget_states(self, endpoint: str) -> None:
        for scope in list(self._states):
            if scope.endpoint in (endpoint, self.key):
                del self._states[scope], self._hubs[scope]

    def forget_state(self, scope: Scope) -> None:
        scope = self._shared(scope)
        self._states.pop(scope, None)
        self._hubs.pop(scope, None)

    def _shared(self, scope: Scope) -> Scope:
        # Functions with one key share a state, whatever they are called.
        return scope if self.key is None else Scope(self.key, scope.origin)

    def _state_of(self, scope: Scope) -> tuple[S, Hub]:
        scope = self._shared(scope)
        hub = self._hubs.setdefault(scope, Hub(self.hub))
        if scope not in self._states:
            self._states.setdefault(scope, self.new_state(scope, hub))
        return self._states[scope], hub


def checked(strategies: Sequence[Strategy]) -> tuple[Strategy, ...]:
    """Return *strategies*, which must be several, as in `[sp.Timeout(5)]`."""
    if isinstance(strategies, Strategy) or not isinstance(strategies, Iterable):
        msg = f'"strategies" must be a list, as in [sp.Timeout(5)]: {strategies!r}'
        raise TypeError(msg)
    found = tuple(strategies)
    for strategy in found:
        if not isinstance(strategy, Strategy):
            msg = f'"strategies" must be made, as in [sp.Timeout(5)]: {strategy!r}'
            raise TypeError(msg)
    return found


def name_of(endpoint: str | Callable[..., Any]) -> str:
    """Return the name under which the state of *endpoint* is kept."""
    if isinstance(endpoint, str):
        return endpoint
    target = inspect.unwrap(endpoint)
    while isinstance(target, functools.partial):
        target = inspect.unwrap(target.func)
    qualname = getattr(target, "__qualname__", type(target).__qualname__)
    # Methods of builtins, such as `str.upper`, are of no module.
    return f"{getattr(target, '__module__', None) or 'builtins'}.{qualname}"


class Plan:
    """A function and the strategies around it, the outermost first."""

    def __init__(
        self,
        func: Callable[..., Any],
        strategies: tuple[Strategy, ...],
        name: str = "",
        *,
        takes_function: bool = False,
    ) -> None:
        refuse_others(func)
        self.func = func
        self.strategies = strategies
        self.endpoint = name or name_of(func)
        self.hub = Hub()
        self.is_async = is_async(func)
        self.takes_api = takes_api(func)
        # Whether its first argument is what to call, of which nobody else is to know.
        self._arguments = "args[1:]" if takes_function else "args"
        # By origin. Two generations cost a call less than the order of their last use.
        self._recent: dict[str, Callable[..., Any]] = {}
        self._older: dict[str, Callable[..., Any]] = {}
        self._forgetting = threading.Lock()
        # Where retries without a budget of their own find one, if they shall.
        self.budget_at: Callable[[str], Any] = no_budget
        self._woven = self.weave(Scope(self.endpoint), func)
        self.wrapper: Any = self._wrap()

    @classmethod
    def around(
        cls, func: Callable[..., Any], strategies: tuple[Strategy, ...]
    ) -> "Plan":
        """Put *strategies* around *func*, fused with those that it already has."""
        if (inner := plan_of(func)) is None:
            return cls(func, strategies)
        if not strategies:
            return inner
        for outer in strategies:
            for other in inner.strategies:
                warn_of_doubts(outer, other, inner.endpoint)
        return cls(inner.func, (*strategies, *inner.strategies), inner.endpoint)

    def weave(self, scope: Scope, func: Callable[..., Any]) -> Callable[..., Any]:
        """Make one function of *func* and all strategies, with the state of *scope*."""
        weaver = Weaver(
            func,
            scope,
            self.hub,
            is_async=self.is_async,
            is_native=inspect.iscoroutinefunction(func) or not self.is_async,
            has_deadline=self.takes_api,
            arguments=self._arguments,
            budget=self.budget_at(scope.origin),
        )
        body = weaver.call_innermost
        for strategy in reversed(self.strategies):
            body = functools.partial(strategy.weave, weaver, body)
        return weaver.finish(body)

    def at(self, origin: str) -> Callable[..., Any]:
        """Return the function whose states belong to *origin*."""
        # Woven when it is first called, since nobody knows the origins before.
        if (woven := self._recent.get(origin)) is None:
            woven = self._older.get(origin)
            woven = woven or self.weave(Scope(self.endpoint, origin), self.func)
            # Another thread may have been quicker, and its function knows some keys.
            woven = self._recent.setdefault(origin, woven)
            self._forget_older()
        return woven

    def _forget_older(self) -> None:
        with self._forgetting:
            if len(self._recent) < MAX_ORIGINS:
                return
            gone = self._older.keys() - self._recent.keys()
            self._older, self._recent = self._recent, {}
        for origin in gone:
            for strategy in self.strategies:
                strategy.forget_state(Scope(self.endpoint, origin))

    def reset(self) -> None:
        """Begin anew with fresh states, as the strategies and their clocks are now."""
        for strategy in self.strategies:
            strategy.forget_states(self.endpoint)
        self._recent.clear()
        self._older.clear()
        fresh = self.weave(Scope(self.endpoint), self.func)
        # In place, since others hold on to the function itself.
        self._woven.__globals__.update(fresh.__globals__)

    def _wrap(self) -> Callable[..., Any]:
        # An endpoint is told by its ApiHTTP which origin, and so which states, it has.
        wrapper = self._by_origin() if self.takes_api else self._woven
        functools.update_wrapper(wrapper, self.func)
        setattr(wrapper, MARKER, self)
        return wrapper

    def _by_origin(self) -> Callable[..., Any]:
        def origin_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
            api = args[0] if args else kwargs.get("api")
            origin = getattr(api, "origin", "")
            return origin if isinstance(origin, str) else ""

        def by_origin(*args: Any, **kwargs: Any) -> Any:
            return self.at(origin_of(args, kwargs))(*args, **kwargs)

        async def by_origin_async(*args: Any, **kwargs: Any) -> Any:
            return await self.at(origin_of(args, kwargs))(*args, **kwargs)

        return by_origin_async if self.is_async else by_origin


def no_budget(_origin: str) -> None:
    """Return nothing: retries are not bound together."""


def plan_of(func: Callable[..., Any]) -> Plan | None:
    """Return the plan of *func*, if its outermost decorator is one of ours.

    `functools.wraps` copies our mark to the wrappers of others; those are left alone.
    """
    plan = getattr(func, MARKER, None)
    return plan if isinstance(plan, Plan) and plan.wrapper is func else None


def is_async(func: Callable[..., Any]) -> bool:
    """Tell whether calling *func* gives something to await."""
    while isinstance(func, functools.partial):
        func = func.func
    if isinstance(func, type):  # It makes an instance, whatever that can do.
        return False
    call = getattr(func, "__call__", None)  # noqa: B004 - asked for its kind
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(call)


def takes_api(func: Callable[..., Any]) -> bool:
    """Tell whether *func* is an endpoint, whose first parameter is an ApiHTTP."""
    try:
        first = next(iter(inspect.signature(func).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    if first is None:
        return False
    return first.name == "api" or name_of_type(first.annotation) == "ApiHTTP"


def refuse_others(func: Callable[..., Any]) -> None:
    """Refuse what gives a stream, since a stream cannot be repeated or timed here.

    And what is no function yet, but becomes a method when it is asked for.
    """
    if isinstance(func, classmethod | staticmethod | property):
        msg = (
            f"Cannot decorate a {type(func).__name__}: write the strategy below "
            f"`@{type(func).__name__}`, next to the function."
        )
        raise TypeError(msg)
    if not callable(func):
        msg = f"Cannot decorate a {type(func).__name__}, which is no function."
        raise TypeError(msg)
    if is_generator(func):
        msg = (
            f"Cannot decorate {name_of(func)!r}: it is a generator, and its work "
            "happens after the call. Decorate what it calls instead."
        )
        raise TypeError(msg)


def is_generator(func: Callable[..., Any]) -> bool:
    """Tell whether calling *func* gives a stream, sync or async."""
    if isinstance(func, FunctionType):  # A pipeline asks for each call.
        return bool(func.__code__.co_flags & STREAMS)
    while isinstance(func, functools.partial):
        func = func.func
    if not (inspect.isroutine(func) or isinstance(func, type)):
        func = getattr(func, "__call__", func)  # noqa: B004 - asked for its kind
    return inspect.isasyncgenfunction(func) or inspect.isgeneratorfunction(func)


def warn_of_doubts(
    outer: Strategy, inner: Strategy, endpoint: str, *, stacklevel: int = 4
) -> None:
    """Warn if *outer* should perhaps not be outside of *inner*."""
    if (doubt := outer.doubts(inner)) is not None:
        warnings.warn(f"{endpoint}: {doubt}", OrderWarning, stacklevel=stacklevel)
