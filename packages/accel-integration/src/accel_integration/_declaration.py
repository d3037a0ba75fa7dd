"""Declarations: the endpoints of one system as a class, and where it is reached."""

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Self

from accel_integration._api import ApiHTTP, ApiURL, join_url
from accel_integration._clients import ClientPool
from accel_integration._endpoint import Endpoint, EndpointOwner, endpoint_of
from accel_integration._integration import IntegrationHTTP
from accel_integration._masking import mask_url
from accel_integration._stats import EndpointStats
from accel_integration._strategy import OrderWarning, plan_of

__all__ = ["EndpointsDeclaration"]


class EndpointsDeclaration(EndpointOwner):
    """The endpoints of one system, and where it is reached.

    Subclass it, give it an `integration`, and decorate its methods. To type checkers it
    is an `ApiHTTP` too, since that is what its methods take for their first parameter.

    Args:
        base_url: What all paths follow.
        credentials: What the methods need to log in, often a dict.
        client: An HTTP client of httpx's shape, such as an `httpx2.AsyncClient`, or
            what returns one. By default there is one of httpx per event loop, pooled,
            which keeps no cookies.
    """

    integration: ClassVar[IntegrationHTTP]

    # Type checkers would take the classes of a subclass for wrong overrides of these.
    if not TYPE_CHECKING:

        class Schema:
            """Schemas for successful responses."""

        class SchemaError:
            """Schemas for unsuccessful responses."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in list(vars(cls).items()):
            if (endpoint := endpoint_of(value)) is None:
                continue
            # It would take the place of `client`, `aclose` and the like.
            if name in RESERVED:
                msg = (
                    f"{cls.__name__}.{name} must have another name: every declaration "
                    f"has a `{name}` of its own."
                )
                raise TypeError(msg)
            _warn_of_strategies_above(f"{cls.__name__}.{name}", value)
            endpoint.resolve(cls, name)

    def __init__(
        self, base_url: str = "", credentials: Any = None, client: Any = None
    ) -> None:
        if not isinstance(base_url, str):
            msg = f'"base_url" must be a str: {type(base_url).__name__}'
            raise TypeError(msg)
        if base_url and not base_url.startswith(("http://", "https://")):
            msg = (
                f"base_url must begin with http:// or https://: {mask_url(base_url)!r}"
            )
            raise ValueError(msg)
        if "#" in base_url:  # Not shown: what is before it may be half a password.
            msg = 'base_url must have no "#": a password with one has "%23" instead'
            raise ValueError(msg)
        super().__init__(credentials, base_url)
        self.base_url = base_url
        self._pool = ClientPool(client)
        self._get_client = self._pool.for_loop
        self._urls: dict[tuple[str, str], ApiURL] = {}
        self._stats: dict[str, EndpointStats] = {}

    async def __aenter__(self) -> Self:
        self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pooled clients; a client that was passed in stays open."""
        await self._pool.aclose()

    def close(self) -> None:
        """Close the pooled client of sync endpoints."""
        self._pool.close()

    @classmethod
    def endpoints(cls) -> dict[str, Endpoint]:
        """Return all endpoints by name, inherited ones included."""
        found: dict[str, Endpoint] = {}
        for owner in reversed(cls.__mro__):
            for name, value in vars(owner).items():
                if (endpoint := endpoint_of(value)) is not None:
                    found[name] = endpoint
        return found

    def stats_of(self, endpoint: Endpoint) -> EndpointStats:
        """Return what *endpoint* has been through, called on this declaration."""
        if (stats := self._stats.get(endpoint.name)) is None:
            stats = self._stats.setdefault(endpoint.name, EndpointStats())
        return stats

    def api_for(
        self, endpoint: Endpoint, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ApiHTTP:
        """Return what *endpoint* gets for a call with these arguments."""
        if "{" in endpoint.path:
            path = endpoint.path_for(args, kwargs)
            url = ApiURL.parse(join_url(self.base_url, path))
        else:
            url = self._fixed_url(endpoint.path)
        api = ApiHTTP(self.credentials, url, endpoint.version, endpoint.httpmethod)
        pool = self._pool
        api._get_client = pool.for_loop if endpoint.is_async else pool.for_threads  # noqa: SLF001 - they are one family
        return api

    def _fixed_url(self, path: str) -> ApiURL:
        """Return the URL of a *path* without parameters, which is parsed only once."""
        whole = self.base_url, path
        if (url := self._urls.get(whole)) is None:
            url = self._urls[whole] = ApiURL.parse(join_url(*whole))
        return url


# What an endpoint must not be called, since it would be hidden or hide something.
RESERVED = frozenset(dir(EndpointsDeclaration)) | frozenset(
    vars(EndpointsDeclaration())
)


def _warn_of_strategies_above(name: str, value: Any) -> None:
    """Warn of patterns that are above `@integration.endpoint`, and work by half."""
    if (plan := plan_of(value)) is None:
        return
    kinds = ", ".join(type(strategy).__name__ for strategy in plan.strategies)
    warnings.warn(
        f"{name}: {kinds} above `@integration.endpoint` sees neither statuses nor "
        "origins, and is on no page. Write it below, or into `strategies=`.",
        OrderWarning,
        stacklevel=3,
    )
