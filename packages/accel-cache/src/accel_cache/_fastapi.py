"""Where the cache meets FastAPI; imported only when FastAPI is there already."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from fastapi import HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import get_request_handler
from fastapi.security.base import SecurityBase
from pydantic import AliasChoices

from accel_cache._asgi import empty, nowhere
from accel_cache._entry import Draft
from accel_cache._http import RawHeaders
from accel_cache._keys import database_of

__all__ = [
    "HTTPException",
    "Injection",
    "Request",
    "Response",
    "RouteFacts",
    "StoredResponse",
    "facts_of",
    "refresh_slot",
    "render",
    "rerun",
    "run_in_threadpool",
]

_REQUEST = "accel_cache_request"
_RESPONSE = "accel_cache_response"
_VALUE = "accel_cache.value"
_REFRESH = "accel_cache.refresh"
_FACTS = "__accel_cache_facts__"
_RENDERER = "__accel_cache_renderer__"

# What a route passes on to its handler, less what concerns the request's body.
_HANDLER_OPTIONS = set(inspect.signature(get_request_handler).parameters) - {
    "dependant",
    "body_field",
}


class StoredResponse(Response):
    """A response made of bytes that are ready to be sent."""

    def __init__(
        self, body: bytes, headers: list[tuple[bytes, bytes]], status: int
    ) -> None:
        # Response.__init__ would encode and build what is already stored.
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = headers


class Injection:
    """The request and the response of a call, injected without the user's help.

    What the endpoint declares itself is used; what it does not declare becomes
    a parameter that only FastAPI sees, and OpenAPI never.
    """

    def __init__(self, endpoint: Callable[..., Any]) -> None:
        signature = inspect.signature(endpoint)
        hints = _hints(endpoint, signature)
        self.request_name = _declared(hints, Request) or _REQUEST
        self.response_name = _declared(hints, Response) or _RESPONSE
        self._hidden = {
            name: kind
            for name, kind in ((_REQUEST, Request), (_RESPONSE, Response))
            if name in {self.request_name, self.response_name}
        }
        self.signature = _extended(signature, self._hidden)

    def split(
        self, kwargs: dict[str, Any]
    ) -> tuple[Request | None, Response | None, dict[str, Any]]:
        """Return request, response and the arguments the endpoint asked for."""
        request = kwargs.get(self.request_name)
        response = kwargs.get(self.response_name)
        # They are the call's own: what the endpoint does not know can be taken out.
        for name in self._hidden:
            kwargs.pop(name, None)
        return (
            request if isinstance(request, Request) else None,
            response if isinstance(response, Response) else None,
            kwargs,
        )


def _hints(
    endpoint: Callable[..., Any], signature: inspect.Signature
) -> dict[str, Any]:
    try:
        resolved = inspect.signature(endpoint, eval_str=True)
    except Exception:  # noqa: BLE001 - a forward reference that is resolved later
        resolved = signature
    return {name: p.annotation for name, p in resolved.parameters.items()}


def _declared(hints: dict[str, Any], wanted: type) -> str | None:
    for name, hint in hints.items():
        if isinstance(hint, type) and issubclass(hint, wanted):
            return name
        if isinstance(hint, str) and hint.rpartition(".")[2] == wanted.__name__:
            return name
    return None


def _extended(
    signature: inspect.Signature, hidden: dict[str, Any]
) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    at = len(parameters)
    if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        at -= 1
    parameters[at:at] = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
        for name, kind in hidden.items()
    ]
    return signature.replace(parameters=parameters)


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """What a route's dependencies read: it must be a part of the key."""

    headers: frozenset[str]
    """Every header that a parameter of the route or of a dependency declares."""
    cookies: frozenset[str]
    """Every cookie that a parameter or a security scheme declares."""
    identity: frozenset[str]
    """The headers in which security schemes look for credentials."""
    secured: bool
    has_body: bool
    dependencies: tuple[Callable[..., Any], ...]
    """Every callable that runs before the endpoint."""
    database: str
    """The one of the application, which tells it from others of its title."""
    selectors: dict[object, Any] = field(default_factory=dict, compare=False)
    """What was derived from these facts; never what refers to the route."""


def _route_of(request: Request) -> Any:
    """Return the route with everything its `include_router` added."""
    scope = request.scope
    shared = scope.get("fastapi")
    context = (
        shared.get("effective_route_context") if isinstance(shared, dict) else None
    )
    if context is not None and getattr(context, "dependant", None) is not None:
        return context
    return scope.get("route")


def facts_of(request: Request) -> RouteFacts | None:
    """Return the facts of the request's route; `None` for a foreign kind of route."""
    route = _route_of(request)
    known: RouteFacts | None = getattr(route, _FACTS, None)
    if known is not None:
        return known
    if (dependant := getattr(route, "dependant", None)) is None:
        return None
    # Kept by the route, which they live as long as: a table of ours would need care.
    facts = _gather(dependant, database_of(request.scope.get("app")))
    setattr(route, _FACTS, facts)
    return facts


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for child in dependant.dependencies:
        yield from _walk(child)


def _gather(root: Dependant, database: str) -> RouteFacts:
    headers: set[str] = set()
    cookies: set[str] = set()
    identity: set[str] = set()
    secured = has_body = False
    for dependant in _walk(root):
        headers.update(name.lower() for name in _names(dependant.header_params))
        cookies.update(_names(dependant.cookie_params))
        has_body = has_body or bool(dependant.body_params)
        scheme = inspect.unwrap(dependant.call) if dependant.call else None
        if isinstance(scheme, SecurityBase):
            secured = True
            identity.add(_credential_header(scheme))
            cookies.add(_credential(scheme, "cookie"))
    identity.discard("")
    calls = tuple(d.call for d in _walk(root) if d is not root and d.call is not None)
    return RouteFacts(
        frozenset(headers),
        frozenset(cookies),
        frozenset(identity),
        secured,
        has_body,
        calls,
        database,
    )


def _names(parameters: Iterable[Any]) -> Iterator[str]:
    """Return every name under which a client may send one of *parameters*."""
    for parameter in parameters:
        info = parameter.field_info
        yield from _aliases(info) or [str(parameter.alias)]
        # A model that bundles headers (`Annotated[Model | None, Header()]`).
        for model in (info.annotation, *get_args(info.annotation)):
            converts = getattr(info, "convert_underscores", False)
            for name, inner in getattr(model, "model_fields", {}).items():
                usual = name.replace("_", "-") if converts else name
                yield from {*_aliases(inner), usual}


def _aliases(info: Any) -> list[str]:
    alias = info.validation_alias or info.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [name for name in choices if isinstance(name, str)]


def _credential_header(scheme: SecurityBase) -> str:
    if _place(scheme):
        # A query is a part of the key.
        return _credential(scheme, "header").lower()
    return "authorization"


def _credential(scheme: SecurityBase, place: str) -> str:
    """Return the name of what *scheme* looks for in *place*, if it looks there."""
    return str(getattr(scheme.model, "name", "")) if _place(scheme) == place else ""


def _place(scheme: SecurityBase) -> str:
    return str(getattr(getattr(scheme.model, "in_", None), "value", ""))


async def render(
    request: Request, injected: Response, value: object, before: RawHeaders
) -> Response:
    """Turn an endpoint's value into the response FastAPI would have made of it.

    The route's own handler does it, with an endpoint that only returns *value*:
    response model, status code, response class and injected headers all count.
    """
    if isinstance(value, Response):
        return value
    route = _route_of(request)
    if (renderer := getattr(route, _RENDERER, None)) is None:
        renderer = _new_renderer(route)
        setattr(route, _RENDERER, renderer)
    # The replay reads nothing of the request: FastAPI need not parse it again.
    spared = {"query_string": b"", "headers": []}
    scope = {**request.scope, **spared, _VALUE: (value, injected, before)}
    response: Response = await renderer(Request(scope, request.receive))
    return response


def _new_renderer(route: Any) -> Callable[[Request], Awaitable[Response]]:
    # Once per route: FastAPI reads the source file of each endpoint that it meets.
    options = {
        name: getattr(route, name) for name in _HANDLER_OPTIONS if hasattr(route, name)
    }
    replay = Dependant(
        call=_replay, request_param_name="request", response_param_name="response"
    )
    return get_request_handler(dependant=replay, **options)


async def _replay(request: Request, response: Response) -> Any:
    """Return again what the endpoint has returned, with what it has injected."""
    value, injected, before = request.scope[_VALUE]
    response.status_code = injected.status_code
    fresh = list(injected.raw_headers)
    for pair in before:
        if pair in fresh:
            fresh.remove(pair)
    response.headers.raw.extend(fresh)
    return value


class RefreshFailed(Exception):  # noqa: N818 - logged, never seen outside
    """Raised when a request in the background did not reach its endpoint."""


def refresh_slot(request: Request) -> list[Draft] | None:
    """Return where a background request puts its draft; `None` for a user's own."""
    slot: list[Draft] | None = request.scope.get(_REFRESH)
    return slot


async def rerun(request: Request) -> Draft:
    """Run the request's route once more, with dependencies of its own.

    The user's session is closed by the time a background task runs; so the
    route gets a new request with the same scope, and nobody listens to it.
    """
    slot: list[Draft] = []
    scope = {**request.scope, _REFRESH: slot}
    route = scope["route"]
    await AsyncExitStackMiddleware(route.handle)(scope, empty, nowhere)
    if not slot:
        raise RefreshFailed(f"{scope['path']!r} answered before its endpoint ran")
    return slot[0]
