"""Integrations: other systems, as classes whose methods are their endpoints."""

import functools
import inspect
import time
import warnings
from collections.abc import Callable, Sequence
from types import FrameType, MappingProxyType, TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
)

from accel_integration._annotations import (
    enclosing_locals,
    name_of_type,
    resolve_annotations,
    type_text,
)
from accel_integration._api import (
    PLACEHOLDER,
    ApiHTTP,
    ApiURL,
    HTTPMethod,
    check_path,
    fill_path,
    join_url,
)
from accel_integration._arguments import ArgumentSchema
from accel_integration._budget import RetryBudget
from accel_integration._clients import ClientPool
from accel_integration._context import EXCHANGE, Exchange, Temporarily
from accel_integration._errors import ResponseError
from accel_integration._events import CallFinished, Hub, Listener, Unsubscribe
from accel_integration._masking import mask_url
from accel_integration._request_bodies import BODIES, Bodies, whole_at_every_attempt
from accel_integration._request_extras import Auth, Headers, RequestExtras
from accel_integration._response import (
    Place,
    ResponseSchema,
    readable,
)
from accel_integration._stats import EndpointStats
from accel_integration._strategy import (
    OrderWarning,
    Plan,
    Strategy,
    is_async,
    plan_of,
)

__all__ = ["Endpoint", "EndpointsDeclaration", "IntegrationHTTP", "endpoint_of"]

P = ParamSpec("P")
R = TypeVar("R")

MARKER = "__accel_endpoint__"


class IntegrationHTTP:
    """Another system with an HTTP API, and the endpoints of it that we use.

    Args:
        name: What people call it.
        doc: What it is for.
        strategies: Stability patterns around all of its endpoints, the outermost
            first. What an endpoint is decorated with is inside of them.
        headers: Headers of all of its requests, or a function that makes them of the
            credentials. They go to the host of the base URL only, and give way to what
            an endpoint sends itself.
        auth: A user and a password, or a function that signs a request, sync or async,
            which may take the credentials too; also sent to that host only.
        retry_budget: A bound for the retries of all of its endpoints together, for
            each origin apart. A retry with a budget of its own goes by that.
    """

    def __init__(  # noqa: PLR0913 - they are independent, and all have defaults
        self,
        name: str,
        doc: str = "",
        *,
        strategies: Sequence[Strategy] = (),
        headers: Headers = MappingProxyType({}),
        auth: Auth | None = None,
        retry_budget: RetryBudget | None = None,
    ) -> None:
        self.name = name
        self.doc = doc
        self.strategies = tuple(strategies)
        self.extras = RequestExtras((headers,), auth)
        self.retry_budget = retry_budget
        self._budgets: dict[str, RetryBudget] = {}
        # All that were declared, of whichever class.
        self.endpoints: list[Endpoint] = []
        self.hub = Hub()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def subscribe(self, listener: Listener) -> Unsubscribe:
        """Call *listener* with every event of every endpoint; call the result to stop.

        Those are `CallFinished` for each call, and what the stability patterns tell.
        """
        return self.hub.subscribe(listener)

    def retry_budget_at(self, origin: str) -> RetryBudget | None:
        """Return the bound for the retries of all calls to *origin*, if there is one."""
        if (pattern := self.retry_budget) is None:
            return None
        return self._budgets.setdefault(origin, pattern.for_origin(origin))

    def endpoint(  # noqa: PLR0913 - they are independent, and most have defaults
        self,
        httpmethod: HTTPMethod | str,
        path: str,
        version: str = "",
        docurl: str = "",
        *,
        strategies: Sequence[Strategy] | None = None,
        headers: Headers | None = None,
        auth: Auth | None = None,
    ) -> Callable[
        [Callable[Concatenate[ApiHTTP, P], R]], Callable[Concatenate[Any, P], R]
    ]:
        """Declare a method of an `EndpointsDeclaration` as an endpoint.

        What it returns is validated against its return annotation, which names one
        schema, a list of them, a union, or Any. A class named `http400` is for
        responses with that status.

        Args:
            httpmethod: The method of HTTP.
            path: What follows the base URL. `{name}` stands for the argument *name*.
            version: The version of the endpoint, for the documentation.
            docurl: Where the other side documents it.
            strategies: Stability patterns instead of those of the integration.
            headers: Headers besides those of the integration, or in their place.
            auth: Instead of that of the integration.

        Raises:
            ValueError: The function has no return annotation, or no ApiHTTP, or not
                what the path names; or the path is no path.
        """
        method = HTTPMethod(httpmethod.upper())
        # Remembered for annotations that are text, and name what a function knows.
        frame = inspect.currentframe()
        caller = frame.f_back if frame else None

        def decorate(
            func: Callable[Concatenate[ApiHTTP, P], R],
        ) -> Callable[Concatenate[Any, P], R]:
            endpoint = Endpoint(self, func, method, path, version, docurl, caller)
            if strategies is not None:
                endpoint.surround(strategies)
            endpoint.extras = self.extras.changed(headers, auth)
            self.endpoints.append(endpoint)
            wrapper: Callable[Concatenate[Any, P], R] = endpoint.wrapper
            return wrapper

        return decorate

    @property
    def docs(self) -> dict[str, Any]:
        """A description of the integration and its endpoints, as plain data."""
        return {
            "name": self.name,
            "docstring": self.doc,
            "methods": [endpoint.docs for endpoint in self.endpoints],
        }


class Interceptor(Protocol):
    """What may take the place of an endpoint's function, in tests."""

    def __call__(self, endpoint: "Endpoint", api: ApiHTTP) -> Callable[..., Any]:
        """Return what to call instead, with the same states and arguments."""


# Only the testing kit writes to it.
interceptors: list[Interceptor] = []


class Endpoint:
    """One endpoint: a function, how to reach it, and what it answers."""

    def __init__(  # noqa: PLR0913, PLR0917 - one caller, which has them all
        self,
        integration: IntegrationHTTP,
        func: Callable[..., Any],
        httpmethod: HTTPMethod,
        path: str,
        version: str,
        docurl: str,
        caller: FrameType | None = None,
    ) -> None:
        if "return" not in inspect.get_annotations(inspect.unwrap(func)):
            msg = (
                f"Cannot declare {func.__qualname__!r} as an endpoint: it has no "
                "return annotation. Name its schema, or Any."
            )
            raise ValueError(msg)
        self.integration = integration
        self.func = func
        self.name = func.__name__
        self._title = f"{integration.name}: {self.name}"
        self.httpmethod = httpmethod
        self.path = path
        self.version = version
        self.docurl = docurl
        self.is_async = is_async(func)
        # Without strategies a plan is a plain call; it still gives mocks a place.
        self.surround(integration.strategies)
        self.extras = integration.extras
        self.signature = inspect.signature(func)
        self._check_parameters()
        self._locals = enclosing_locals(caller, func)
        self._schema: ResponseSchema | None = None
        self._hints: dict[str, Any] = {}
        self._arguments: ArgumentSchema | None = None
        self.wrapper: Any = self._wrap()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.httpmethod} {self.path} {self.name!r}>"

    def surround(self, strategies: Sequence[Strategy]) -> None:
        """Put *strategies* around what it was decorated with."""
        plan = Plan.around(self.func, tuple(strategies))
        self.repeats = any(strategy.repeats for strategy in plan.strategies)
        attempt = readable(
            plan.func, self._unreadable, self._check_response, is_async=self.is_async
        )
        if self.repeats:
            attempt = whole_at_every_attempt(attempt, is_async=self.is_async)
        self.plan = Plan(attempt, plan.strategies, plan.endpoint)
        self.plan.hub.forward_to(self.integration.hub)
        self.plan.budget_at = self.integration.retry_budget_at

    def _unreadable(self, exc: Exception) -> ResponseError | None:
        exchange, bodies = EXCHANGE.get(), BODIES.get()
        if exchange is None or bodies is None:
            return None
        return self.schema.unreadable(exc, exchange, bodies.place)

    def _check_response(self, response: Any) -> None:
        exchange, bodies = EXCHANGE.get(), BODIES.get()
        if exchange is not None and bodies is not None:
            self.schema.check(response, exchange, bodies.place)

    def _check_parameters(self) -> None:
        """Refuse a function without ApiHTTP, or without what the path names."""
        if not self.signature.parameters:
            msg = (
                f"Cannot declare {self.func.__qualname__!r} as an endpoint: it takes "
                "no `ApiHTTP`. Write `api: ApiHTTP` as its first parameter."
            )
            raise ValueError(msg)
        check_path(self.path, self.func.__qualname__)
        _, *others = self.signature.parameters.values()
        if any(name_of_type(other.annotation) == "ApiHTTP" for other in others):
            first = next(iter(self.signature.parameters))
            msg = (
                f"Cannot declare {self.func.__qualname__!r} as an endpoint: what it gets "
                f"first is the `ApiHTTP`, not {first!r}. Leave {first!r} out, and write "
                "`api: ApiHTTP` as its first parameter."
            )
            raise ValueError(msg)
        missing = set(PLACEHOLDER.findall(self.path)) - set(self.signature.parameters)
        if missing:
            names = ", ".join(sorted(missing))
            msg = (
                f"Cannot declare {self.func.__qualname__!r} as an endpoint: its path "
                f"{self.path!r} names {names}, which it does not take."
            )
            raise ValueError(msg)

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """The stability patterns around it, the outermost first."""
        return self.plan.strategies

    def resolve(self, owner: type, name: str) -> None:
        """Evaluate the annotations, in the namespace of *owner*, where it is *name*."""
        # Functions that another one makes are all called the same.
        if self.name not in vars(owner):
            self.name = name
            self._title = f"{self.integration.name}: {name}"
        # `Schema.Answer` of a subclass wins over that of its parents.
        spaces = [vars(cls) for cls in owner.__mro__ if cls is not object]
        func = inspect.unwrap(self.func)
        self._hints = resolve_annotations(func, [*spaces, self._locals])
        self._schema = ResponseSchema(self._hints["return"])
        self._arguments = None
        # They may hold the world of whoever defined the class.
        self._locals = {}

    @property
    def schema(self) -> ResponseSchema:
        """What it answers."""
        if self._schema is None:
            msg = f"{self.name!r} is not in the body of an `EndpointsDeclaration`."
            raise TypeError(msg)
        return self._schema

    @property
    def arguments(self) -> ArgumentSchema:
        """What it takes, compiled when it is first called."""
        if self._arguments is None:
            self._arguments = ArgumentSchema(self._title, self.parameters)
        return self._arguments

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """What it is called with, annotations evaluated, but for the ApiHTTP."""
        _, *names = self.signature.parameters
        return {
            name: self.signature.parameters[name].replace(
                annotation=self._hints.get(name, Any)
            )
            for name in names
        }

    @property
    def docs(self) -> dict[str, Any]:
        """A description as plain data."""
        hints = {n: p.annotation for n, p in self.parameters.items()}
        hints["return"] = self._hints.get("return", self.signature.return_annotation)
        return {
            "name": self.name,
            "docstring": inspect.getdoc(self.func) or "",
            "annotations": {name: type_text(hint) for name, hint in hints.items()},
            "path": self.path,
            "httpmethod": str(self.httpmethod),
            "version": self.version,
            "docurl": self.docurl,
            "policy": [strategy.describe() for strategy in self.strategies],
        }

    def path_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the path to which a call with these arguments goes."""
        bound = self.signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        return fill_path(self.path, bound.arguments, self._title)

    def _wrap(self) -> Callable[..., Any]:
        def call(declaration: Any, /, *args: Any, **kwargs: Any) -> Any:
            self._check_owner(declaration)
            args, kwargs = self.arguments.convert(args, kwargs)
            with self._begin(declaration, args, kwargs) as ongoing:
                api = ongoing.api
                if self.repeats:
                    args, kwargs = ongoing.bodies.watch(args, kwargs)
                answer = self._target(api)(api, *args, **kwargs)
                return self._convert(answer, ongoing)

        async def acall(declaration: Any, /, *args: Any, **kwargs: Any) -> Any:
            self._check_owner(declaration)
            args, kwargs = self.arguments.convert(args, kwargs)
            with self._begin(declaration, args, kwargs) as ongoing:
                api = ongoing.api
                if self.repeats:
                    args, kwargs = ongoing.bodies.watch(args, kwargs)
                answer = await self._target(api)(api, *args, **kwargs)
                return self._convert(answer, ongoing)

        wrapper = acall if self.is_async else call
        functools.update_wrapper(wrapper, self.func)
        setattr(wrapper, MARKER, self)
        return wrapper

    def _target(self, api: ApiHTTP) -> Callable[..., Any]:
        if interceptors:
            return interceptors[-1](self, api)
        return self.plan.at(api.origin)

    def _check_owner(self, declaration: object) -> None:
        if not isinstance(declaration, EndpointsDeclaration):
            msg = (
                f"{self.name!r} must be called on an instance of its declaration, "
                f"not on {declaration!r}."
            )
            raise TypeError(msg)

    def _begin(
        self, declaration: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> "OngoingCall":
        api = declaration.api_for(self, args, kwargs)
        secret = (api.credentials, self.extras.secrets)
        place = Place(self._title, api.url.geturl(), secret)
        return OngoingCall(self, api, declaration.stats_of(self), Bodies(place))

    def _convert(self, answer: Any, ongoing: "OngoingCall") -> Any:
        return self.schema.convert(answer, ongoing.exchange, ongoing.bodies.place)


class OngoingCall:
    """One call of *endpoint*, which notes at its end how it went."""

    # Written by hand: two nested generators took a third of the time of a call.
    __slots__ = (
        "_endpoint",
        "_noted",
        "_start",
        "_stats",
        "_watched",
        "api",
        "bodies",
        "exchange",
    )

    def __init__(
        self, endpoint: Endpoint, api: ApiHTTP, stats: EndpointStats, bodies: Bodies
    ) -> None:
        self.api = api
        self.exchange = Exchange()
        self.exchange.prepare = endpoint.extras.for_call(api, awaits=endpoint.is_async)
        self._endpoint = endpoint
        self._stats = stats
        self.bodies = bodies
        self._noted = Temporarily(EXCHANGE, self.exchange)
        self._watched = Temporarily(BODIES, bodies)

    def __enter__(self) -> Self:
        self._noted.__enter__()
        self._watched.__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration = time.perf_counter() - self._start
        self._watched.__exit__(exc_type, exc, traceback)
        self._noted.__exit__(exc_type, exc, traceback)
        # A call that was cancelled says nothing about the other side.
        if exc is None or isinstance(exc, Exception):
            self._stats.record(duration, self.exchange, exc)
        if self._endpoint.integration.hub:
            self._tell(duration, exc)

    def _tell(self, duration: float, error: BaseException | None) -> None:
        endpoint, api = self._endpoint, self.api
        endpoint.integration.hub.emit(
            CallFinished(
                endpoint=endpoint.plan.endpoint,
                origin=api.origin,
                integration=endpoint.integration.name,
                method=api.httpmethod,
                status=self.exchange.status,
                duration=duration,
                attempts=self.exchange.attempts,
                error=None if error is None else type(error).__name__,
            )
        )


class EndpointsDeclaration(ApiHTTP):
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


def endpoint_of(value: Any) -> Endpoint | None:
    """Return the endpoint behind a method, as its class or an instance shows it."""
    endpoint = getattr(value, MARKER, None)
    return endpoint if isinstance(endpoint, Endpoint) else None


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
