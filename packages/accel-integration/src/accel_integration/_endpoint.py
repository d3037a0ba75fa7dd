"""Endpoints: functions, how to reach what they call, and what that answers."""

import functools
import inspect
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from accel_integration._annotations import (
    enclosing_locals,
    name_of_type,
    resolve_annotations,
    type_text,
)
from accel_integration._api import (
    PLACEHOLDER,
    ApiHTTP,
    HTTPMethod,
    check_path,
    fill_path,
)
from accel_integration._arguments import ArgumentSchema
from accel_integration._context import EXCHANGE
from accel_integration._errors import ResponseError
from accel_integration._masking import mask_path
from accel_integration._ongoing_call import OngoingCall
from accel_integration._place import Place
from accel_integration._readable import readable
from accel_integration._request_bodies import BODIES, Bodies, whole_at_every_attempt
from accel_integration._response import ResponseSchema
from accel_integration._stats import EndpointStats
from accel_integration._strategy import Plan, Strategy, is_async

if TYPE_CHECKING:
    from accel_integration._integration import IntegrationHTTP

__all__ = ["Endpoint", "EndpointOwner", "endpoint_of", "interceptors"]

MARKER = "__accel_endpoint__"


class EndpointOwner(ApiHTTP):
    """What endpoints are called on."""

    def stats_of(self, endpoint: "Endpoint") -> EndpointStats:
        """Return what *endpoint* has been through, called on this declaration."""
        raise NotImplementedError

    def api_for(
        self, endpoint: "Endpoint", args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ApiHTTP:
        """Return what *endpoint* gets for a call with these arguments."""
        raise NotImplementedError


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
        integration: "IntegrationHTTP",
        func: Callable[..., Any],
        httpmethod: HTTPMethod,
        path: str,
        version: str,
        docurl: str,
        caller: FrameType | None = None,
    ) -> None:
        if not hasattr(func, "__qualname__"):
            msg = (
                f"Cannot declare a {type(func).__name__} as an endpoint: write a "
                "function that calls it, and takes `api: ApiHTTP` first."
            )
            raise TypeError(msg)
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
        path = mask_path(self.path)
        return f"<{type(self).__name__} {self.httpmethod} {path} {self.name!r}>"

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
            "path": mask_path(self.path),
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
        if not isinstance(declaration, EndpointOwner):
            msg = (
                f"{self.name!r} must be called on an instance of its declaration, "
                f"not on {declaration!r}."
            )
            raise TypeError(msg)

    def _begin(
        self, declaration: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> OngoingCall:
        api = declaration.api_for(self, args, kwargs)
        secret = (api.credentials, self.extras.secrets)
        place = Place(self._title, api.url.geturl(), secret)
        return OngoingCall(self, api, declaration.stats_of(self), Bodies(place))

    def _convert(self, answer: Any, ongoing: OngoingCall) -> Any:
        return self.schema.convert(answer, ongoing.exchange, ongoing.bodies.place)


def endpoint_of(value: Any) -> Endpoint | None:
    """Return the endpoint behind a method, as its class or an instance shows it."""
    endpoint = getattr(value, MARKER, None)
    return endpoint if isinstance(endpoint, Endpoint) else None
