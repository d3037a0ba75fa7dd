"""Several processes share one server."""

import asyncio
import json
import subprocess
import sys

import pytest

from accel_cache import Cache

pytestmark = pytest.mark.anyio

WORKER = """
import asyncio, json, sys, time
import redis.asyncio as redis
from accel_cache import Cache

async def main(url, start):
    cache = Cache(redis.from_url(url, decode_responses=True))
    runs = []

    async def compute():
        runs.append(1)
        await asyncio.sleep(0.1)
        return "value"

    await cache.ping()
    await asyncio.sleep(max(0, start - time.time()))
    values = await asyncio.gather(
        *(cache.get_or_set("key", compute, ttl=60) for _ in range(100))
    )
    await cache.aclose()
    print(json.dumps([len(runs), sorted(set(values))]))

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""

HOLDER = """
import asyncio, sys
import redis.asyncio as redis
from accel_cache import Cache

async def main(url):
    cache = Cache(redis.from_url(url))

    async def compute():
        print("computing", flush=True)
        await asyncio.sleep(3600)

    await cache.get_or_set("key", compute, ttl=60)

asyncio.run(main(sys.argv[1]))
"""


async def test_200_misses_in_two_processes_run_once(client, server):
    import time

    start = str(time.time() + 1.2)
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, server.url, start, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    outputs = [json.loads((await w.communicate())[0]) for w in workers]

    assert sum(runs for runs, _ in outputs) == 1
    assert [values for _, values in outputs] == [["value"]] * 2


async def test_a_leader_that_dies_is_replaced_when_its_lease_ends(client, server):
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, server.url, stdout=subprocess.PIPE
    )
    await holder.stdout.readline()
    cache = Cache(client)

    async def compute():
        return "mine"

    waiter = asyncio.create_task(cache.get_or_set("key", compute, ttl=60))
    await asyncio.sleep(0.1)
    waited = not waiter.done()
    holder.kill()
    await holder.wait()
    (lease,) = [k async for k in client.scan_iter("*:l:*")]
    await client.delete(lease)  # as the server does when the lease's time is over
    value = await asyncio.wait_for(waiter, 5)
    await cache.aclose()

    assert waited
    assert value == "mine"


async def test_the_second_process_sees_an_invalidation_at_once(client):
    one, two = Cache(client), Cache(client)
    state = ["old"]

    async def compute():
        return state[0]

    async def read(cache):
        return await cache.get_or_set("key", compute, ttl=60, tags=["t"])

    before = [await read(one), await read(two), await read(two)]
    state[0] = "new"
    await one.invalidate(["t"])
    after = [await read(one), await read(two)]
    await one.aclose()
    await two.aclose()

    assert before == ["old"] * 3
    assert after == ["new"] * 2
