"""The router of one view set: its guard, its place among others, its errors."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from pydantic import TypeAdapter, ValidationError
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from accel_viewset._conditional import not_modified
from accel_viewset._http_errors import as_http

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_ACTION = "accel_viewset.action"


def action_of(request: Request) -> str:
    """Return the action that answers *request*; outside of a view set, it only reads."""
    found: str = request.scope.get(_ACTION, "retrieve")
    return found


class Host(Protocol):
    """What the routes want to know of their view set."""

    prefix: str
    type_item_id: Any

    dependencies: Sequence[Any]

    def guards(self, action: str) -> list[Any]:
        """Return the dependencies of the routes of *action*."""
        ...

    def enter(self, request: Request) -> None:
        """Prepare the answer to *request*."""
        ...


class ViewSetRoute(APIRoute):
    """A route that answers the errors of the packages it is built on."""

    host: Host
    action: str
    """What a request to the route does."""
    _reader: TypeAdapter[Any] | None = None

    def __init__(self, path: str, *args: Any, **options: Any) -> None:
        super().__init__(path, *args, **options)
        # FastAPI matches a route several times per request, once for each router
        # around it; one look at the end of the path spares most of that.
        self._end = path.rpartition("}")[2]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match; a path whose key is malformed gives way to routes declared later.

        `/user/me` is found although `/user/{item_id}` comes first; and if nothing
        else matches, the client learns what is wrong with its key.
        """
        if not scope["path"].endswith(self._end):
            return Match.NONE, {}
        match, child = super().matches(scope)
        if match is Match.PARTIAL and self._answers_head(scope):
            match = Match.FULL
        if match is Match.NONE or "item_id" not in child["path_params"]:
            return match, child
        if self._is_key(child["path_params"]["item_id"]):
            return match, child
        # The router takes a partial match if nothing else matches.
        return (Match.PARTIAL, child) if match is Match.FULL else (Match.NONE, {})

    def _answers_head(self, scope: Scope) -> bool:
        return scope["method"] == "HEAD" and "GET" in (self.methods or ())

    def handle(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Coroutine[Any, Any, None]:
        """Answer HEAD as GET, without the content (RFC 9110, 9.3.2)."""
        if self._answers_head(scope):
            scope, send = {**scope, "method": "GET"}, _without_content(send)
        return super().handle(scope, receive, send)

    def _is_key(self, text: str) -> bool:
        if self._reader is None:
            self._reader = TypeAdapter(self.host.type_item_id)
        try:
            self._reader.validate_strings(text)
        except ValidationError:
            return False
        return True

    def get_route_handler(self) -> Handler:
        """Return the handler, which turns errors into responses of the application."""
        handle = super().get_route_handler()
        host = self.host

        async def answer(request: Request) -> Response:
            # So that whoever is asked about a row need not be told what for.
            request.scope[_ACTION] = self.action
            host.enter(request)
            try:
                response = await handle(request)
            except Exception as exc:
                if (known := as_http(request, exc)) is None:
                    raise
                raise known from exc
            return not_modified(request, response)

        return answer


def _without_content(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def key_headers(request: Request) -> set[str]:
    """Return the headers in which the route of *request* looks for API keys."""
    shared = request.scope.get("fastapi")
    # What `include_router` adds to a route is not on the route itself.
    context = shared.get("effective_route_context") if shared else None
    waiting = [(context or request.scope["route"]).dependant]
    found = set()
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        if isinstance(scheme := dependant.call, APIKeyHeader):
            found.add(str(scheme.model.name).lower())
    return found


class ViewSetRouter(APIRouter):
    """Holds the routes of one view set, each behind its dependencies."""

    def __init__(self, host: Host) -> None:
        # FastAPI makes the routes, so only their class can tell them their view set.
        route_class = type("ViewSetRoute", (ViewSetRoute,), {"host": host})
        super().__init__(dependencies=host.dependencies, route_class=route_class)
        self._host = host
        self.action: str | None = None
        """The action whose routes are being added; without one, the endpoint's name."""
        self.actions: set[str] = set()
        # One look at the path spares the regular expressions of every route.
        self._start = host.prefix.partition("{")[0]

    def add_api_route(self, path: str, endpoint: Any, **options: Any) -> None:
        """Add a route behind the guards of its action.

        A dependency that is named twice runs once.
        """
        action = self.action or endpoint.__name__
        self.actions.add(action)
        given = [*(options.pop("dependencies", None) or ()), *self._host.guards(action)]
        own = [d for d in given if d not in self.dependencies]
        super().add_api_route(path, endpoint, dependencies=own, **options)
        route: Any = self.routes[-1]
        route.action = action

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match only paths that contain the prefix."""
        if self._start not in scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)
