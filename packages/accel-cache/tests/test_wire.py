"""The connection, its parser, and the memory it keeps coherent."""

import asyncio
import gc

import hiredis
import pytest
import redis.asyncio as redis
from hypothesis import given, strategies as st

from accel_cache import Cache, _link, _redis_store, _resp
from accel_cache._entry import Draft, Entry, decode, encode
from accel_cache.testing import cache_spy

pytestmark = pytest.mark.anyio


def _entry(body=b"body", **fields):
    return Entry(Draft(body, **fields), 1.0, 2.0, 3.0, 4.0, 5.0, 0.5)


@given(
    body=st.binary(max_size=6000) | st.integers(4096, 9000).map(lambda n: b"a" * n),
    headers=st.lists(
        st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=4
    ),
    status=st.integers(200, 599),
)
def test_an_entry_survives_its_encoding(body, headers, status):
    entry = _entry(body, headers=tuple(headers), status=status, vary={"a": "b"})

    assert decode(encode(entry)) == entry


def test_a_large_body_is_compressed():
    entry = _entry(b'{"name": "value"}' * 1000)

    data = encode(entry)

    assert len(data) < entry.size / 10
    assert decode(data) == entry


@given(st.binary(max_size=200))
def test_foreign_bytes_are_no_entry(data):
    assert decode(data) is None


@given(st.data())
def test_a_damaged_entry_never_raises(data):
    good = encode(_entry(b"a" * 5000))
    at = data.draw(st.integers(0, len(good) - 1))
    damaged = good[:at] + data.draw(st.binary(max_size=3)) + good[at + 1 :]

    found = decode(damaged)

    assert found is None or isinstance(found, Entry)


@pytest.mark.parametrize(
    "head", [b"[" * 100_000, b'{"z":0,"s":1e999,"h":[],"k":"","e":"","v":{},"p":0}']
)
def test_a_forged_head_is_no_entry(head):
    assert decode(b"accel1 %d\n%b" % (len(head), head)) is None


MESSAGES = st.recursive(
    st.one_of(
        st.binary(max_size=20).map(lambda b: b"$%d\r\n%b\r\n" % (len(b), b)),
        st.integers(-(10**9), 10**9).map(lambda n: b":%d\r\n" % n),
        st.sampled_from(
            [b"+OK\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n", b"$-1\r\n", b"*-1\r\n"]
        ),
        st.sampled_from([b",1.5\r\n", b"=7\r\ntxt:abc\r\n"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda i: b"*%d\r\n" % len(i) + b"".join(i)),
        st.lists(inner, max_size=2).map(lambda i: b">%d\r\n" % len(i) + b"".join(i)),
    ),
    max_leaves=6,
)


@given(messages=st.lists(MESSAGES, max_size=4), cut=st.integers(1, 7))
def test_the_parser_without_hiredis_agrees_with_hiredis(messages, cut):
    ours, theirs = _resp.PythonReader(), hiredis.Reader(notEnoughData=_resp.NOT_ENOUGH)
    stream, found, expected = b"".join(messages), [], []

    for start in range(0, len(stream), cut):
        for reader, into in ((ours, found), (theirs, expected)):
            reader.feed(stream[start : start + cut])
            while (message := reader.gets()) is not _resp.NOT_ENOUGH:
                into.append(message)

    assert found == expected
    assert [isinstance(m, _resp.Push) for m in found] == [
        isinstance(m, hiredis.PushNotification) for m in expected
    ]


def test_the_parser_keeps_errors_as_values():
    reader = _resp.PythonReader()
    reader.feed(b"-ERR wrong\r\n!5\r\nERR x\r\n%1\r\n+a\r\n:1\r\n~1\r\n:2\r\n")

    messages = [reader.gets() for _ in range(4)]

    assert [str(m) for m in messages[:2]] == ["ERR wrong", "ERR x"]
    assert messages[2:] == [{b"a": 1}, [2]]


def test_commands_are_packed_as_hiredis_packs_them():
    command = (b"SET", b"key", b"", b"a\r\nb")

    assert _resp.pack(command) == hiredis.pack_command(command)


async def test_redis_py_still_shows_its_transport(server):
    """Pin the one private attribute in use; without it the cache gets slower."""
    connection = redis.Connection(host=server.host, port=server.port)
    await connection.connect()

    assert callable(connection._writer.transport.set_protocol)
    await connection.disconnect()


async def test_without_the_transport_the_cache_works_one_by_one(client, monkeypatch):
    monkeypatch.setattr(_link, "_transport_of", lambda _: None)
    cache, runs = Cache(client, timeout=2), []

    async def compute():
        runs.append(1)
        return "value"

    async def ask(n):
        return await cache.get_or_set(str(n % 5), compute, ttl=60, tags=["t"])

    values = await asyncio.gather(*(ask(n) for n in range(50)))
    await cache.invalidate(["t"])
    again = await ask(0)
    await cache.aclose()

    assert {*values, again} == {"value"}
    assert len(runs) == 6


async def test_without_hiredis_the_cache_works(client, monkeypatch):
    monkeypatch.setattr(_link, "new_reader", lambda: (_resp.PythonReader(), _resp.Push))
    one, two, state = Cache(client), Cache(client), ["old"]

    async def compute():
        return state[0]

    async def read(cache):
        return await cache.get_or_set("key", compute, ttl=60, tags=["t"])

    before = [await read(cache) for cache in (one, two, two)]
    state[0] = "new"
    await two.invalidate(["t"])
    after = [await read(cache) for cache in (one, two)]
    await one.aclose()
    await two.aclose()

    assert [*before, *after] == ["old"] * 3 + ["new"] * 2


async def test_a_hot_entry_costs_no_round_trip_until_it_changes(client, clock):
    cache = Cache(client, namespace="hot", clock=clock)

    async def compute():
        return "value"

    async def commands():
        return (await client.info("stats"))["total_commands_processed"]

    for _ in range(2):
        await cache.get_or_set("key", compute, ttl=60)
    before = await commands()
    for _ in range(100):
        await cache.get_or_set("key", compute, ttl=60)
    after = await commands()
    await cache.aclose()

    assert after - before == 1  # INFO itself


async def test_without_memory_every_read_asks_the_server(client):
    cache = Cache(client, namespace="cold", tracking=False)

    async def compute():
        return "value"

    async def commands():
        return (await client.info("stats"))["total_commands_processed"]

    await cache.get_or_set("key", compute, ttl=60)
    before = await commands()
    for _ in range(10):
        await cache.get_or_set("key", compute, ttl=60)
    after = await commands()
    await cache.aclose()

    assert after - before == 11


@pytest.mark.parametrize(("l1", "decoded"), [(32 << 20, 2), (0, 22)])
async def test_without_tracking_the_same_bytes_are_decoded_once(
    client, monkeypatch, l1, decoded
):
    seen, state = [], ["old"]
    one = Cache(client, namespace="cold", tracking=False, l1=l1)
    two = Cache(client, namespace="cold", tracking=False, l1=0)

    def counted(data):
        seen.append(data)
        return decode(data)

    async def compute():
        return state[0]

    async def read(cache):
        return await cache.get_or_set("key", compute, ttl=60, tags=["t"])

    await read(two)
    monkeypatch.setattr(_redis_store, "decode", counted)
    old = [await read(one) for _ in range(11)]
    state[0] = "new"
    await two.invalidate(["t"])
    new = [await read(one) for _ in range(12)]
    await one.aclose()
    await two.aclose()

    assert old + new == ["old"] * 11 + ["new"] * 12
    assert sum(map(bool, seen)) == decoded  # nothing is no entry, at no cost


async def test_a_reply_and_its_revocation_in_one_read_leave_nothing_stale():
    """Both arrive before the reader of the reply runs: the memory must be empty."""
    kept = set()

    def revoke(keys):
        kept.difference_update(keys or set(kept))

    exchange = _link.MultiplexedExchange(revoke, lambda: None)
    transport = _Transport()
    exchange.attach(transport)
    reply = _asked(exchange, 60, lambda _: kept.add(b"key"))
    await asyncio.sleep(0)
    exchange.data_received(
        b"$5\r\nvalue\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n"
    )
    value = await reply

    assert value == [b"value"]
    assert kept == set()


def _asked(exchange, seconds, on_reply=None):
    deadline = asyncio.get_running_loop().time() + seconds
    return asyncio.ensure_future(exchange.send([(b"GET", b"key")], on_reply, deadline))


class _Transport(asyncio.Transport):
    def set_protocol(self, protocol):
        pass

    def is_closing(self):
        return False

    def abort(self):
        pass

    def write(self, data):
        pass


async def test_garbage_on_the_wire_closes_the_connection():
    lost = []
    exchange = _link.MultiplexedExchange(lambda _: None, lambda: lost.append(1))
    transport = _Transport()
    transport.abort = lambda: lost.append("aborted")
    exchange.attach(transport)
    reply = _asked(exchange, 60)
    await asyncio.sleep(0)
    exchange.data_received(b"?what\r\n")

    with pytest.raises(ConnectionError, match="was lost"):
        await reply
    assert lost == ["aborted", 1]
    assert not exchange.alive


async def test_who_waits_longest_does_not_make_others_wait_longer():
    exchange = _link.MultiplexedExchange(lambda _: None, lambda: None)
    exchange.attach(_Transport())
    answered = _asked(exchange, 0.01)
    await asyncio.sleep(0)
    exchange.data_received(b"$5\r\nvalue\r\n")
    patient = _asked(exchange, 60)
    await asyncio.sleep(0.05)
    waited_for = patient.done()

    hasty = _asked(exchange, 0.01)

    async with asyncio.timeout(30):
        for reply in (hasty, patient):
            with pytest.raises(TimeoutError, match="was lost"):
                await reply
    assert (await answered, waited_for) == ([b"value"], False)


async def test_flushall_on_the_server_empties_the_memory(client):
    cache, runs = Cache(client), []

    async def compute():
        runs.append(1)
        return "value"

    for _ in range(2):
        await cache.get_or_set("key", compute, ttl=60)
    await client.flushall()
    await cache.ping()
    await cache.get_or_set("key", compute, ttl=60)
    await cache.aclose()

    assert len(runs) == 2


async def test_a_lost_tag_kills_its_entries(client):
    """Eviction of a tag must not bring an invalidated entry back."""
    cache, runs = Cache(client), []

    async def compute():
        runs.append(1)
        return "value"

    for _ in range(2):
        await cache.get_or_set("key", compute, ttl=60, tags=["t"])
    (tag,) = [key async for key in client.scan_iter("*:t:t")]
    await client.delete(tag)
    await cache.ping()
    await cache.get_or_set("key", compute, ttl=60, tags=["t"])
    await cache.aclose()

    assert len(runs) == 2


async def test_the_cache_of_a_client_dies_with_it(server):
    import weakref

    from accel_cache import cache_for

    client = redis.from_url(server.url)
    cache = weakref.ref(cache_for(client))
    await client.aclose()
    del client
    gc.collect()

    assert cache() is None


async def test_events_tell_what_happened(client, spy):
    from accel_cache import cache_for

    cache = cache_for(client)

    async def compute():
        return 1

    for _ in range(3):
        await cache.get_or_set("key", compute, ttl=60, tags=["t"])
    await cache.invalidate(["t"])

    assert [e.name for e in spy.events] == [
        "cache.miss",
        "cache.stored",
        "cache.hit",
        "cache.hit",
        "cache.invalidated",
    ]
    assert (spy.hits, spy.misses, spy.stale) == (2, 1, 0)
    assert spy.invalidated == {"t"}
    assert cache_spy(client)
