"""Pipelines: several strategies as one."""

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from accel_integration._strategy import (
    Plan,
    Strategy,
    is_async,
    name_of,
    refuse_others,
    warn_of_doubts,
)

__all__ = ["Pipeline"]

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline:
    """Strategies in the order in which they would be stacked, the outermost first.

    As a decorator it is the same as the stack. `call` needs no decorator: all its calls
    share one state under the *name* of the pipeline.
    """

    def __init__(self, *strategies: Strategy, name: str = "pipeline") -> None:
        for strategy in strategies:
            if not isinstance(strategy, Strategy):
                msg = f"A pipeline is made of strategies, as `sp.Timeout(5)`: {strategy!r}"
                raise TypeError(msg)
        self.strategies = strategies
        self.name = name
        for position, outer in enumerate(strategies):
            for inner in strategies[position + 1 :]:
                warn_of_doubts(outer, inner, name, stacklevel=3)
        self._plans: dict[bool, Plan] = {}

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        wrapper: Callable[P, R] = Plan.around(func, self.strategies).wrapper
        return wrapper

    def __repr__(self) -> str:
        steps = ", ".join(strategy.describe() for strategy in self.strategies)
        return f"<{type(self).__name__} {self.name!r}: {steps}>"

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call *func* once under these strategies; await the result if it is async.

        Raises:
            TypeError: It is no async function, and has made a coroutine.
        """
        refuse_others(func)
        wants_await = is_async(func)
        if (plan := self._plans.get(wants_await)) is None:
            caller = apply_async if wants_await else apply
            plan = Plan(caller, self.strategies, self.name, takes_function=True)
            # Another thread may have been quicker, and its plan knows some keys.
            plan = self._plans.setdefault(wants_await, plan)
        result: R = plan.wrapper(func, *args, **kwargs)
        if not wants_await:
            # Here, where no fallback hides it.
            refuse_coroutine(func, result)
        return result


def refuse_coroutine(func: Callable[..., Any], result: object) -> None:
    """Refuse what a sync *func* has made, if it would only run after its strategies."""
    if inspect.iscoroutine(result):
        result.close()
        msg = (
            f"{name_of(func)!r} is no async function, and returned a coroutine, for "
            "which no strategy would wait. Hand over the async function itself, as in "
            "`pipeline.call(client.get, url)`."
        )
        raise TypeError(msg)


def apply(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call *func*."""
    return func(*args, **kwargs)


async def apply_async(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call *func*, and await it."""
    return await func(*args, **kwargs)
