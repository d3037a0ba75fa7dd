"""Creating once, however often a client sends the request.

Follows the draft "The Idempotency-Key HTTP Header Field" of the IETF's HTTPAPI group.
"""

import asyncio
import base64
import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from fastapi import Request, Response

from accel_viewset._errors import (
    IdempotencyKeyInFlight,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    IdempotencyUnavailable,
)
from accel_viewset._routing import key_headers
from accel_viewset._throttling import subject_of

logger = logging.getLogger("accel_viewset")
_LONGEST_KEY = 255
# Other headers, such as cookies and rates, are about one response only.
_KEPT_HEADERS = ("content-type", "etag", "location")


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a key: the payload it came with, and the answer if there is one."""

    fingerprint: str
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    """The body of the response in Base64."""

    @property
    def finished(self) -> bool:
        """Tell whether the first request was answered."""
        return self.status > 0


class IdempotencyStore(Protocol):
    """Remembers which keys were used."""

    required: bool
    """Whether a create without a key is refused."""

    async def begin(self, key: str, record: Record) -> Record | None:
        """Claim *key*, or return what is known of it."""
        ...

    async def finish(self, key: str, record: Record) -> None:
        """Keep the answer."""
        ...

    async def abandon(self, key: str) -> None:
        """Forget *key*: nothing was created."""
        ...


class MemoryIdempotency:
    """Remembers keys in this process, for *ttl* seconds; *size* of them at most."""

    def __init__(
        self,
        *,
        required: bool = False,
        ttl: float = 86_400.0,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.required = required
        self._ttl = ttl
        self._size = size
        self._clock = clock
        self._records: OrderedDict[str, tuple[float, Record]] = OrderedDict()

    async def begin(self, key: str, record: Record) -> Record | None:
        """Claim *key*, or return what is known of it."""
        self._forget_old()
        # Nothing is awaited between the look and the claim, so only one request gets it.
        if (known := self._records.get(key)) is not None:
            return known[1]
        self._records[key] = (self._clock(), record)
        return None

    async def finish(self, key: str, record: Record) -> None:
        """Keep the answer."""
        self._records[key] = (self._clock(), record)

    async def abandon(self, key: str) -> None:
        """Forget *key*: nothing was created."""
        self._records.pop(key, None)

    def _forget_old(self) -> None:
        oldest_allowed = self._clock() - self._ttl
        while self._records:
            since, _ = next(iter(self._records.values()))
            if since > oldest_allowed and len(self._records) < self._size:
                return
            self._records.popitem(last=False)


class RedisIdempotency:
    """Remembers keys on the Redis of *client*, for *ttl* seconds.

    A process that dies while it creates holds its key for *lease* seconds.
    """

    def __init__(
        self,
        client: Any,
        *,
        required: bool = False,
        ttl: int = 86_400,
        lease: int = 60,
        prefix: str = "accel:idempotency:",
    ) -> None:
        self.required = required
        self._client = client
        self._ttl = ttl
        self._lease = lease
        self._prefix = prefix

    async def begin(self, key: str, record: Record) -> Record | None:
        """Claim *key*, or return what is known of it."""
        name = self._prefix + key
        if await self._client.set(name, _dumped(record), nx=True, ex=self._lease):
            return None
        known = await self._client.get(name)
        # It may have expired between the two commands.
        return record if known is None else _loaded(known)

    async def finish(self, key: str, record: Record) -> None:
        """Keep the answer."""
        await self._client.set(self._prefix + key, _dumped(record), ex=self._ttl)

    async def abandon(self, key: str) -> None:
        """Forget *key*: nothing was created."""
        await self._client.delete(self._prefix + key)


def _dumped(record: Record) -> str:
    return json.dumps(asdict(record))


def _loaded(text: str | bytes) -> Record:
    data = json.loads(text)
    data["headers"] = tuple((name, value) for name, value in data["headers"])
    return Record(**data)


async def once(
    store: IdempotencyStore,
    request: Request,
    injected: Response,
    make: Callable[[], Awaitable[Response]],
) -> Response:
    """Return what *make* returns, or what it returned for the same key before.

    Keys of different clients and paths never meet. A client is known by the `sub` of
    verified claims, else by `Authorization`, cookies, and the headers of API keys.

    Raises:
        IdempotencyUnavailable: *store* does not answer.
        IdempotencyKeyMissing: the key is unusable, or *store* requires one.
        IdempotencyKeyReused: the key came with another payload.
        IdempotencyKeyInFlight: the first request is still running.
    """
    sent = request.headers.get("idempotency-key")
    if sent is None and not store.required:
        return await make()
    if not sent or len(sent) > _LONGEST_KEY or not sent.isprintable():
        raise IdempotencyKeyMissing
    key = _digest(*_place(request), _identity(request), sent)
    claim = Record(_digest(await request.body()))
    if (known := await _begun(store, key, claim)) is not None:
        replayed = _replayed(known, claim)
        # What dependencies say is about this response, such as the rate.
        replayed.raw_headers.extend(injected.raw_headers)
        return replayed
    try:
        response = await make()
    # Cancelled, too: nobody was told that it worked, so it may be tried again.
    except BaseException:
        # Shielded, since who was cancelled may be so again while it waits.
        await asyncio.shield(_noted(store.abandon(key)))
        raise
    await _noted(store.finish(key, _record_of(response, claim)))
    return response


async def _begun(store: IdempotencyStore, key: str, claim: Record) -> Record | None:
    try:
        return await store.begin(key, claim)
    except Exception as exc:
        logger.exception("The store of idempotency keys does not answer.")
        raise IdempotencyUnavailable from exc


async def _noted(note: Awaitable[None]) -> None:
    try:
        await note
    except Exception:
        # What was created or refused stays so: the client gets to know it.
        logger.exception("The store of idempotency keys does not answer.")


def _place(request: Request) -> tuple[object, ...]:
    scope = request.scope
    return request.headers.get("host"), scope["path"], scope["query_string"]


def _identity(request: Request) -> list[str]:
    # Between two attempts of one client, its token may be renewed.
    if subject := subject_of(request):
        return ["sub", subject]
    names = ("authorization", "cookie", *sorted(key_headers(request)))
    return [f"{name}: {x}" for name in names for x in request.headers.getlist(name)]


def _digest(*parts: object) -> str:
    # `repr` keeps the parts apart, whatever characters a client puts into them.
    data = repr(parts).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(data, digest_size=24).hexdigest()


def _replayed(known: Record, claim: Record) -> Response:
    # Another payload stays wrong, even if the client waits for the first answer.
    if known.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused
    if not known.finished:
        raise IdempotencyKeyInFlight
    headers = {**dict(known.headers), "Idempotent-Replayed": "true"}
    return Response(base64.b64decode(known.body), known.status, headers)


def _record_of(response: Response, claim: Record) -> Record:
    kept = tuple(
        (name, response.headers[name])
        for name in _KEPT_HEADERS
        if name in response.headers
    )
    body = base64.b64encode(bytes(response.body)).decode()
    return Record(claim.fingerprint, response.status_code, kept, body)
