"""Single flight within one event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LeaderLeft(Exception):  # noqa: N818 - control flow, never seen outside
    """Raised to followers whose leader was cancelled: one of them leads next."""


class Flights(Generic[T]):
    """Calls in flight by key: the first one runs, the others share its outcome.

    The leader runs in its own task with its own arguments: a request's session
    is never used after the request has ended.
    """

    def __init__(self) -> None:
        self._flying: dict[str, asyncio.Future[T]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flying

    async def run(self, key: str, lead: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the outcome and whether this caller produced it."""
        while (flying := self._flying.get(key)) is not None:
            try:
                return await asyncio.shield(flying), False
            except LeaderLeft:
                continue
        return await self._lead(key, lead), True

    def let_go(self, key: str, outcome: T) -> None:
        """Give *outcome* to all who wait for *key*; its leader goes on alone."""
        if (flying := self._flying.pop(key, None)) is not None:
            flying.set_result(outcome)

    async def _lead(self, key: str, lead: Callable[[], Awaitable[T]]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._flying[key] = future
        try:
            outcome = await lead()
        except Exception as exc:
            if not future.done():
                future.set_exception(exc)
            raise
        except BaseException:
            if not future.done():
                future.set_exception(LeaderLeft())
            raise
        else:
            if not future.done():
                future.set_result(outcome)
            return outcome
        finally:
            # Read it once: without followers nobody else does.
            future.exception()
            if self._flying.get(key) is future:
                del self._flying[key]
