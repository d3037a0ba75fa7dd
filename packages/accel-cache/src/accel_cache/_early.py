"""A route class that looks into the cache before it solves dependencies."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from accel_cache._endpoint import CachedEndpoint


def early_route_class(providers: frozenset[Callable[..., Any]]) -> type[APIRoute]:
    """Return a route class that may skip *providers*, and no other dependency."""

    class EarlyRoute(APIRoute):
        """Answers what this process holds before dependencies are solved."""

        def get_route_handler(
            self,
        ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()
            cached = getattr(self.endpoint, "__accel_cache__", None)
            if not isinstance(cached, CachedEndpoint):
                return handler

            async def early(request: Request) -> Response:
                known: Response | None = cached.peek(request, providers)
                return known if known is not None else await handler(request)

            return early

    return EarlyRoute
