"""The cache as its users see it."""

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from weakref import WeakKeyDictionary

from accel_cache._codec import Codec
from accel_cache._decorator import Decorator, decorate, invalidator
from accel_cache._engine import Engine, Query
from accel_cache._entry import Draft
from accel_cache._errors import CacheConfigurationError
from accel_cache._events import Subscriber
from accel_cache._keys import KeyMaker, TagMaker, digest
from accel_cache._options import Options, Scope
from accel_cache._policy import Duration, Policy, seconds
from accel_cache._redis_store import RedisStore
from accel_cache._store import EVERYTHING, MemoryStore, Store

R = TypeVar("R")

_SCOPES = ("auto", "public", "private")


class Cache:
    """Remember what endpoints and coroutines return, on Redis or in memory.

    *client* is a `redis.asyncio.Redis`, of which only the connection settings
    are used; without one, values stay in this process.
    *namespace* and *version* separate applications and releases that share a
    server. *l1* is how many bytes each event loop keeps in memory; the server
    reports changes to it (RESP3 tracking). With `tracking=False` it is asked at
    every hit, and the memory only spares decoding the same bytes again.
    *timeout* is the budget of a call to the server, in seconds: beyond it the
    cache steps aside, and asks again later.
    *max_bytes* bounds the memory of a cache without a client; each entry counts for
    a KiB more than its body has.
    *identity_cookies* names the cookies that identify a user (default: all).
    """

    def __init__(  # noqa: PLR0913 - one place for the settings of a process
        self,
        client: Any = None,
        *,
        namespace: str = "accel",
        version: str | int = 1,
        l1: int = 32 << 20,
        tracking: bool = True,
        timeout: Duration = 0.25,
        max_bytes: int = 128 << 20,
        identity_cookies: Iterable[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if any(mark in namespace for mark in "{}"):
            raise CacheConfigurationError(
                f"`namespace` must not contain braces, which mark hash slots: {namespace!r}"
            )
        self._identity_cookies = _cookies(identity_cookies)
        store: Store
        if client is None:
            store = MemoryStore(max_bytes, clock=clock)
        else:
            store = RedisStore(
                _checked(client),
                f"{namespace}:{version}",
                l1_bytes=l1,
                tracking=tracking,
                timeout=seconds(timeout),
                clock=clock,
            )
        self._engine = Engine(store, namespace, clock)
        self._codec = Codec()

    def __repr__(self) -> str:
        kind = type(self._engine.store).__name__.removesuffix("Store").lower()
        return f"<{type(self).__name__} {self._engine.namespace!r} in {kind}>"

    @property
    def is_shared(self) -> bool:
        """Whether other processes see what this one stores."""
        return not isinstance(self._engine.store, MemoryStore)

    def __call__(  # noqa: PLR0913 - the knobs; a newcomer meets five of them
        self,
        *,
        ttl: Duration,
        stale: Duration = 0.0,
        tags: TagMaker = (),
        key: KeyMaker | None = None,
        scope: Scope = "auto",
        stale_if_error: Duration = 0.0,
        early: float = 0.0,
        jitter: float = 0.0,
        vary: Iterable[str] = (),
        negative: Duration = 0.0,
        max_size: int = 1 << 20,
        identity_cookies: Iterable[str] | None = None,
    ) -> Decorator:
        """Cache an endpoint or a coroutine for *ttl* seconds.

        Below `@router.get(...)` it caches responses: those of GET and HEAD, by
        host, path and query, and by who asks. Elsewhere it caches values, by the
        arguments.

        Args:
            ttl: How long a value is fresh: seconds or a timedelta.
            stale: How much longer it may be served while one caller refreshes it.
            tags: Names to invalidate it by; `{name}` is filled from the arguments.
                A function of the arguments may return them, too.
            key: A template or a function of the arguments that replaces path
                and query (or all arguments) in the key.
            scope: `auto` keeps values apart by credentials, `public` shares them,
                `private` never lets a shared cache see them; a function of the
                request names the group (a tenant) or returns `None` for all.
            stale_if_error: How long an expired value stands in for a failure.
            early: The beta of XFetch: refresh before the expiry, by lot.
            jitter: Shorten each life by up to this share.
            vary: Request headers that the response depends on.
            negative: How long a 404, a 410 or a `None` is remembered.
            max_size: The largest value to store, in bytes.
            identity_cookies: Overrides the setting of the cache.

        Raises:
            CacheConfigurationError: for values that cannot work.
        """
        if not callable(scope) and scope not in _SCOPES:
            raise CacheConfigurationError(
                f"`scope` must be one of {_SCOPES} or a function: {scope!r}"
            )
        cookies = _cookies(identity_cookies)
        options = Options(
            policy=Policy.of(
                ttl=ttl,
                stale=stale,
                stale_if_error=stale_if_error,
                early=early,
                jitter=jitter,
                negative=negative,
                max_size=max_size,
            ),
            tags=_listed("tags", tags),
            key=key,
            scope=scope,
            vary=tuple(_listed("vary", vary)),
            identity_cookies=self._identity_cookies if cookies is None else cookies,
        )
        return cast(
            "Decorator", lambda function: decorate(function, self._engine, options)
        )

    def invalidates(self, *tags: str, hold: Duration = 2.0) -> Decorator:
        """Invalidate *tags* after each success of an endpoint that writes.

        A session commits after its endpoint has returned; so for *hold* seconds
        nothing with these tags is stored, lest a reader brings the old state back.
        `{name}` in a tag is filled from the arguments.
        """
        return lambda function: invalidator(function, self._engine, tags, seconds(hold))

    async def get_or_set(  # noqa: PLR0913 - the knobs of the decorator
        self,
        key: str,
        compute: Callable[[], Awaitable[R]],
        *,
        ttl: Duration,
        tags: Iterable[str] = (),
        stale: Duration = 0.0,
        stale_if_error: Duration = 0.0,
        early: float = 0.0,
        jitter: float = 0.0,
        max_size: int = 1 << 20,
    ) -> R:
        """Return the value of *key*; compute it once if nobody has it.

        The value must survive JSON, or be bytes.
        """
        policy = Policy.of(
            ttl=ttl,
            stale=stale,
            stale_if_error=stale_if_error,
            early=early,
            jitter=jitter,
            max_size=max_size,
        )

        async def draft() -> Draft:
            return self._codec.encode(await compute())

        # Hashed, so that a key of the user's never meets one of a decorated function.
        query = Query(digest("get_or_set", key), (*tags, EVERYTHING), policy, draft)
        outcome = await self._engine.ask(query)
        value: R = self._codec.decode(outcome.draft)
        return value

    async def invalidate(self, tags: Iterable[str]) -> None:
        """Forget every entry that carries one of *tags*.

        What is being computed from older data is not stored afterwards.
        A write never fails for the cache's sake: while the server is away the
        tags are remembered, and sent before anything is read from it again.
        """
        await self._engine.invalidate(_listed("tags", tags))

    async def clear(self) -> None:
        """Forget everything in this namespace and version."""
        await self._engine.invalidate([EVERYTHING])

    async def ping(self) -> None:
        """Return if the store answers.

        Raises:
            CacheUnavailable: if it does not, within the budget.
        """
        await self._engine.store.ping()

    async def settle(self) -> None:
        """Wait until the refreshes in the background are done."""
        await self._engine.settle()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call *subscriber* with every `CacheEvent`; returns how to stop it."""
        return self._engine.subscribers.add(subscriber)

    async def aclose(self) -> None:
        """Close what belongs to the running loop; the cache may be used again."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class MemoryCache(Cache):
    """Remember values in this process; the semantics are those of `Cache`."""

    def __init__(
        self,
        *,
        namespace: str = "accel",
        max_bytes: int = 128 << 20,
        identity_cookies: Iterable[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            namespace=namespace,
            max_bytes=max_bytes,
            identity_cookies=identity_cookies,
            clock=clock,
        )


NamesT = TypeVar("NamesT", bound=TagMaker)


def _listed(name: str, value: NamesT) -> NamesT:
    # A string is an iterable of strings, too: of single letters.
    if isinstance(value, str):
        raise CacheConfigurationError(f"`{name}` must be a list of strings: {value!r}")
    return value


def _cookies(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(_listed("identity_cookies", names))


def _checked(client: Any) -> Any:
    execute = getattr(client, "execute_command", None)
    if getattr(client, "connection_pool", None) is None or execute is None:
        raise CacheConfigurationError(
            f"Cannot use a {type(client).__name__!r} as a cache: it must be a "
            "`redis.asyncio.Redis`, as `redis.asyncio.from_url(...)` returns, or a `Cache`."
        )
    if not inspect.iscoroutinefunction(execute):
        raise CacheConfigurationError(
            "The client is a blocking `redis.Redis`, which would stop the event "
            "loop. Use `redis.asyncio.from_url(...)` instead."
        )
    return client


# Weakly by client, and a cache keeps only the client's pool: both can go.
_caches: "WeakKeyDictionary[Any, Cache]" = WeakKeyDictionary()


def cache_for(client: Any) -> Cache:
    """Return the one `Cache` that everybody who uses *client* shares.

    It lives as long as the client does. A `Cache` is returned as it is.
    """
    if isinstance(client, Cache):
        return client
    _checked(client)
    if (cache := _caches.get(client)) is None:
        cache = _caches[client] = Cache(client)
    return cache


def cache_redis(
    cache_class: Any,
    cache_ttl: Duration = timedelta(minutes=10),
    cache: bool = True,
    **options: Any,
) -> Decorator:
    """Cache an endpoint on the Redis of *cache_class*.

    *cache_class* is a client (`redis.asyncio.from_url(...)`) or a `Cache`;
    *cache_ttl* is a timedelta or seconds. `cache=False` leaves the function as
    it is, whatever *cache_class* may be. *options* are those of `Cache.__call__`: `tags`, `stale`, `key`, …
    """
    if not cache:
        # Before the client is looked at: tests pass anything where nothing is cached.
        return cast("Decorator", lambda function: function)
    return cache_for(cache_class)(ttl=cache_ttl, **options)
