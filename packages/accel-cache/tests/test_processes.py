"""Several processes share one server."""

import asyncio
import json
import subprocess
import sys

import pytest

from accel_cache import Cache

pytestmark = pytest.mark.anyio

WORKER = """
import asyncio, json, sys
import redis.asyncio as redis
from accel_cache import Cache

async def main(url):
    cache = Cache(redis.from_url(url, decode_responses=True), timeout=10)
    runs = []

    async def compute():
        runs.append(1)
        await asyncio.sleep(0.1)
        return "value"

    await cache.ping()
    print("ready", flush=True)
    sys.stdin.readline()
    values = await asyncio.gather(
        *(cache.get_or_set("key", compute, ttl=60) for _ in range(100))
    )
    await cache.aclose()
    print(json.dumps([len(runs), sorted(set(values))]))

asyncio.run(main(sys.argv[1]))
"""

HOLDER = """
import asyncio, sys
import redis.asyncio as redis
from accel_cache import Cache

async def main(url):
    cache = Cache(redis.from_url(url), timeout=10)

    async def compute():
        print("computing", flush=True)
        await asyncio.sleep(3600)

    await cache.get_or_set("key", compute, ttl=60)

asyncio.run(main(sys.argv[1]))
"""


async def test_200_misses_in_two_processes_run_once(client, server):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, server.url, **pipes
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert await worker.stdout.readline() == b"ready\n"
    # Both wait for this line: they begin at one moment, whatever their clocks say.
    told = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    outputs = [json.loads(said) for said, _ in told]

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
    value = await asyncio.wait_for(waiter, 30)
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
