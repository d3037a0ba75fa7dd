"""Rate limits on Redis and in memory."""

import asyncio

import pytest
import redis.asyncio as redis
from hypothesis import given, strategies as st

from accel_cache import CacheConfigurationError, CacheUnavailable, Limiter

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "redis"])
def limiter(request, client):
    """Both kinds, which must behave alike."""
    return Limiter() if request.param == "memory" else Limiter(client)


async def test_hits_beyond_the_limit_are_refused(limiter):
    hits = [await limiter.hit("alice", 3, 60) for _ in range(4)]
    other = await limiter.hit("bob", 3, 60)

    assert [h.allowed for h in hits] == [True, True, True, False]
    assert [h.remaining for h in hits] == [2, 1, 0, 0]
    assert other.allowed
    assert hits[0].retry_after == 0
    # Less what the machine has taken from the first hit to the last.
    assert 10 < hits[3].retry_after <= 20
    assert 50 < hits[3].reset_after <= 60


async def test_the_limit_refills(limiter):
    for _ in range(2):
        await limiter.hit("key", 2, 2)
    refused = await limiter.hit("key", 2, 2)
    # The clock of the server may be set while we wait by ours.
    async with asyncio.timeout(30):
        again = refused
        while not again.allowed:
            await asyncio.sleep(again.retry_after + 0.02)
            again = await limiter.hit("key", 2, 2)

    assert not refused.allowed


async def test_concurrent_hits_are_counted_one_by_one(limiter):
    hits = await asyncio.gather(*(limiter.hit("key", 10, 60) for _ in range(50)))

    assert sum(h.allowed for h in hits) == 10


async def test_a_limit_must_make_sense(limiter):
    with pytest.raises(CacheConfigurationError, match="at least 1 hit"):
        await limiter.hit("key", 0, 60)


async def test_a_missing_server_is_reported():
    limiter = Limiter(redis.from_url("redis://127.0.0.1:1"))

    with pytest.raises(CacheUnavailable, match="not available"):
        await limiter.hit("key", 1, 60)


@given(
    steps=st.lists(st.floats(0, 30), min_size=1, max_size=60), limit=st.integers(1, 5)
)
def test_no_window_admits_more_than_the_limit_and_what_refills(steps, limit):
    now, period, admitted = [0.0], 10.0, []
    limiter = Limiter(clock=lambda: now[0])

    async def play():
        for step in steps:
            now[0] += step
            hit = await limiter.hit("key", limit, period)
            if hit.allowed:
                admitted.append(now[0])
            else:
                # Waiting as told is enough, and nothing less is.
                assert 0 < hit.retry_after <= period

    asyncio.run(play())

    for first in admitted:
        window = [t for t in admitted if first <= t <= first + period]
        assert len(window) <= 2 * limit


async def test_too_many_keys_are_forgotten_many_at_once(monkeypatch):
    monkeypatch.setattr("accel_cache._limiter._MAX_KEYS", 100)
    limiter = Limiter(clock=lambda: 0.0)

    for n in range(101):
        await limiter.hit(str(n), 1, 60)
    remembered = len(limiter._full)
    old, new = await limiter.hit("0", 1, 60), await limiter.hit("100", 1, 60)

    # Looking through all of them is no work for each new key.
    assert remembered == 90
    assert (old.allowed, new.allowed) == (True, False)
