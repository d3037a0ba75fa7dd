"""A shared cache in front of an application, by the rules of RFC 9111."""

from collections import OrderedDict
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import unquote, urljoin, urlsplit

from accel_cache._asgi import (
    Application,
    Message,
    Receive,
    Send,
    empty,
    is_caching_on,
    nowhere,
)
from accel_cache._cache import cache_for
from accel_cache._engine import Engine, Outcome, Query
from accel_cache._entry import Draft, Entry
from accel_cache._http import (
    RawHeaders,
    delta_seconds,
    directives,
    header_values,
    is_not_modified,
    status_line,
    stored_headers,
    variant,
)
from accel_cache._keys import database_of, digest
from accel_cache._policy import Policy
from accel_cache._rules import Rules, has_credentials, is_public, timestamp
from accel_cache._store import EVERYTHING

# A key, the method, and whether the request has credentials.
_Mark = tuple[str, str, bool]
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_MAX_KNOWN = 10_000
# Responses say how long they live; the policy must not shorten it.
_FOREVER = 2.0**31
_NOT_MODIFIED = 304
_SERVER_ERROR = 500


class CacheMiddleware:
    """Answer GET and HEAD from stored responses that say how long they live.

    A response is stored when its `Cache-Control` (`s-maxage`, `max-age`) or
    `Expires` gives it a life; there is no guessing. Credentials in the request
    (`Authorization`, `Cookie`) need a response that says `public` or `s-maxage`.
    Stale responses are validated with their `ETag` or `Last-Modified`.
    A successful unsafe request invalidates its path, whatever the query, and what
    its `Location` and `Content-Location` name (RFC 9111, 4.4).

    *cache* is a `Cache` or a client; *max_size* bounds a stored body in bytes.
    """

    def __init__(
        self, app: Application, cache: Any, *, max_size: int = 1 << 20
    ) -> None:
        self._app = app
        self._engine: Engine = cache_for(cache)._engine  # noqa: SLF001 - one package
        self._policy = Policy(ttl=_FOREVER, max_size=max_size)
        self._varies: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._passed: OrderedDict[_Mark, None] = OrderedDict()
        self._service: tuple[str, str] | None = None

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Serve one connection; only HTTP is cached."""
        if scope["type"] != "http" or not is_caching_on(scope):
            await self._app(scope, receive, send)
        elif scope["method"] not in _SAFE:
            await self._forward_unsafe(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"} or _wants_no_cache(scope):
            await self._app(scope, receive, _marking(send, "BYPASS", "fwd=bypass"))
        else:
            await self._serve(scope, receive, send)

    async def _forward_unsafe(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        async def watch(message: Message) -> None:
            # Before the answer leaves: its reader may ask again at once.
            if message["type"] == "http.response.start" and message["status"] < 400:  # noqa: PLR2004 - no error
                tags = _written(scope, message["headers"])
                await self._engine.invalidate(tags)
            await send(message)

        await self._app(scope, receive, watch)

    def _whose(self, scope: MutableMapping[str, Any]) -> tuple[str, str]:
        # At the first request: the application is not finished when we are made.
        if self._service is None:
            app = scope.get("app")
            self._service = (str(getattr(app, "title", "")), database_of(app))
        return self._service

    async def _serve(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        control = directives(header_values(scope["headers"], b"cache-control"))
        path = _path_tag(scope)
        names = self._varies.get(path, frozenset())
        variants = sorted(variant(names, scope["headers"]).items())
        # Apart, since nobody checks a host: `a/b` and `/` are not `a` and `/b/`.
        origin, query_string = _origin(scope), scope.get("query_string", b"")
        key = digest(self._whose(scope), origin, scope["path"], query_string, variants)
        exchange = _Exchange(self, key, scope, receive, send)
        query = Query(
            key=key,
            tags=(path, EVERYTHING),
            policy=self._policy,
            compute=exchange.fetch,
            matches=exchange.matches,
            refresh=exchange.refresh,
            revalidate="no-cache" in control or control.get("max-age") == "0",
        )
        if "only-if-cached" in control and not await self._has(query):
            await _send_whole(send, 504, [], b"")
            return
        if exchange.mark in self._passed:
            await self._app(scope, receive, self._doubting(exchange))
            return
        outcome = await self._engine.ask(query)
        await exchange.deliver(outcome, self._engine.wall())

    def _doubting(self, exchange: "_Exchange") -> Send:
        """Pass a response on, and note if the next one like it may be stored."""
        mark = _marking(exchange.send, "MISS", "fwd=uri-miss")

        async def watch(message: Message) -> None:
            begins = message["type"] == "http.response.start"
            if begins and Rules.of(exchange.scope, message, self.now()) is not None:
                self._passed.pop(exchange.mark, None)
            await mark(message)

        return watch

    def remember(self, mark: _Mark) -> None:
        """Remember that such a response is not stored: the next one is not waited for."""
        self._passed[mark] = None
        if len(self._passed) > _MAX_KNOWN:
            self._passed.popitem(last=False)

    async def let_go(self, key: str) -> None:
        """Let nobody wait for what is passed on: a stream may have no end."""
        await self._engine.let_go(key)

    async def _has(self, query: Query) -> bool:
        entry = await self._engine.look(query)
        return entry is not None and self._engine.wall() < entry.fresh_until

    async def call(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Ask the application."""
        await self._app(scope, receive, send)

    @property
    def max_size(self) -> int:
        """The largest body that is stored, in bytes."""
        return self._policy.max_size

    def now(self) -> float:
        """Return the time of the cache's clock."""
        return self._engine.wall()

    def learn(self, scope: MutableMapping[str, Any], names: Iterable[str]) -> None:
        """Remember what the responses of a URI vary on, once it has several."""
        path = _path_tag(scope)
        known = self._varies.pop(path, frozenset())
        self._varies[path] = known | frozenset(names)
        if len(self._varies) > _MAX_KNOWN:
            self._varies.popitem(last=False)


@dataclass(slots=True)
class _Exchange:
    """One request and what becomes of it."""

    cache: CacheMiddleware
    key: str
    scope: MutableMapping[str, Any]
    receive: Receive
    send: Send
    candidate: Entry | None = None
    """A stored response, fresh or not, that is of this request's variant."""
    sent: bool = field(default=False)

    @property
    def mark(self) -> _Mark:
        """What tells apart who gets a response that may be stored, and who does not."""
        return self.key, self.scope["method"], has_credentials(self.scope["headers"])

    def matches(self, entry: Entry) -> bool:
        """Tell whether a stored response is one for this request."""
        headers = self.scope["headers"]
        draft = entry.draft
        if dict(draft.vary) != variant(draft.vary, headers):
            self.cache.learn(self.scope, draft.vary)
            return False
        if has_credentials(headers) and not is_public(draft.headers):
            return False
        self.candidate = entry
        return self._accepts(entry)

    def _accepts(self, entry: Entry) -> bool:
        now = self.cache.now()
        headers = self.scope["headers"]
        control = directives(header_values(headers, b"cache-control"))
        limit = delta_seconds(control, "max-age")
        # The client's own limits (RFC 9111, 5.2.1): it may want something younger.
        if limit is not None and now - entry.created > limit:
            return False
        spare = delta_seconds(control, "min-fresh") or 0
        return now + spare < entry.fresh_until or spare == 0

    async def fetch(self) -> Draft:
        """Ask the application; stream through what is not stored."""
        return await self._fetch(self.receive, self.send)

    async def refresh(self) -> Draft:
        """Ask the application while nobody listens."""
        return await self._fetch(empty, nowhere)

    async def _fetch(self, receive: Receive, send: Send) -> Draft:
        old = self.candidate
        capture = _Capture(self, send, old)
        await self.cache.call(_conditional(self.scope, old), receive, capture)
        if not capture.complete:
            # The client has left: a part must not be stored for the whole.
            await capture.give_up()
        # What was passed on has left already, and must not be sent again.
        self.sent = self.sent or (capture.passing and send is self.send)
        return capture.draft()

    async def deliver(self, outcome: Outcome, now: float) -> None:
        """Send what was found or computed, unless it has been sent already."""
        if self.sent:
            return
        draft, entry = outcome.draft, outcome.entry
        headers = list(draft.headers)
        created = entry.created if entry is not None else now - draft.age
        headers.append((b"age", b"%d" % max(int(now - created), 0)))
        headers.append((b"x-cache", outcome.state.encode()))
        headers.append((b"cache-status", status_line(outcome, now)))
        if _is_unchanged(self.scope["headers"], draft):
            kept = [
                p for p in headers if p[0] not in {b"content-type", b"content-length"}
            ]
            await _send_whole(self.send, _NOT_MODIFIED, kept, b"")
            return
        if draft.status != 204:  # noqa: PLR2004 - no content has no length
            headers.append((b"content-length", b"%d" % len(draft.body)))
        body = b"" if self.scope["method"] == "HEAD" else draft.body
        await _send_whole(self.send, draft.status, headers, body)


class _Capture:
    """Collects a response that may be stored, passes any other one on."""

    def __init__(self, exchange: _Exchange, send: Send, old: Entry | None) -> None:
        self._exchange = exchange
        self._send = send
        self._old = old
        self._start: Message = {}
        self._body: list[bytes] = []
        self._size = 0
        self.passing = False
        self.complete = False
        self.rules: Rules | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self.passing or not self._start:  # what comes before is information
            await self._send(message)
        elif message["type"] == "http.response.body":
            await self._collect(message)
        else:
            await self._pass(message)

    async def _begin(self, message: Message) -> None:
        self._start = message
        # The answer to our own validator: what is stored is sent instead.
        if message["status"] == _NOT_MODIFIED and self._old is not None:
            return
        now = self._exchange.cache.now()
        self.rules = Rules.of(self._exchange.scope, message, now)
        if self.rules is None and not self._has_spare(now):
            self._exchange.cache.remember(self._exchange.mark)
            await self._pass()

    def _has_spare(self, now: float) -> bool:
        """Tell whether a stale response may take the place of this failure."""
        failed = self._start["status"] >= _SERVER_ERROR
        return failed and self._old is not None and now < self._old.error_until

    async def _collect(self, message: Message) -> None:
        self._body.append(message.get("body", b""))
        self._size += len(self._body[-1])
        self.complete = not message.get("more_body", False)
        if self._size > self._exchange.cache.max_size:
            await self._pass(more=message.get("more_body", False))

    async def _pass(self, message: Message | None = None, *, more: bool = True) -> None:
        """Send what was collected; from now on nothing is collected."""
        self.passing = True
        mark = _marking(self._send, "MISS", "fwd=uri-miss")
        await mark(self._start)
        await self._exchange.cache.let_go(self._exchange.key)
        if self._body:
            body = b"".join(self._body)
            await self._send(
                {"type": "http.response.body", "body": body, "more_body": more}
            )
        if message is not None:
            await self._send(message)

    async def give_up(self) -> None:
        """Leave the response as it is."""
        if self._start and not self.passing:
            await self._pass()
        self.passing = True

    def draft(self) -> Draft:
        """Return the response as a draft."""
        if self.passing:
            return Draft(b"", kind="http", storable=False)
        body, status = b"".join(self._body), self._start["status"]
        if self.rules is not None:
            return self.rules.draft(body, self._start)
        if status == _NOT_MODIFIED:
            return self._validated()
        kept = stored_headers(self._start["headers"])
        return Draft(body, kind="http", status=status, headers=kept, storable=False)

    def _validated(self) -> Draft:
        """Freshen the stored response with the headers of a 304 (RFC 9111, 4.3.4)."""
        old = cast("Entry", self._old).draft
        fresh = stored_headers(self._start["headers"])
        names = {name for name, _ in fresh}
        headers = (*(pair for pair in old.headers if pair[0] not in names), *fresh)
        start = {"status": old.status, "headers": headers}
        rules = Rules.of(self._exchange.scope, start, self._exchange.cache.now())
        if rules is None:
            return replace(old, headers=headers, storable=False)
        return rules.draft(old.body, start)


def _wants_no_cache(scope: MutableMapping[str, Any]) -> bool:
    headers = scope["headers"]
    control = directives(header_values(headers, b"cache-control"))
    return "no-store" in control or bool(header_values(headers, b"range"))


def _origin(scope: MutableMapping[str, Any]) -> str:
    host = b",".join(header_values(scope["headers"], b"host")).decode("latin-1")
    return f"{scope.get('scheme')}://{host.lower()}"


def _path_tag(scope: MutableMapping[str, Any]) -> str:
    return f"uri:{_origin(scope)}{scope['path']}"


def _written(scope: MutableMapping[str, Any], headers: RawHeaders) -> list[str]:
    """Return the tags of what an unsafe request changed, on its own origin only."""
    pairs = [(name.lower(), value) for name, value in headers]
    origin, tags = _origin(scope), [_path_tag(scope)]
    for name in (b"location", b"content-location"):
        for value in header_values(pairs, name):
            # What is no address names nothing that could be stored.
            with suppress(ValueError):
                target = urljoin(f"{origin}{scope['path']}", value.decode("latin-1"))
                if target.startswith(f"{origin}/"):
                    tags.append(f"uri:{origin}{unquote(urlsplit(target).path)}")
    return tags


def _conditional(
    scope: MutableMapping[str, Any], old: Entry | None
) -> MutableMapping[str, Any]:
    """Return the request as the application shall see it.

    The client's own conditions are answered from what comes back; a validator
    of the stored response takes their place.
    """
    dropped = {b"if-none-match", b"if-modified-since"}
    headers = [pair for pair in scope["headers"] if pair[0] not in dropped]
    if old is not None and old.keep_until > old.fresh_until:
        if old.draft.etag:
            headers.append((b"if-none-match", old.draft.etag.encode("latin-1")))
        modified = header_values(old.draft.headers, b"last-modified")
        headers += [(b"if-modified-since", value) for value in modified[:1]]
    return {**scope, "headers": headers}


def _is_unchanged(headers: RawHeaders, draft: Draft) -> bool:
    if draft.status != 200:  # noqa: PLR2004 - RFC 9110, 13.2.1
        return False
    if wanted := header_values(headers, b"if-none-match"):
        return is_not_modified(draft.etag, wanted)
    since = header_values(headers, b"if-modified-since")
    modified = header_values(draft.headers, b"last-modified")
    if not since or not modified:
        return False
    limit, last = timestamp(since[0]), timestamp(modified[0])
    return limit is not None and last is not None and last <= limit


def _marking(send: Send, state: str, how: str) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {n for n, _ in message["headers"]}
            if b"x-cache" not in own:
                marks = [
                    (b"x-cache", state.encode()),
                    (b"cache-status", f"accel; {how}".encode()),
                ]
                message = {**message, "headers": [*message["headers"], *marks]}
        await send(message)

    return marked


async def _send_whole(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
