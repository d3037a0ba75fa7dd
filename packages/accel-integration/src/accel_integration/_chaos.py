"""Chaos: failures and delays on purpose."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from accel_integration._context import Clock, Seconds, time_left
from accel_integration._parameters import not_negative, share, synchronous
from accel_integration._strategy import RANDOM, Strategy
from accel_integration._weaver import Body, Weaver

__all__ = ["Chaos"]


class Chaos(Strategy):
    """Let some calls fail or be slow, to see whether everything around stands it.

    Put it innermost, so that the other strategies are what is tried.

    Args:
        error_rate: The share of calls that fail without being made, 0 to 1.
        error: What they raise; by default a `ConnectionError`.
        latency_rate: The share of calls that are delayed, 0 to 1.
        latency: By how much.
        enabled: Whether to do anything; a function is asked for each call.
        rng: Who decides; give a seeded one for the same chaos each time.
    """

    def __init__(  # noqa: PLR0913 - they are independent, and all have defaults
        self,
        *,
        error_rate: float = 0.0,
        error: BaseException | type[BaseException] | None = None,
        latency_rate: float = 0.0,
        latency: Seconds = 0,
        enabled: bool | Callable[[], bool] = True,
        rng: random.Random | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self.error_rate = share("error_rate", error_rate, may_be_zero=True)
        if error is None:
            error = ConnectionError("This failure was injected by `sp.Chaos`.")
        kind = error if isinstance(error, type) else type(error)
        if not issubclass(kind, BaseException):
            raise TypeError(f'"error" must be an exception, or its class: {error!r}')
        self.error = error
        self.latency_rate = share("latency_rate", latency_rate, may_be_zero=True)
        self.latency = not_negative("latency", latency)
        if not isinstance(enabled, bool | int | None) and not callable(enabled):
            raise TypeError(f'"enabled" must be a bool or a function: {enabled!r}')
        synchronous("enabled", enabled)
        self.enabled = enabled
        self.rng = rng or RANDOM

    def describe(self) -> str:
        text = f"fails {self.error_rate:.0%} of the calls on purpose"
        if self.latency_rate:
            text += f", and delays {self.latency_rate:.0%} by {self.latency:g} s"
        return text

    def doubts(self, inner: Strategy) -> str | None:
        if isinstance(inner, Chaos):
            return None
        return (
            f"the Chaos is outside of the {type(inner).__name__}, which it therefore "
            "does not try. Put the Chaos innermost."
        )

    def weave(self, weaver: Weaver, body: Body) -> None:
        chaos = weaver.bind("chaos", self)
        disturb = "disturb" if weaver.is_async else "disturb_sync"
        weaver.line(f"{weaver.wait}{chaos}.{disturb}()")
        weaver.began = None
        body()

    async def disturb(self) -> None:
        """Delay this call, or let it fail, or do nothing."""
        if delay := self._delay():
            sleep: Callable[[float], Awaitable[Any]]
            sleep = getattr(self.clock, "sleep", asyncio.sleep)
            await sleep(delay)
        self._strike()

    def disturb_sync(self) -> None:
        """Delay this call in its thread, or let it fail, or do nothing."""
        if delay := self._delay():
            # Like the client it stands for, it waits no longer than there is time.
            left = time_left()
            delay = delay if left is None else min(delay, left)
            getattr(self.clock, "sleep_sync", time.sleep)(delay)
        self._strike()

    def _is_enabled(self) -> bool:
        return self.enabled() if callable(self.enabled) else self.enabled

    def _delay(self) -> float:
        struck = self._is_enabled() and self.rng.random() < self.latency_rate
        return self.latency if struck else 0.0

    def _strike(self) -> None:
        if self._is_enabled() and self.rng.random() < self.error_rate:
            error = self.error
            # One that was raised before would keep the frames of every call.
            raise error if isinstance(error, type) else error.with_traceback(None)
