"""Every package keeps to docs/seams.md, so that they meet without knowing each other."""

import asyncio
import dataclasses
import importlib

import pytest
from sqlalchemy.orm import Mapped, mapped_column

from accel_auth import LoginThrottle
from accel_cache import Cache, Limiter
from accel_db import Change, MainDatabaseManager
from accel_integration import sp

ROOTS = {
    "accel_admin": "AdminError",
    "accel_auth": "AuthError",
    "accel_cache": "CacheError",
    "accel_db": "DatabaseError",
    "accel_integration": "IntegrationError",
    "accel_pattern": "PatternError",
    "accel_viewset": "ViewSetError",
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


def tree(root):
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize("package", ROOTS)
def test_every_error_says_what_http_shall_say(package):
    module = importlib.import_module(package)
    root = getattr(module, ROOTS[package])

    for error in tree(root):
        assert isinstance(error.http_status, int), error
        assert 400 <= error.http_status < 600, error
        assert hasattr(error, "retry_after"), error


def test_upstreams_404_is_our_502():
    from accel_integration import ResponseStatusError

    assert ResponseStatusError.http_status == 502


def make_manager(name):
    manager = MainDatabaseManager("sqlite://", name=name, DEV_STATUS=True)

    class Row(manager.Base):
        __tablename__ = "rows"
        id: Mapped[int] = mapped_column(primary_key=True)

    manager.create_all()
    return manager, Row


@pytest.mark.anyio
async def test_events_are_frozen_have_a_name_and_end_with_their_subscription():
    manager, row = make_manager("events")
    seen = []

    unsubscribe = manager.subscribe(seen.append)
    async with manager.asession.begin() as session:
        session.add(row())
    unsubscribe()
    count = len(seen)
    async with manager.asession.begin() as session:
        session.add(row())

    assert count == len(seen) > 0
    for event in seen:
        assert isinstance(event.name, str)
        assert dataclasses.is_dataclass(event)
        assert event.__dataclass_params__.frozen
    await manager.adispose()


@pytest.mark.anyio
@pytest.mark.parametrize("make", [Cache], ids=["cache"])
async def test_subscribers_error_never_reaches_the_caller(make):
    cache = make()
    cache.subscribe(lambda _event: 1 / 0)

    assert await cache.get_or_set("k", lambda: asyncio.sleep(0, "v"), ttl=1) == "v"


@pytest.mark.anyio
async def test_committed_writes_invalidate_the_cache_and_rolled_back_ones_do_not():
    manager, row = make_manager("changes")
    cache = Cache()
    manager.on_change(lambda change: cache.invalidate(change.tags))
    runs = []

    @cache(ttl=60, tags=["rows"])
    async def rows() -> int:
        runs.append(1)
        return len(runs)

    values = [await rows(), await rows()]
    async with manager.asession() as session:
        session.add(row())
        await session.rollback()
    values.append(await rows())
    async with manager.asession.begin() as session:
        session.add(row())
    values.append(await rows())

    assert values == [1, 1, 1, 2]
    await manager.adispose()


def test_change_names_tables_and_rows_as_tags():
    change = Change(frozenset({"a"}), frozenset({("a", (1, 2))}))

    assert change.tags == {"a", "a:1,2"}
    assert dataclasses.is_dataclass(change)
    assert isinstance(change.name, str)


@pytest.mark.anyio
async def test_limiter_of_the_cache_serves_the_login_throttle():
    hit = await Limiter().hit("key", 2, 60.0)

    assert (hit.allowed, hit.remaining) == (True, 1)
    assert isinstance(hit.retry_after, float)
    assert isinstance(hit.reset_after, float)
    throttle = LoginThrottle(Limiter())
    await throttle.attempt("anna", "127.0.0.1")


def test_breaker_tells_its_changes():
    seen = []
    breaker = sp.CircuitBreaker(fail_threshold=1)
    breaker.subscribe(seen.append)

    @breaker
    def call() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        call()

    assert [event.name for event in seen]
