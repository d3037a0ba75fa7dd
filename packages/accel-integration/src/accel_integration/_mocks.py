"""Mocks: rules that answer instead of other systems."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from accel_integration._context import Seconds
from accel_integration._endpoint import Endpoint, endpoint_of
from accel_integration._parameters import at_least, not_negative

__all__ = [
    "Call",
    "Delayed",
    "MockRules",
    "OnRequest",
    "Reply",
    "Script",
    "UnmockedCallError",
    "fail",
    "latency",
    "on_request",
    "respond",
]


class UnmockedCallError(AssertionError, NotImplementedError):
    """Raised when an endpoint is called for which there is no rule."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(
            f"{endpoint.integration.name}: {endpoint.name} was called, but no mock rule "
            "is about it, and no real request may be made here. Add it to the "
            "`MockRules`."
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of the other side, by which the real method is put to the test."""

    status: int = 200
    options: Mapping[str, Any] = field(default_factory=dict)


def respond(status: int = 200, **options: Any) -> Reply:
    """Let the real method run, and answer its request with *status*.

    Args:
        status: The status of the response.
        options: What a response of httpx takes: `json`, `text`, `content`, `headers`.
    """
    return Reply(status, options)


@dataclass(frozen=True, slots=True)
class OnRequest:
    """A function that answers requests of the real method."""

    handler: Callable[[Any], Any]


def on_request(handler: Callable[[Any], Any]) -> OnRequest:
    """Let the real method run, and answer its request with what *handler* returns.

    *handler* gets the request, and returns `respond(...)` or a response.
    """
    return OnRequest(handler)


@dataclass(frozen=True, slots=True)
class Delayed:
    """An answer that takes its time."""

    seconds: float
    answer: Any


def latency(seconds: Seconds, answer: Any) -> Delayed:
    """Give *answer* only after *seconds* of real time, to try a Timeout."""
    return Delayed(not_negative("seconds", seconds), answer)


class Script:
    """Answers that are given one after another; the last one again and again."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps
        self._position = 0

    def then(self, answer: Any) -> "Script":
        """Return a script that goes on with *answer*."""
        return Script(*self.steps, answer)

    def next(self) -> Any:
        """Return the next answer."""
        step = self.steps[min(self._position, len(self.steps) - 1)]
        self._position += 1
        return step

    def rewind(self) -> None:
        """Begin again with the first answer."""
        self._position = 0
        for step in self.steps:
            rewind(step)


def rewind(rule: Any) -> None:
    """Let a *rule* that has been used answer as if it had not."""
    if isinstance(rule, Script):
        rule.rewind()
    elif isinstance(rule, Delayed):
        rewind(rule.answer)


def fail(times: int = 1, error: BaseException | None = None) -> Script:
    """Fail *times* times, by default to connect; add `.then(...)` for what follows."""
    failure = httpx.ConnectError("mocked failure") if error is None else error
    return Script(*[failure] * at_least(0, "times", times))


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt to call an endpoint: what a mock has seen."""

    endpoint: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class MockRules:
    """What answers instead of which endpoint.

    A rule is a function with the parameters of the endpoint, or a plain answer; an
    exception is raised. `respond(...)` lets the real method run and answers its
    request. `fail(2).then(answer)` fails first, `latency(1, answer)` is slow.
    Whatever it is, stability patterns and validation stay in force.

    Attributes:
        calls: Every attempt since a patch has put them in force.
    """

    def __init__(self, mock_rules: Mapping[Callable[..., Any], Any]) -> None:
        self.calls: list[Call] = []
        self._rules: dict[Endpoint, Any] = {}
        for method, rule in mock_rules.items():
            if (endpoint := endpoint_of(method)) is None:
                msg = f"{method!r} is not an endpoint: name it as `Class.method`."
                raise TypeError(msg)
            if isinstance(rule, Script) and not rule.steps:
                msg = f"{method!r} has no answer: write `fail(0).then(answer)`."
                raise ValueError(msg)
            self._rules[endpoint] = rule

    def rewind(self) -> None:
        """Begin again: no calls so far, and every script at its first answer."""
        self.calls = []
        for rule in self._rules.values():
            rewind(rule)

    def count(self, method: Callable[..., Any]) -> int:
        """Return how many attempts there were to call *method*."""
        endpoint = endpoint_of(method)
        name = endpoint.plan.endpoint if endpoint else None
        return sum(call.endpoint == name for call in self.calls)

    def covers(self, endpoint: Endpoint) -> bool:
        """Tell whether there is a rule about *endpoint*."""
        return endpoint in self._rules

    def rule_for(self, endpoint: Endpoint) -> Any:
        """Return the rule about *endpoint*."""
        return self._rules[endpoint]

    def endpoints(self) -> list[Endpoint]:
        """Return every endpoint there is a rule about."""
        return list(self._rules)
