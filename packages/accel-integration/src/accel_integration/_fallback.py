"""Fallbacks: another answer when there is none."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

from accel_integration._context import EXCHANGE, Scope
from accel_integration._events import FallbackUsed, Hub
from accel_integration._parameters import exceptions
from accel_integration._strategy import Strategy, is_async, name_of
from accel_integration._weaver import Body, Weaver

__all__ = ["Fallback"]


class Fallback(Strategy):
    """Answer with *fn_or_value* when the call raises.

    A function is looked at once. Without parameters it is called without any; a
    parameter named `exc` gets the exception; all the others get the arguments of the
    call. It may be sync or async around an async function. A value is copied for each
    answer, so that nobody changes the next one.

    Put it outermost: what is outside of a fallback never sees a failure.
    """

    hides_failures = True

    def __init__(
        self,
        fn_or_value: object,
        *,
        on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> None:
        super().__init__()
        exceptions("on", on)
        self.on = on
        self.answer: Any = fn_or_value
        self.is_function = callable(fn_or_value)
        self.is_async = callable(fn_or_value) and is_async(fn_or_value)
        self._takes_exc = self._takes_call = False
        if callable(fn_or_value):
            self._look_at(fn_or_value)
        else:
            self._check_copies(fn_or_value)

    def _check_copies(self, value: object) -> None:
        try:
            copy.deepcopy(value)
        except Exception as exc:
            msg = (
                f"Cannot fall back to {value!r}: every call gets a copy of it, and it "
                "cannot be copied. Give a function that returns it."
            )
            raise TypeError(msg) from exc

    def _look_at(self, func: Callable[..., Any]) -> None:
        try:
            parameters = inspect.signature(func).parameters
        except ValueError:  # Some builtins keep their parameters to themselves.
            return
        self._takes_exc = "exc" in parameters
        self._takes_call = bool(set(parameters) - {"exc"})

    def describe(self) -> str:
        if not self.is_function:
            return "falls back to a fixed value"
        name = name_of(self.answer).rpartition(".")[2]
        return f"falls back to {'a function' if name == '<lambda>' else name}"

    def weave(self, weaver: Weaver, body: Body) -> None:
        if self.is_async and not weaver.is_async:
            msg = (
                f"Cannot fall back from the sync {weaver.scope.endpoint!r} to the "
                f"async {name_of(self.answer)!r}: give a sync function."
            )
            raise TypeError(msg)
        hub = Hub(self.hub, weaver.hub)
        fallback = weaver.bind("fallback", Answerer(self, weaver.scope, hub))
        on = weaver.bind("on", self.on)
        wait = "await " if self.is_async else ""
        with weaver.block("try:"):
            body()
        with weaver.block(f"except {on} as exc:"):
            weaver.line(f"r = {wait}{fallback}.reply(exc, {weaver.arguments}, kwargs)")

    def reply(
        self, exc: BaseException, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return the other answer, or what must be awaited for it."""
        if not self.is_function:
            return copy.deepcopy(self.answer)
        if not self._takes_call:
            args, kwargs = (), {}
        if self._takes_exc:
            kwargs = {**kwargs, "exc": exc}
        return self.answer(*args, **kwargs)


class Answerer:
    """A fallback in one place."""

    __slots__ = ("hub", "policy", "scope")

    def __init__(self, policy: Fallback, scope: Scope, hub: Hub) -> None:
        self.policy = policy
        self.scope = scope
        self.hub = hub

    def reply(
        self, exc: BaseException, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Tell the listeners, and answer."""
        if (exchange := EXCHANGE.get()) is not None:
            exchange.fallbacks += 1
        self.hub.tell(FallbackUsed, self.scope, error=type(exc).__name__)
        return self.policy.reply(exc, args, kwargs)
