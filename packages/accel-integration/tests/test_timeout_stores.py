"""Timeouts of sync functions around strategies whose state is in a store."""

import time

import pytest

from accel_integration import MemoryStore, StabilityTimeoutError, sp, time_left


class SlowStore(MemoryStore):
    """Takes its time for each answer, and notes when it has given it."""

    def __init__(self):
        super().__init__()
        self.answered = []

    def run(self, *args):
        time.sleep(0.001)
        answer = super().run(*args)
        self.answered.append(time.monotonic())
        return answer


def late(seconds=0.02):
    time.sleep(seconds)
    return "late"


def test_late_answer_is_a_failure_of_the_shared_breaker_inside():
    breaker = sp.CircuitBreaker(1, store=MemoryStore())

    with pytest.raises(StabilityTimeoutError):
        sp.Timeout(0.001)(breaker(late))()

    assert breaker.state == "open"


def test_an_earlier_answer_in_time_does_not_excuse_a_later_one():
    answers = iter([lambda: None, late])

    @sp.Timeout(0.02)
    @sp.Fallback(lambda: late(0.05))
    @sp.RetryPattern(2, 0, retry_if=lambda answer: answer is None)
    @sp.CircuitBreaker(5, store=MemoryStore())
    def call():
        if (answer := next(answers)) is late:
            raise ConnectionError
        return answer()

    with pytest.raises(StabilityTimeoutError):
        call()


@pytest.mark.parametrize("shared", [sp.CircuitBreaker, sp.Throttling])
def test_time_that_a_store_takes_is_not_taken_from_the_timeout_inside(shared):
    store = SlowStore()

    @sp.Timeout(60)
    @shared(5, store=store)
    @sp.Timeout(30)
    def call():
        return time.monotonic() + time_left()

    assert call() >= store.answered[0] + 30
