"""Calls under way: their context, and how they went."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from accel_integration._api import ApiHTTP
from accel_integration._context import EXCHANGE, Exchange, Temporarily
from accel_integration._events import CallFinished
from accel_integration._request_bodies import BODIES, Bodies
from accel_integration._stats import EndpointStats

if TYPE_CHECKING:
    from accel_integration._endpoint import Endpoint

__all__ = ["OngoingCall"]


class OngoingCall:
    """One call of *endpoint*, which notes at its end how it went."""

    # Written by hand: two nested generators took a third of the time of a call.
    __slots__ = (
        "_endpoint",
        "_noted",
        "_start",
        "_stats",
        "_watched",
        "api",
        "bodies",
        "exchange",
    )

    def __init__(
        self, endpoint: "Endpoint", api: ApiHTTP, stats: EndpointStats, bodies: Bodies
    ) -> None:
        self.api = api
        self.exchange = Exchange()
        self.exchange.prepare = endpoint.extras.for_call(api, awaits=endpoint.is_async)
        self._endpoint = endpoint
        self._stats = stats
        self.bodies = bodies
        self._noted = Temporarily(EXCHANGE, self.exchange)
        self._watched = Temporarily(BODIES, bodies)

    def __enter__(self) -> Self:
        self._noted.__enter__()
        self._watched.__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration = time.perf_counter() - self._start
        self._watched.__exit__(exc_type, exc, traceback)
        self._noted.__exit__(exc_type, exc, traceback)
        # A call that was cancelled says nothing about the other side.
        if exc is None or isinstance(exc, Exception):
            self._stats.record(duration, self.exchange, exc)
        if self._endpoint.integration.hub:
            self._tell(duration, exc)

    def _tell(self, duration: float, error: BaseException | None) -> None:
        endpoint, api = self._endpoint, self.api
        endpoint.integration.hub.emit(
            CallFinished(
                endpoint=endpoint.plan.endpoint,
                origin=api.origin,
                integration=endpoint.integration.name,
                method=api.httpmethod,
                status=self.exchange.status,
                duration=duration,
                attempts=self.exchange.attempts,
                error=None if error is None else type(error).__name__,
            )
        )
