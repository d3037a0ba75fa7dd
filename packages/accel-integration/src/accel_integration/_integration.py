"""Integrations: other systems, and what is declared once for all of their endpoints."""

import inspect
import threading
import weakref
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from accel_integration._api import ApiHTTP, HTTPMethod
from accel_integration._budget import RetryBudget
from accel_integration._endpoint import Endpoint
from accel_integration._events import Hub, Listener, Unsubscribe
from accel_integration._parameters import one_of
from accel_integration._request_extras import Auth, Headers, RequestExtras
from accel_integration._strategy import Strategy, checked

__all__ = ["IntegrationHTTP"]

P = ParamSpec("P")
R = TypeVar("R")


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
        if not isinstance(retry_budget, RetryBudget | None):
            msg = f'"retry_budget" must be an `sp.RetryBudget`: {retry_budget!r}'
            raise TypeError(msg)
        self.name = name
        self.doc = doc
        self.strategies = checked(strategies)
        self.extras = RequestExtras((headers,), auth)
        self.retry_budget = retry_budget
        # By origin, for as long as functions of that origin are kept.
        self._budgets: weakref.WeakValueDictionary[str, RetryBudget] = (
            weakref.WeakValueDictionary()
        )
        self._budgeting = threading.Lock()
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
        with self._budgeting:
            if (budget := self._budgets.get(origin)) is None:
                budget = self._budgets[origin] = pattern.for_origin(origin)
            return budget

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
        one_of([*map(str, HTTPMethod)], "httpmethod", method := str(httpmethod).upper())
        around = None if strategies is None else checked(strategies)
        # Remembered for annotations that are text, and name what a function knows.
        frame = inspect.currentframe()
        caller = frame.f_back if frame else None

        def decorate(
            func: Callable[Concatenate[ApiHTTP, P], R],
        ) -> Callable[Concatenate[Any, P], R]:
            endpoint = Endpoint(
                self, func, HTTPMethod(method), path, version, docurl, caller
            )
            if around is not None:
                endpoint.surround(around)
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
