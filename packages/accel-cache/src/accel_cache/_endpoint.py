"""Cached endpoints: from a request to a response and back."""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any

from accel_cache import _fastapi as met
from accel_cache._engine import Engine, Outcome, Query
from accel_cache._entry import Draft, Entry
from accel_cache._http import (
    IDENTITY_HEADERS,
    NEGATIVE,
    STORABLE,
    RawHeaders,
    by_name,
    directives,
    freshness,
    header_values,
    is_not_modified,
    new_etag,
    sharing,
    status_line,
    stored_headers,
    variant,
    vary_names,
)
from accel_cache._keys import (
    canonical_query,
    digest,
    made,
    tags_of,
)
from accel_cache._options import Options
from accel_cache._store import EVERYTHING


@dataclass(slots=True)
class _Call:
    """One request to a cached endpoint."""

    request: met.Request
    injected: met.Response
    arguments: dict[str, Any]
    headers: dict[bytes, list[bytes]]
    """The request's headers by name."""
    before: RawHeaders = ()
    """Headers that dependencies had set before the endpoint ran."""
    private: bool = False
    names: frozenset[str] = field(default_factory=frozenset)
    """Request headers that are a part of the key."""


class CachedEndpoint:
    """Answers the requests of one endpoint."""

    def __init__(
        self, endpoint: Callable[..., Any], engine: Engine, options: Options
    ) -> None:
        self._endpoint = endpoint
        self._engine = engine
        self._options = options
        self._vary = frozenset(name.lower() for name in options.vary)
        self._is_async = iscoroutinefunction(endpoint)
        self.injection = met.Injection(endpoint)

    async def answer(
        self, request: met.Request, injected: met.Response, arguments: dict[str, Any]
    ) -> Any:
        """Return a response, or the endpoint's own value where nothing is cached."""
        call = _call(request, injected, arguments)
        if (slot := met.refresh_slot(request)) is not None:
            self._partition(call)
            slot.append(await self._compute(call))
            return met.Response()
        if why := self._bypass(call):
            return await self._pass(call, why)
        if (identity := self._partition(call)) is None:
            return await self._pass(call, "identity-unknown")
        query = self._query(call, identity)
        tagged = len(query.tags) > 1
        return self._deliver(call, await self._engine.ask(query), tagged)

    def peek(
        self, request: met.Request, skippable: tuple[Callable[..., Any], ...]
    ) -> Any:
        """Return a fresh response that this process holds; `None` for all else.

        Nothing of the route has run yet: a route with a dependency that is not
        *skippable* gets `None`, for it may be the one that refuses the request.
        """
        facts = met.facts_of(request)
        if facts is None or not all(d in skippable for d in facts.dependencies):
            return None
        # Not by `_call`: a new response has a `content-length` of its own.
        call = _Call(request, met.Response(), {}, by_name(request.scope["headers"]))
        refreshing = met.refresh_slot(request) is not None
        if refreshing or self._options.key is not None or self._bypass(call):
            return None
        identity = self._partition(call)
        if identity is None or _wants_new(call.headers):
            return None
        outcome = self._engine.peek(
            self._key(call, identity),
            self._options.policy,
            functools.partial(_matches, call),
        )
        if outcome is None:
            return None
        return self._deliver(call, outcome, bool(self._options.tags))

    # --- may it be cached at all? ------------------------------------------------

    def _bypass(self, call: _Call) -> str:
        request = call.request
        if request.method not in {"GET", "HEAD"}:
            return "method"
        app = request.scope.get("app")
        if not getattr(getattr(app, "state", None), "CACHE_STATUS", True):
            return "disabled"
        control = call.headers.get(b"cache-control")
        if control and "no-store" in directives(control):
            return "no-store"
        facts = met.facts_of(request)
        if facts is None or facts.has_body:
            return "route"
        return ""

    async def _pass(self, call: _Call, why: str) -> Any:
        self._engine.tell("cache.bypass", detail=why)
        value = await self._run(call)
        outcome = Outcome(Draft(b""), "BYPASS", why=why)
        target = value if isinstance(value, met.Response) else call.injected
        target.headers["X-Cache"] = "BYPASS"
        target.headers["Cache-Status"] = status_line(outcome, 0).decode()
        return value

    async def _run(self, call: _Call) -> Any:
        if self._is_async:
            return await self._endpoint(**call.arguments)
        return await met.run_in_threadpool(self._endpoint, **call.arguments)

    # --- the key --------------------------------------------------------------

    def _partition(self, call: _Call) -> tuple[object, ...] | None:
        """Return who asks, as a part of the key; `None` if that cannot be told."""
        facts = met.facts_of(call.request)
        declared = facts.headers if facts else frozenset()
        credentials = frozenset(IDENTITY_HEADERS) | (
            facts.identity if facts else frozenset()
        )
        scope = self._options.scope
        if scope == "public":
            call.names = (self._vary | declared) - credentials
            return ("public",)
        if callable(scope):
            call.names = self._vary | declared
            who = scope(call.request)
            call.private = who is not None
            return ("named", who)
        call.names = self._vary | declared | credentials
        found = tuple(
            (name, value)
            for name in sorted(credentials)
            if (value := self._credential(call, name))
        )
        secured = facts is not None and facts.secured
        call.private = bool(found) or secured or scope == "private"
        if not found and _is_authenticated(call.request):
            return None
        return ("auto", found)

    def _credential(self, call: _Call, name: str) -> tuple[object, ...]:
        values = call.headers.get(name.encode("latin-1"), ())
        wanted = self._options.identity_cookies
        if name != "cookie" or wanted is None or not values:
            return tuple(values)
        pairs = sorted(call.request.cookies.items())
        return tuple(pair for pair in pairs if pair[0] in wanted)

    def _key(self, call: _Call, identity: tuple[object, ...]) -> str:
        request, maker = call.request, self._options.key
        if maker is None:
            subject: object = canonical_query(request.scope["query_string"])
        else:
            subject = made(maker, call.arguments)
        # Credentials are in the identity, in the form the options ask for.
        plain = call.names - {"authorization", "cookie"}
        return digest(
            request.method,
            request.scope.get("scheme"),
            call.headers.get(b"host"),
            request.scope.get("root_path", ""),
            request.scope["path"] if maker is None else "",
            # Two services on one server may well have one host and one path.
            getattr(request.scope.get("app"), "title", ""),
            self._endpoint.__module__,
            self._endpoint.__qualname__,
            subject,
            [(n, call.headers.get(n.encode("latin-1"))) for n in sorted(plain)],
            identity,
        )

    def _query(self, call: _Call, identity: tuple[object, ...]) -> Query:
        return Query(
            key=self._key(call, identity),
            tags=(*tags_of(self._options.tags, call.arguments), EVERYTHING),
            policy=self._options.policy,
            compute=functools.partial(self._compute, call),
            matches=functools.partial(_matches, call),
            refresh=functools.partial(met.rerun, call.request),
            revalidate=_wants_new(call.headers),
        )

    # --- from the endpoint to a draft -------------------------------------------------

    async def _compute(self, call: _Call) -> Draft:
        try:
            value = await self._run(call)
        except met.HTTPException as exc:
            if (draft := self._negative(exc)) is None:
                raise
            return draft
        response = await met.render(call.request, call.injected, value, call.before)
        return self._draft(call, response)

    def _negative(self, exc: Any) -> Draft | None:
        if not self._options.policy.negative or exc.status_code not in NEGATIVE:
            return None
        try:
            body = json.dumps([exc.detail, dict(exc.headers or {})]).encode()
        except (TypeError, ValueError):
            return None
        return Draft(
            body,
            kind="error",
            status=exc.status_code,
            ttl=self._options.policy.negative,
            payload=exc,
        )

    def _draft(self, call: _Call, response: met.Response) -> Draft:
        headers = response.raw_headers
        rules = sharing(headers, partitioned=call.private)
        status = response.status_code
        negative = self._options.policy.negative if status in NEGATIVE else 0
        body = getattr(response, "body", None)
        if not isinstance(body, bytes) or hasattr(response, "body_iterator"):
            return Draft(b"", status=status, storable=False, payload=response)
        kept = stored_headers(headers)
        etags = header_values(kept, b"etag")
        return Draft(
            body=body,
            kind="http",
            status=status,
            headers=kept,
            etag=etags[0].decode("latin-1") if etags else new_etag(body),
            vary=variant(
                vary_names(kept) - call.names - {"*"}, call.request.scope["headers"]
            ),
            private=call.private,
            ttl=negative or rules.ttl,
            storable=rules.storable and (status in STORABLE or bool(negative)),
            payload=response,
        )

    # --- from a draft to a response -------------------------------------------------

    def _deliver(self, call: _Call, outcome: Outcome, tagged: bool) -> Any:
        draft = outcome.draft
        now = self._engine.wall()
        marks = {
            "X-Cache": outcome.state,
            "Cache-Status": status_line(outcome, now).decode(),
        }
        if draft.kind == "error":
            raise _error(draft, marks)
        if outcome.entry is None:
            return _marked(call, draft, marks)
        headers = self._headers(call, outcome.entry, draft, tagged, now)
        headers += [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in marks.items()
        ]
        wanted = call.headers.get(b"if-none-match", [])
        if draft.status == 200 and is_not_modified(draft.etag, wanted):  # noqa: PLR2004 - RFC 9110, 13.2.2
            hidden = {b"content-length", b"content-type"}
            headers = [pair for pair in headers if pair[0] not in hidden]
            return met.StoredResponse(b"", headers, 304)
        response = met.StoredResponse(draft.body, headers, draft.status)
        if isinstance(draft.payload, met.Response):
            response.background = draft.payload.background
        return response

    def _headers(
        self, call: _Call, entry: Entry, draft: Draft, tagged: bool, now: float
    ) -> list[tuple[bytes, bytes]]:
        own = {name for name, _ in draft.headers}
        headers = [pair for pair in draft.headers if pair[0] != b"vary"]
        headers += call.before
        private = call.private or bool(header_values(call.before, b"set-cookie"))
        for pair in freshness(entry, now, private=private, revalidate=tagged):
            if pair[0] not in own:
                headers.append(pair)
        if b"etag" not in own and draft.status not in {204, 301, 308}:
            headers.append((b"etag", draft.etag.encode("latin-1")))
        varies = sorted(vary_names(draft.headers) | call.names)
        if varies:
            headers.append((b"vary", ", ".join(varies).encode("latin-1")))
        if draft.status != 204:  # noqa: PLR2004 - no content has no length
            headers.append((b"content-length", b"%d" % len(draft.body)))
        return headers


def _call(
    request: met.Request, injected: met.Response, arguments: dict[str, Any]
) -> _Call:
    headers = by_name(request.scope["headers"])
    return _Call(request, injected, arguments, headers, tuple(injected.raw_headers))


def _is_authenticated(request: met.Request) -> bool:
    user = request.scope.get("user")
    return bool(getattr(user, "is_authenticated", False))


def _wants_new(headers: dict[bytes, list[bytes]]) -> bool:
    if not (control := headers.get(b"cache-control")):
        return headers.get(b"pragma") == [b"no-cache"]
    found = directives(control)
    return "no-cache" in found or found.get("max-age") == "0"


def _matches(call: _Call, entry: Entry) -> bool:
    expected = entry.draft.vary
    return not expected or dict(expected) == variant(
        expected, call.request.scope["headers"]
    )


def _marked(call: _Call, draft: Draft, marks: dict[str, str]) -> Any:
    response = draft.payload
    if isinstance(response, met.Response):
        response.headers.update(marks)
        response.headers.raw.extend(call.before)
    return response


def _error(draft: Draft, marks: dict[str, str]) -> Exception:
    if isinstance(draft.payload, met.HTTPException):
        error = draft.payload
        error.headers = {**(error.headers or {}), **marks}
        return error
    detail, headers = json.loads(draft.body)
    return met.HTTPException(draft.status, detail, {**headers, **marks})
