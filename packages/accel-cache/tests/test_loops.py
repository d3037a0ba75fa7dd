"""What belongs to an event loop."""

import asyncio

import pytest
import redis.asyncio as redis

from accel_cache import Cache
from accel_cache._loops import PerLoop

pytestmark = pytest.mark.anyio


def test_loops_that_take_turns_keep_their_own_values():
    per_loop = PerLoop(object)

    async def value():
        return per_loop.get()

    with asyncio.Runner() as one, asyncio.Runner() as two:
        values = [runner.run(value()) for runner in (one, two, one, two)]

    assert values[0] is values[2]
    assert values[1] is values[3]
    assert values[0] is not values[1]


def test_closed_loops_are_let_go():
    per_loop = PerLoop(asyncio.get_running_loop)

    async def value():
        return per_loop.get()

    for _ in range(3):
        asyncio.run(value())

    assert len(per_loop._values) == 1


async def test_a_cache_that_was_closed_twice_has_no_connection(client, server):
    cache = Cache(redis.from_url(server.url, client_name="watched"))

    async def one():
        return 1

    async def connections():
        return [c["name"] for c in await client.client_list()].count("watched")

    for _ in range(2):
        await cache.get_or_set("key", one, ttl=60)
        assert await connections() == 1
        await cache.aclose()

    # The server notes the end of a connection a little later than we do.
    left = [await connections() for _ in range(100)]
    assert left[-1] == 0
