"""Throttles whose state is in a store."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from accel_integration._context import Scope, time_left
from accel_integration._scripts import RESERVE
from accel_integration._steps import Steps, drive, drive_async
from accel_integration._stores import Store, StoreDownError
from accel_integration._throttle_state import ThrottleState

__all__ = ["SharedThrottle"]


class SharedThrottle:
    """One throttle in a store; every call asks it."""

    def __init__(self, local: ThrottleState, store: Store, scope: Scope) -> None:
        # What counts while the store is down.
        self._local = local
        self._store = store
        self._name = f"throttle:{scope.endpoint}:{scope.origin}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    async def acquire(self) -> None:
        """Wait for the next turn, or refuse the call."""
        if wait := await drive_async(self._store, self._name, self._reserve()):
            sleep: Callable[[float], Awaitable[Any]]
            sleep = getattr(self._local.clock, "sleep", asyncio.sleep)
            await sleep(wait)

    def acquire_sync(self) -> None:
        """Wait for the next turn in a thread, or refuse the call."""
        wait = drive(self._store, self._name, self._reserve())
        left = time_left()
        # Its turn is lost, as if it had been made and failed.
        if left is not None and wait > left:
            raise self._local.refusal(wait)
        if wait:
            getattr(self._local.clock, "sleep_sync", time.sleep)(wait)

    def _reserve(self) -> Steps[float]:
        local = self._local
        arguments = (local.interval, local.tolerance, local.max_wait)
        try:
            is_free, _, wait, _ = yield RESERVE, arguments
        except StoreDownError:
            return self._reserve_alone()
        if not is_free:
            raise local.refusal(wait)
        return wait

    def _reserve_alone(self) -> float:
        """Go on without the store."""
        if self._store.fail == "closed":
            raise self._local.refusal(self._store.refresh, store_is_down=True)
        return 0.0 if self._store.fail == "open" else self._local.reserve()[0]
