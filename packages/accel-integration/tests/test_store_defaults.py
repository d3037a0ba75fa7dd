"""What a store does if it is not told otherwise."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from accel_integration import (
    CircuitBreakerError,
    MemoryStore,
    RedisStore,
    ThrottlingError,
    _stores,
    sp,
)
from accel_integration.testing import FakeClock


def down():
    raise ConnectionError


@pytest.fixture
def nobody():
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_store_in_redis_may_take_a_quarter_of_a_second_and_is_relied_on_as_long(nobody):
    with redis.Redis(port=nobody) as client:
        store = RedisStore(client)

    assert (store.timeout, store.refresh, store.fail) == (0.25, 0.25, "local")


@pytest.mark.parametrize(("options", "pause"), [({}, 1), ({"pause": 30}, 30)])
def test_store_that_did_not_answer_is_left_alone_for_a_while(
    nobody, caplog, options, pause
):
    clock = FakeClock()
    with redis.Redis(port=nobody, retry=Retry(NoBackoff(), 0)) as client:
        store = RedisStore(client, clock=clock, **options)
        call = sp.Throttling(store=store)(lambda: "ok")

        warnings = []
        for seconds in (0, pause / 2, pause / 4, pause / 4):
            clock.advance(seconds)
            assert call() == "ok"
            warnings.append(len(caplog.records))

    assert warnings == [1, 1, 1, 2]
    assert f"(ConnectionError); they fail local for {pause} s" in caplog.text


@pytest.mark.parametrize(
    ("fail", "passing"), [("open", 3), ("local", 1), ("closed", 0)]
)
def test_throttle_without_its_store_lets_pass_what_its_mode_says(nobody, fail, passing):
    clock, passed = FakeClock(), []
    with redis.Redis(port=nobody, retry=Retry(NoBackoff(), 0)) as client:
        store = RedisStore(client, fail=fail)
        call = sp.Throttling(1, burst=1, store=store, clock=clock)(passed.append)

        for number in range(3):
            with contextlib.suppress(ThrottlingError):
                call(number)

    assert len(passed) == passing
    assert clock.sleeps == []


@pytest.mark.parametrize(
    ("error", "is_cured"),
    [
        (RuntimeError("Event loop is closed"), True),
        (RuntimeError("the pool is closed"), False),
        (OSError("too many levels: a loop"), False),
    ],
)
def test_cure_is_told_only_for_what_it_cures(error, is_cured):
    reason = _stores.reason_of(error)

    assert reason.startswith(type(error).__name__)
    assert ("`await client.aclose()`" in reason) is is_cured


def test_what_one_strategy_learns_all_know_at_once_in_the_same_process():
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    here, there = (
        sp.CircuitBreaker(1, key="api", store=store, clock=clock) for _ in range(2)
    )
    call = here(lambda: "ok")
    call()

    with pytest.raises(ConnectionError):
        there(down)()

    with pytest.raises(CircuitBreakerError):
        call()


def test_store_in_memory_forgets_what_was_not_used_for_longest(monkeypatch):
    monkeypatch.setattr(_stores, "MOST_ENTITIES", 2)
    store, clock = MemoryStore(), FakeClock()

    def is_free(key):
        throttle = sp.Throttling(1, burst=1, key=key, store=store, clock=clock)
        try:
            return throttle(lambda: True)()
        except ThrottlingError:
            return False

    used = [is_free(key) for key in "abacab"]

    assert used == [True, True, False, True, False, True]


class Watched(redis.Redis):
    """A client that notes which threads have asked it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.threads = []

    def eval(self, *args):
        self.threads.append(threading.current_thread())
        return super().eval(*args)


def test_a_sync_client_that_hangs_is_given_up_and_not_asked_again(mortal_valkey):
    # By default it waits for five seconds, and tries again, ten times.
    with Watched(port=mortal_valkey.port) as client:
        store = RedisStore(client, refresh=0, pause=0, fail="closed")
        call = sp.CircuitBreaker(store=store)(lambda: "ok")
        mortal_valkey._process.send_signal(signal.SIGSTOP)

        for _ in range(20):
            with pytest.raises(CircuitBreakerError):
                call()
        asked = len(client.threads)
        mortal_valkey._process.send_signal(signal.SIGCONT)

        assert asked == 1
        assert answer_at_last(call) == "ok"


def answer_at_last(call):
    """Return what *call* answers as soon as its store does."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(CircuitBreakerError):
            return call()
        time.sleep(0.01)
    return None


FORK = """
import os, signal, sys
import redis
from accel_integration import RedisStore, ThrottlingError, sp

server, port = map(int, sys.argv[1:])
store = RedisStore(redis.Redis(port=port), timeout=3, pause=0, fail="closed")
call = sp.Throttling(store=store)(lambda: "ok")
os.kill(server, signal.SIGSTOP)
try:
    call()
except ThrottlingError:
    print("given up", flush=True)
if (child := os.fork()) == 0:
    os.kill(server, signal.SIGCONT)
    print(call(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_process_asks_what_hangs_in_its_parent(mortal_valkey):
    server = mortal_valkey._process.pid
    arguments = [sys.executable, "-c", FORK, str(server), str(mortal_valkey.port)]

    answer = subprocess.run(arguments, capture_output=True, text=True, check=False)

    assert answer.stdout == "given up\nok\n", answer.stderr


@pytest.mark.parametrize(
    ("options", "is_thread_of_caller"),
    [
        ({}, False),
        ({"socket_timeout": 0.25, "socket_connect_timeout": 0.25}, False),
        ({"retry": Retry(NoBackoff(), 0)}, False),
        (
            {
                "socket_timeout": 0.25,
                "socket_connect_timeout": 0.25,
                "retry": Retry(NoBackoff(), 0),
            },
            True,
        ),
    ],
)
def test_a_sync_client_that_gives_up_by_itself_needs_no_thread(
    nobody, options, is_thread_of_caller
):
    with Watched(port=nobody, **options) as client:
        sp.Throttling(store=RedisStore(client))(lambda: "ok")()

    assert (client.threads == [threading.current_thread()]) is is_thread_of_caller
