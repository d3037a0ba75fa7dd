"""Throttles: no more than so many calls per second."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

from accel_integration._context import Clock, Scope, Seconds
from accel_integration._events import Hub
from accel_integration._parameters import (
    at_least,
    not_negative,
    positive,
    synchronous,
)
from accel_integration._shared_throttle import SharedThrottle
from accel_integration._stores import Store, check_store
from accel_integration._strategy import StatefulStrategy, Strategy
from accel_integration._throttle_state import ThrottleState
from accel_integration._weaver import Body, Weaver

__all__ = ["Throttle", "Throttling"]

Throttle: TypeAlias = ThrottleState | SharedThrottle

# How many keys are remembered at once; the one not seen for longest is forgotten.
MOST_KEYS = 10_000
# How many characters a key has; the hash of a longer one stands for its rest.
LONGEST_KEY = 200


class Throttling(StatefulStrategy[Throttle]):
    """Allow *calls_per_second* on average, and *burst* of them at once.

    This is the generic cell rate algorithm (ITU-T I.371): one number per (endpoint,
    origin) says when the calls so far would be over if they had come evenly spaced.

    Args:
        calls_per_second: The rate; 0.5 is one call in two seconds.
        burst: How many calls may come together; by default as many as in a second.
        max_wait: How long a call may wait for its turn before it is refused.
        key: A name for the endpoint; functions with the same one share a rate. Or a
            function of the arguments of a call, which gives each key a rate of its
            own: `key=lambda api, tenant: tenant`.
        store: Where the state is, to share it with other processes.

    Raises:
        ThrottlingError: The call would come too early; `retry_after` says by how much.
    """

    def __init__(  # noqa: PLR0913 - they are independent, and all have defaults
        self,
        calls_per_second: float = 1_000,
        *,
        burst: int | None = None,
        max_wait: Seconds = 0,
        key: str | Callable[..., str] | None = None,
        store: Store | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock, None if callable(key) else key)
        synchronous("key", key)
        self.key_of = key if callable(key) else None
        self.calls_per_second = positive("calls_per_second", calls_per_second)
        if burst is None:
            burst = max(1, int(calls_per_second))
        self.burst = at_least(1, "burst", burst)
        self.max_wait = not_negative("max_wait", max_wait)
        self.store = store

    def describe(self) -> str:
        text = f"allows {self.calls_per_second:g} calls per second"
        if self.key_of is not None:
            text += " for each key"
        if self.burst != self.calls_per_second:
            text += f" and {self.burst} at once"
        if self.max_wait:
            text += f", waiting up to {self.max_wait:g} s"
        return text + (", in all processes together" if self.store else "")

    def new_state(self, scope: Scope, hub: Hub) -> Throttle:
        local = ThrottleState(
            self.calls_per_second, self.burst, self.max_wait, self.clock, scope, hub
        )
        if self.store is None:
            return local
        return SharedThrottle(local, self.store, scope)

    def doubts(self, inner: Strategy) -> str | None:
        if inner.repeats:
            return (
                f"the Throttling is outside of the {type(inner).__name__}, whose "
                "further attempts escape the limit. Put the Throttling inside of it."
            )
        return None

    def weave(self, weaver: Weaver, body: Body) -> None:
        if self.key_of is None:
            throttle = self.bind(weaver, "throttle")
        else:
            throttles = weaver.bind(
                "throttles", KeyedThrottles(self, self.key_of, weaver)
            )
            throttle = weaver.local("throttle")
            weaver.line(f"{throttle} = {throttles}.of({weaver.arguments}, kwargs)")
        if self.store is not None:
            check_store(self.store, weaver)
        acquire = "acquire" if weaver.is_async else "acquire_sync"
        acquiring = f"{weaver.wait}{throttle}.{acquire}()"
        if self.store is not None:
            weaver.line(acquiring)
        else:
            self._weave_local(weaver, throttle, acquiring)
        weaver.began = None
        body()

    def _weave_local(self, weaver: Weaver, throttle: str, acquiring: str) -> None:
        tat = weaver.local("tat")
        # To ask the clock once more costs as much as the rest of a throttle.
        now = weaver.began if self.clock is time.monotonic else None
        if now is None:
            now = weaver.local("now")
            weaver.line(f"{now} = {throttle}.clock()")
        # No call between the read and the write, so that threads cannot mix here.
        weaver.line(f"{tat} = {throttle}.tat")
        with weaver.block(f"if {tat} - {now} > {throttle}.tolerance:"):
            weaver.line(acquiring)
        with weaver.block("else:"):
            weaver.line(
                f"{throttle}.tat = ({tat} if {tat} > {now} else {now})"
                f" + {throttle}.interval"
            )


class KeyedThrottles:
    """A throttle for each key that the calls of one function have."""

    def __init__(
        self, policy: Throttling, key_of: Callable[..., str], weaver: Weaver
    ) -> None:
        self._policy = policy
        self._key_of = key_of
        self._scope = weaver.scope
        self._hub = Hub(policy.hub, weaver.hub)
        self._throttles: OrderedDict[str, Throttle] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Throttle:
        """Return the throttle for a call with these arguments."""
        key = shortened(str(self._key_of(*args, **kwargs)))
        with self._lock:
            if (throttle := self._throttles.get(key)) is None:
                endpoint = f"{self._scope.endpoint}[{key}]"
                scope = Scope(endpoint, self._scope.origin)
                throttle = self._policy.new_state(scope, self._hub)
                self._throttles[key] = throttle
            self._throttles.move_to_end(key)
            # Keys come from outside, and must not fill the memory. Who is forgotten
            # begins with a full burst.
            if len(self._throttles) > MOST_KEYS:
                self._throttles.popitem(last=False)
            return throttle


def shortened(key: str) -> str:
    """Return *key*, or what stands for it if it is too long to be remembered."""
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{key[: LONGEST_KEY - len(digest)]}{digest}"
