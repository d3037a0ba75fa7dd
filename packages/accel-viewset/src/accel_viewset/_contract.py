"""The tests that every view set must pass."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeAlias

from accel_viewset._contract_access import Access
from accel_viewset._contract_reads import Reads
from accel_viewset._contract_writes import Writes
from accel_viewset._generic import GenericViewSet

Sent: TypeAlias = Mapping[str, str]
Headers: TypeAlias = Sent | Callable[[], Sent | Awaitable[Sent]]
_CREDENTIALS = ("headers", "forbidden", "unrelated")


class Contract(Reads, Writes, Access):
    """One view set under test; `contract_of` picks the tests that apply."""


def contract_of(
    view: GenericViewSet,
    url: str,
    valid: Callable[[], Mapping[str, Any]],
    replacement: Callable[[], Mapping[str, Any]],
    **settings: Any,
) -> type[Any]:
    """Return the class of the tests that make sense for *view*.

    Raises:
        ValueError: the view set has no such public action.
    """
    if unknown := settings["public"] - view.router.actions:
        raise ValueError(
            f"there is no action {sorted(unknown)} to be public, only "
            f"{sorted(view.router.actions)}"
        )
    for name in _CREDENTIALS:
        settings[name] = _when_asked(settings[name])
    own = {
        "view": view,
        "url": url,
        "valid": staticmethod(valid),
        "replacement": staticmethod(replacement),
        **settings,
    }
    made: type[Any] = type("ViewSetContract", (Contract,), own)
    for name in dir(made):
        if not made.applies(getattr(made, name)):
            # pytest collects no test that is None.
            setattr(made, name, None)
    return made


def _when_asked(headers: Headers) -> Any:
    """Return *headers*, or what asks for them once in each test."""
    if not callable(headers):
        return dict(headers)
    ask = headers

    def asked(_: object) -> dict[str, str]:
        found = ask()
        if not inspect.isawaitable(found):
            return dict(found)
        # In a thread, which has no event loop of the tests.
        with ThreadPoolExecutor(1) as pool:
            return dict(pool.submit(asyncio.run, _awaited(found)).result())

    return cached_property(asked)


async def _awaited(found: Awaitable[Sent]) -> Sent:
    return await found
