"""Cached endpoints: from a request to a response."""

import functools
import json
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any

from accel_cache import _fastapi as met
from accel_cache._asgi import is_caching_on
from accel_cache._engine import Engine, Outcome, Query
from accel_cache._entry import Draft
from accel_cache._http import (
    NEGATIVE,
    STORABLE,
    Sharing,
    header_values,
    new_etag,
    sharing,
    status_line,
    stored_headers,
    variant,
    vary_names,
)
from accel_cache._keys import tags_of
from accel_cache._options import Options
from accel_cache._reply import reply
from accel_cache._request import Call, Choice, Selectors, identify, key_of
from accel_cache._store import EVERYTHING

_ABOUT_CACHING = frozenset({b"cache-control", b"vary"})


class CachedEndpoint:
    """Answers the requests of one endpoint."""

    def __init__(
        self, endpoint: Callable[..., Any], engine: Engine, options: Options
    ) -> None:
        self._endpoint = endpoint
        self._engine = engine
        self._options = options
        self._is_async = iscoroutinefunction(endpoint)
        self._name = (endpoint.__module__, endpoint.__qualname__)
        self._choice = Choice.of(options)
        self.injection = met.Injection(endpoint)

    async def answer(
        self, request: met.Request, injected: met.Response, arguments: dict[str, Any]
    ) -> Any:
        """Return a response, or the endpoint's own value where nothing is cached."""
        facts = met.facts_of(request)
        call = self._call(request, facts, arguments)
        call.injected, call.before = injected, tuple(injected.raw_headers)
        if (slot := met.refresh_slot(request)) is not None:
            # For what it notes about the call: a private answer is stored as such.
            identify(call, self._options)
            slot.append(draft := await self._compute(call))
            # Nobody reads it: the slot has what counts, but for what is to be done.
            return met.Response(background=getattr(draft.payload, "background", None))
        if why := self._bypass(call, facts):
            return await self._pass(call, why)
        if (identity := identify(call, self._options)) is None:
            return await self._pass(call, "identity-unknown")
        tags = tags_of(self._options.tags, arguments)
        key = key_of(call, identity, self._name, self._options)
        if (outcome := self._held(call, key)) is None:
            outcome = await self._engine.ask(self._query(call, key, tags))
        return reply(call, outcome, bool(tags), self._engine.wall())

    def peek(
        self, request: met.Request, skippable: frozenset[Callable[..., Any]]
    ) -> Any:
        """Return a fresh response that this process holds; `None` for all else.

        Nothing of the route has run yet: a route with a dependency that is not
        *skippable* gets `None`, for it may be the one that refuses the request.
        """
        facts = met.facts_of(request)
        if facts is None or not skippable.issuperset(facts.dependencies):
            return None
        refreshing = met.refresh_slot(request) is not None
        call = self._call(request, facts, {})
        # A key of one's own needs the arguments, which nobody has validated yet.
        if refreshing or self._options.key is not None or self._bypass(call, facts):
            return None
        if (identity := identify(call, self._options)) is None:
            return None
        key = key_of(call, identity, self._name, self._options)
        if (outcome := self._held(call, key, "early")) is None:
            return None
        return reply(call, outcome, bool(self._options.tags), self._engine.wall())

    def _call(
        self,
        request: met.Request,
        facts: met.RouteFacts | None,
        arguments: dict[str, Any],
    ) -> Call:
        selectors = facts.selectors.get(self._choice) if facts is not None else None
        if selectors is None:
            selectors = Selectors(self._choice, facts)
            if facts is not None:
                facts.selectors[self._choice] = selectors
        headers = selectors.read(request.scope["headers"])
        return Call(request, selectors, headers, arguments)

    def _held(self, call: Call, key: str, how: str = "") -> Outcome | None:
        if call.wants_new:
            return None
        return self._engine.peek(key, self._options.policy, call.matches, how)

    # --- may it be cached at all? ------------------------------------------------

    def _bypass(self, call: Call, facts: met.RouteFacts | None) -> str:
        request = call.request
        if request.scope["method"] not in {"GET", "HEAD"}:
            return "method"
        if not is_caching_on(request.scope):
            return "disabled"
        if call.forbids_storing:
            return "no-store"
        # A body would have to be a part of the key, and few mean one with a GET.
        if facts is None or facts.has_body:
            return "route"
        return ""

    async def _pass(self, call: Call, why: str) -> Any:
        self._engine.tell("cache.bypass", detail=why)
        value = await self._run(call)
        outcome = Outcome(Draft(b""), "BYPASS", why=why)
        target = value if isinstance(value, met.Response) else call.injected
        target.headers["X-Cache"] = "BYPASS"
        target.headers["Cache-Status"] = status_line(outcome, 0).decode()
        return value

    async def _run(self, call: Call) -> Any:
        if self._is_async:
            return await self._endpoint(**call.arguments)
        return await met.run_in_threadpool(self._endpoint, **call.arguments)

    def _query(self, call: Call, key: str, tags: tuple[str, ...]) -> Query:
        return Query(
            key=key,
            tags=(*tags, EVERYTHING),
            policy=self._options.policy,
            compute=functools.partial(self._compute, call),
            matches=call.matches,
            refresh=functools.partial(met.rerun, call.request),
            revalidate=call.wants_new,
        )

    # --- from the endpoint to a draft -------------------------------------------------

    async def _compute(self, call: Call) -> Draft:
        try:
            value = await self._run(call)
        except met.HTTPException as exc:
            if (draft := self._negative(call, exc)) is None:
                raise
            return draft
        response = await met.render(call.request, call.injected, value, call.before)
        return self._draft(call, response)

    def _negative(self, call: Call, exc: Any) -> Draft | None:
        if not self._options.policy.negative or exc.status_code not in NEGATIVE:
            return None
        own = dict(exc.headers or {})
        try:
            body = json.dumps([exc.detail, own]).encode()
            headers = [(n.lower().encode(), v.encode()) for n, v in own.items()]
        except (TypeError, ValueError):
            # A detail that JSON does not take is raised, and not remembered.
            return None
        rules, vary = _said(call, headers)
        return Draft(
            body,
            kind="error",
            status=exc.status_code,
            vary=vary,
            storable=rules.storable,
            ttl=self._options.policy.negative,
            payload=exc,
        )

    def _draft(self, call: Call, response: met.Response) -> Draft:
        headers = response.raw_headers
        rules, vary = _said(call, headers)
        status = response.status_code
        negative = self._options.policy.negative if status in NEGATIVE else 0
        body = getattr(response, "body", None)
        # A stream is consumed by the one who gets it.
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
            vary=vary,
            private=call.private,
            ttl=negative or rules.ttl,
            storable=rules.storable and (status in STORABLE or bool(negative)),
            payload=response,
        )


def _said(
    call: Call, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[Sharing, dict[str, str]]:
    """Return what a response says of storing it, and the variant that it is."""
    # Dependencies set theirs anew for each caller; what they say of caching counts.
    said = [*headers, *(pair for pair in call.before if pair[0] in _ABOUT_CACHING)]
    names = vary_names(said) - call.selectors.names - {"*"}
    rules = sharing(said, partitioned=call.private)
    return rules, variant(names, call.request.scope["headers"])
