"""Hooks in every shape a class may write them."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool

from accel_auth._errors import HookError

P = ParamSpec("P")
R = TypeVar("R")


def bind_hook(target: object, name: str, shape: str) -> Callable[..., Awaitable[Any]]:
    """Return the hook *name* of *target*, a class or an instance, as a coroutine.

    *shape* shows the arguments, such as `(username, password)`. A hook may be a plain
    function of the class body without `self` (the seed's form), a method, a class
    method, or a static method. A sync one runs off the event loop.
    """
    owner = target if inspect.isclass(target) else type(target)
    # Plain `getattr` would bind it, and hide whether it was written with `self`.
    raw = inspect.getattr_static(target, name, None)
    if raw is None:
        raise HookError(owner.__name__, name, "is missing", shape)
    bound = _bind(target, owner, name, raw, shape)

    async def hook(*args: Any) -> Any:
        if _is_async(bound):
            return await bound(*args)
        # A lambda may return a coroutine, and looks like a sync hook until it is called.
        result = await run_in_threadpool(bound, *args)
        return await result if inspect.isawaitable(result) else result

    return hook


def _is_async(hook: Callable[..., Any]) -> bool:
    call = getattr(hook, "__call__", None)  # noqa: B004 -- a callable object's own coroutine
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(call)


def _bind(
    target: object, owner: type, name: str, raw: Any, shape: str
) -> Callable[..., Any]:
    if isinstance(raw, staticmethod | classmethod) or not inspect.isfunction(raw):
        hook: Callable[..., Any] = getattr(target, name)
        return hook
    params = [p for p in inspect.signature(raw).parameters.values() if _required(p)]
    # One argument more than *shape* has is `self` or `cls`, whatever it is called.
    missing = len(params) - (shape.count(",") + 1)
    if missing == 0:
        return raw
    if missing != 1:
        raise HookError(owner.__name__, name, f"takes {len(params)} arguments", shape)
    if inspect.isclass(target):
        return functools.partial(raw, owner if params[0].name == "cls" else owner())
    return functools.partial(raw, target)


def _required(param: inspect.Parameter) -> bool:
    positional = param.kind in (param.POSITIONAL_ONLY, param.POSITIONAL_OR_KEYWORD)
    return positional and param.default is param.empty


class class_or_instance_method(Generic[P, R]):  # noqa: N801 -- used as a decorator
    """Bind a method to the instance, or to the class where there is none."""

    def __init__(self, func: Callable[Concatenate[Any, P], R]) -> None:
        self._func = func
        self.__doc__ = func.__doc__

    def __get__(self, instance: object, owner: type) -> Callable[P, R]:
        bound = functools.partial(self._func, owner if instance is None else instance)
        return functools.update_wrapper(bound, self._func)
