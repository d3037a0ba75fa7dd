"""Retries: when to ask again, and how long to wait before."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from accel_integration._budget import RetryBudget
from accel_integration._context import (
    EXCHANGE,
    Clock,
    Scope,
    Seconds,
    time_left,
)
from accel_integration._errors import MaxRetriesExceededError, ResponseError
from accel_integration._events import Hub, RetryScheduled
from accel_integration._outcome import (
    is_about_us,
    note_status,
    retry_after_of,
    status_of_error,
    status_of_result,
    statuses_of,
)
from accel_integration._parameters import (
    at_least,
    exceptions,
    function_or_none,
    not_negative,
    one_of,
    synchronous,
)
from accel_integration._steps import Steps, drive, drive_async
from accel_integration._stores import MemoryStore, Store, check_store
from accel_integration._strategy import RANDOM, Strategy
from accel_integration._weaver import Body, Weaver

__all__ = ["Backoff", "Jitter", "RetryPattern"]

Backoff: TypeAlias = (
    Literal["constant", "linear", "exponential"] | Callable[[int], float]
)
Jitter: TypeAlias = Literal["full", "equal", "decorrelated"]
On: TypeAlias = (
    type[BaseException]
    | tuple[type[BaseException], ...]
    | Callable[[BaseException], bool]
)

CLIENT_ERRORS = range(400, 500)
# Request Timeout, Too Early and Too Many Requests: nothing is wrong with the request.
PASSING = frozenset({408, 425, 429})

# A budget that is in no store takes no steps, whatever they would be taken on.
NO_STORE = MemoryStore()

EXHAUSTED = "it was the last attempt allowed"
OUT_OF_BUDGET = "the retry budget is spent"
OUT_OF_TIME = "the deadline comes before the next attempt"
TOLD_TO_WAIT = "the upstream asks for a longer wait than `max_delay`"


class RetryPattern(Strategy):
    """Make a call again when it raised, up to *max_attempts* times in all.

    Args:
        max_attempts: How often to try, the first time included.
        delay: The wait before the second attempt.
        backoff: How the wait grows: by the same amount each time ("linear"), twofold
            ("exponential"), or as a function of the number of the attempt says.
        jitter: How to spread the waits, so that clients do not come back together:
            "full" between zero and the wait, "equal" between its half and all of it,
            "decorrelated" between *delay* and three times the wait before. See
            "Exponential Backoff and Jitter" in the AWS Architecture Blog.
        max_delay: The longest wait. If the upstream asks for more, we give up.
        on: Which exceptions to retry: classes, or a function of the exception. By
            default all but rejections of other strategies, `PROGRAMMING_ERRORS`, and
            a `ResponseError` whose status blames the request (4xx but 408, 425, 429).
        retry_if: A function of the result; a true answer asks for another attempt.
        statuses: Responses with these statuses are retried although nothing was
            raised, and of the exceptions about a status only these.
        retry_after: Whether to wait for as long as the upstream asks.
        budget: A bound for all retries together.
        rng: Where jitter comes from.

    Raises:
        MaxRetriesExceededError: No attempt succeeded; the last failure is its cause.
            If the last attempt returned something that `retry_if` or `statuses` does
            not like, that is returned.
    """

    repeats = True

    def __init__(  # noqa: PLR0913 - they are independent, and all have defaults
        self,
        max_attempts: int = 3,
        delay: Seconds = timedelta(seconds=1),
        *,
        backoff: Backoff = "constant",
        jitter: Jitter | None = None,
        max_delay: Seconds = 60,
        on: On | None = None,
        retry_if: Callable[[Any], bool] | None = None,
        statuses: Collection[int] = (),
        retry_after: bool = True,
        budget: RetryBudget | None = None,
        rng: random.Random | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        super().__init__(clock)
        if not callable(backoff):
            one_of(("constant", "linear", "exponential"), "backoff", backoff)
        if jitter is not None:
            one_of(("full", "equal", "decorrelated"), "jitter", jitter)
        self.max_attempts = at_least(1, "max_attempts", max_attempts)
        self.delay = not_negative("delay", delay)
        self.backoff = backoff
        self.jitter = jitter
        self.max_delay = not_negative("max_delay", max_delay)
        if on is not None and (isinstance(on, type) or not callable(on)):
            exceptions("on", on)
        synchronous("on", on)
        synchronous("backoff", backoff)
        function_or_none("retry_if", retry_if)
        if not isinstance(budget, RetryBudget | None):
            raise TypeError(f'"budget" must be an `sp.RetryBudget`: {budget!r}')
        self.on = on
        self.retry_if = retry_if
        self.statuses = statuses_of(statuses)
        self.retry_after = retry_after
        self.budget = budget
        self.rng = rng or RANDOM

    def describe(self) -> str:
        text = f"tries up to {self.max_attempts} times, {self.delay:g} s apart"
        if self.backoff != "constant":
            kind = "custom" if callable(self.backoff) else self.backoff
            text += f" with {kind} backoff"
        if self.jitter:
            text += f" and {self.jitter} jitter"
        if self.statuses:
            text += f", also on status {', '.join(map(str, sorted(self.statuses)))}"
        return text

    def doubts(self, inner: Strategy) -> str | None:
        if isinstance(inner, RetryPattern):
            attempts = self.max_attempts * inner.max_attempts
            return (
                "the RetryPattern is outside of another one, so that a call is made up "
                f"to {attempts} times. Leave one of them out."
            )
        return doubt_fallback(self, inner)

    def weave(self, weaver: Weaver, body: Body) -> None:
        hub = Hub(self.hub, weaver.hub)
        budget = self.budget or weaver.budget
        limits = [weaver.names[name].seconds for name in weaver.timeouts]
        within = min(limits, default=None)
        retrier = weaver.bind(
            "retrier", Retrier(self, weaver.scope, hub, budget, within)
        )
        attempt, wait = weaver.local("attempt"), weaver.local("wait")
        sleep = "sleep" if weaver.is_async else "sleep_sync"
        began = weaver.began
        # Only a budget in a store may have to be waited for.
        store = None if budget is None else budget.store
        if store is not None:
            check_store(store, weaver)
        asking = "" if store is None else weaver.wait
        suffix = "_async" if asking else ""
        if budget is not None:
            weaver.line(f"{weaver.bind('budget', budget)}.deposit()")
        if self.statuses:
            weaver.line(f"{weaver.bind('note_status', note_status)}()")
        weaver.line(f"{attempt} = 1")
        weaver.line(f"{wait} = 0.0")
        with weaver.block("while True:"):
            with weaver.block("try:"):
                body()
            with weaver.block("except Exception as exc:"):
                weaver.line(
                    f"{wait} = {asking}{retrier}.after_error{suffix}"
                    f"(exc, {attempt}, {wait})"
                )
                with weaver.block(f"if {wait} is None:"):
                    weaver.line("raise")
            if self.statuses or self.retry_if is not None:
                with weaver.block("else:"):
                    with weaver.block(f"if not {retrier}.is_unwanted(r):"):
                        weaver.line("break")
                    weaver.line(
                        f"{wait} = {asking}{retrier}.after_result{suffix}"
                        f"(r, {attempt}, {wait})"
                    )
                    with weaver.block(f"if {wait} is None:"):
                        weaver.line("break")
            else:
                with weaver.block("else:"):
                    weaver.line("break")
            weaver.line(f"{attempt} += 1")
            weaver.line(f"{weaver.wait}{retrier}.{sleep}({wait})")
            if began is not None:
                weaver.line(f"{began} = monotonic()")

    @property
    def shortest_wait(self) -> float:
        """The least that the wait before the second attempt is known to be, in seconds."""
        if callable(self.backoff):
            return 0.0
        base = min(self._grown(1), self.max_delay)
        return {"full": 0.0, "equal": base / 2}.get(self.jitter or "", base)

    def wait_before(self, attempt: int, last: float) -> float:
        """Return the seconds to wait after the *attempt*-th one has failed.

        *last* is the wait before, or zero.
        """
        base = min(self._grown(attempt), self.max_delay)
        if self.jitter == "full":
            return self.rng.uniform(0, base)
        if self.jitter == "equal":
            return self.rng.uniform(base / 2, base)
        if self.jitter == "decorrelated":
            highest = max(self.delay, 3 * (last or self.delay))
            return min(self.max_delay, self.rng.uniform(self.delay, highest))
        return base

    def _grown(self, attempt: int) -> float:
        if callable(self.backoff):
            return max(0.0, self.backoff(attempt))
        if self.backoff == "exponential":
            # Beyond any max_delay, and before the power overflows.
            return self.delay * 2.0 ** min(attempt - 1, 64)
        return self.delay * attempt if self.backoff == "linear" else self.delay

    def is_retryable(self, exc: Exception) -> bool:
        """Tell whether another attempt may help against *exc*."""
        if self.statuses and (status := status_of_error(exc)) is not None:
            return status in self.statuses
        if self.on is None:
            return not (is_about_us(exc) or is_final(exc))
        if isinstance(self.on, type | tuple):
            return isinstance(exc, self.on)
        return self.on(exc)


def is_final(exc: Exception) -> bool:
    """Tell whether *exc* says that the other side would answer the same once more."""
    return (
        isinstance(exc, ResponseError)
        and exc.status in CLIENT_ERRORS
        and exc.status not in PASSING
    )


class Retrier:
    """A retry in one place: it decides, tells listeners, and waits."""

    __slots__ = (
        "_is_noted",
        "_name",
        "_store",
        "budget",
        "hub",
        "policy",
        "scope",
        "within",
    )

    def __init__(
        self,
        policy: RetryPattern,
        scope: Scope,
        hub: Hub,
        budget: RetryBudget | None,
        within: float | None = None,
    ) -> None:
        self.budget = budget
        # The limit around it, which is no deadline yet as long as nothing has waited.
        self.within = within
        self.policy = policy
        self.scope = scope
        self.hub = hub
        self._store: Store = (budget and budget.store) or NO_STORE
        self._name = budget.name if budget else ""
        # Without statuses and outside of endpoints, which have an origin, the last
        # response that was noted is that of another function.
        self._is_noted = bool(policy.statuses or scope.origin)

    def after_error(self, exc: Exception, attempt: int, last: float) -> float | None:
        """Return the wait after *exc*, or None if it is to be raised as it is."""
        return self._drive(self._after_error(exc, attempt, last))

    async def after_error_async(
        self, exc: Exception, attempt: int, last: float
    ) -> float | None:
        """Do the same with a budget that must be awaited."""
        return await self._drive_async(self._after_error(exc, attempt, last))

    def after_result(self, result: object, attempt: int, last: float) -> float | None:
        """Return the wait after an unwanted *result*, or None if it is to be used."""
        return self._drive(self._after_result(result, attempt, last))

    async def after_result_async(
        self, result: object, attempt: int, last: float
    ) -> float | None:
        """Do the same with a budget that must be awaited."""
        return await self._drive_async(self._after_result(result, attempt, last))

    def is_unwanted(self, result: object) -> bool:
        """Tell whether *result* asks for another attempt."""
        policy = self.policy
        if policy.statuses and status_of_result(result) in policy.statuses:
            return True
        return policy.retry_if is not None and bool(policy.retry_if(result))

    def _drive(self, steps: Steps[float | None]) -> float | None:
        return drive(self._store, self._name, steps)

    async def _drive_async(self, steps: Steps[float | None]) -> float | None:
        return await drive_async(self._store, self._name, steps)

    def _after_error(
        self, exc: Exception, attempt: int, last: float
    ) -> Steps[float | None]:
        if not self.policy.is_retryable(exc):
            return None
        wait, refusal = yield from self._plan(exc, attempt, last)
        if refusal is not None:
            raise MaxRetriesExceededError(
                str(self.scope), attempt, exc, refusal
            ) from exc
        self._tell(attempt, wait, type(exc).__name__)
        return wait

    def _after_result(
        self, result: object, attempt: int, last: float
    ) -> Steps[float | None]:
        wait, refusal = yield from self._plan(result, attempt, last)
        if refusal is not None:
            # A result that nobody likes is still an answer, unlike an exception.
            return None
        statuses = self.policy.statuses
        status = status_of_result(result) if statuses else None
        self._tell(
            attempt, wait, f"status {status}" if status in statuses else "result"
        )
        return wait

    def _plan(
        self, outcome: object, attempt: int, last: float
    ) -> Steps[tuple[float, str | None]]:
        """Return the wait before the next attempt, and why there is none if so."""
        policy = self.policy
        if attempt >= policy.max_attempts:
            return 0.0, EXHAUSTED
        wait = policy.wait_before(attempt, last)
        asked = None
        if policy.retry_after:
            asked = retry_after_of(outcome, is_noted=self._is_noted)
        # Who is asked to wait longer than it can is better off with the failure now.
        if asked is not None:
            if asked > policy.max_delay:
                return 0.0, TOLD_TO_WAIT
            wait = max(wait, asked)
        if (left := time_left()) is None:
            left = self.within
        # The attempt would be cancelled before it began.
        if left is not None and wait >= left:
            return 0.0, OUT_OF_TIME
        # Last, so that nothing is withdrawn for a retry that is not made.
        if self.budget is not None and not (yield from self.budget.withdrawing()):
            return 0.0, OUT_OF_BUDGET
        return wait, None

    def _tell(self, attempt: int, wait: float, error: str) -> None:
        if (exchange := EXCHANGE.get()) is not None:
            # What the last response said must not be taken for the next one's.
            exchange.attempts += 1
            exchange.forget_response()
        self.hub.tell(
            RetryScheduled, self.scope, attempt=attempt, delay=wait, error=error
        )

    def sleep(self, seconds: float) -> Awaitable[Any]:
        """Wait, on the clock of the policy if that can sleep itself."""
        sleep: Callable[[float], Awaitable[Any]]
        sleep = getattr(self.policy.clock, "sleep", asyncio.sleep)
        return sleep(seconds)

    def sleep_sync(self, seconds: float) -> None:
        """Wait in a thread, on the clock of the policy if that can sleep itself."""
        getattr(self.policy.clock, "sleep_sync", time.sleep)(seconds)


def doubt_fallback(outer: Strategy, inner: Strategy) -> str | None:
    """Doubt a strategy that watches failures around one that hides them."""
    if inner.hides_failures:
        return (
            f"the {type(outer).__name__} is outside of a Fallback, which answers "
            "instead of failing, so that it never sees a failure. Put the Fallback "
            "outermost."
        )
    return None
