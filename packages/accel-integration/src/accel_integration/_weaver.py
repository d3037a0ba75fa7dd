"""The loom: strategies write lines, and all of them become one function.

One function instead of one wrapper per strategy saves most of their cost, because
every wrapper is a coroutine of its own. Only the lines are ours: names of the user
never enter the source, they are bound as globals of the generated function.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from accel_integration._context import Scope, time_left
from accel_integration._events import Hub

__all__ = ["Body", "Weaver"]

Body = Callable[[], None]

INNERMOST = "f"


class Weaver:
    """The source of one function, as far as it is written.

    A strategy brackets `body()`, which writes what is inside of it and leaves the
    result in the variable `r`.
    """

    def __init__(  # noqa: PLR0913 - one caller, which knows them all
        self,
        func: Callable[..., Any],
        scope: Scope,
        hub: Hub,
        *,
        is_async: bool,
        is_native: bool,
        has_deadline: bool,
        arguments: str = "args",
        budget: Any = None,
    ) -> None:
        self.scope = scope
        self.hub = hub
        self.is_async = is_async
        self.has_deadline = has_deadline
        # The positional arguments of the user, for functions that get those of a call.
        self.arguments = arguments
        # What bounds retries that have no budget of their own.
        self.budget = budget
        self.wait = "await " if is_async else ""
        # The Timeouts around the line being written, by their bound names.
        self.timeouts: list[str] = []
        # Variables of the sync Timeouts around the line being written: the deadline of
        # each, and whether a look at the clock has found it passed.
        self.deadlines: list[tuple[str, str]] = []
        # A variable that holds when this attempt began, if nothing has waited since.
        self.began: str | None = None
        self.names: dict[str, Any] = {INNERMOST: func}
        self._numbers = itertools.count(1)
        self._is_native = is_native
        # Whether a sync Timeout is around the function of which this line is a part.
        self._inherits_deadline = False
        self._innermost_call = f"r = {self.wait}{INNERMOST}(*args, **kwargs)"
        self._functions: list[str] = []
        self._lines: list[str] = []
        self._depth = 1

    def bind(self, stem: str, value: object) -> str:
        """Make *value* known to the source; return its name."""
        name = self.local(stem)
        self.names[name] = value
        return name

    def local(self, stem: str) -> str:
        """Return a variable name that nobody else uses."""
        return f"{stem}_{next(self._numbers)}"

    def line(self, text: str) -> None:
        """Write one line at the present depth."""
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write *head*, and whatever follows one step deeper."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def call_innermost(self) -> None:
        """Write the call of the decorated function."""
        self.line(self._innermost_call)

    def has_expired(self) -> str:
        """Return an expression: whether a Timeout around here ends the call."""
        if not self.is_async:
            return "False"
        return " or ".join(f"{name}.has_expired()" for name in self.timeouts) or "False"

    def is_late(self) -> str:
        """Return an expression: whether a deadline around here has passed, or ""."""
        # Remembered for the Timeout itself, since to ask the clock again would cost more
        # than the whole breaker that asked.
        looks = [f"({late} := monotonic() >= {d})" for d, late in self.deadlines]
        if self._inherits_deadline:
            looks.append(f"{self.bind('time_left', time_left)}() == 0")
        return " or ".join(looks)

    def forget_late(self) -> None:
        """Write that what an earlier attempt found out does not hold for this one."""
        for _, late in self.deadlines:
            self.line(f"{late} = None")

    def segment(self, body: Body) -> str:
        """Write *body* as a function like the decorated one; return its name."""
        lines = self._lines_of(body)
        # A function that only calls another one would cost, and add nothing.
        if self._only_calls(lines):
            return INNERMOST
        return self._add_function(lines, "*args, **kwargs")

    def segment_call(self, body: Body) -> str:
        """Write *body* as a function of its own; return a call of it."""
        lines = self._lines_of(body)
        if self._only_calls(lines):
            return f"{INNERMOST}(*args, **kwargs)"
        # Handed on as they are: to unpack and pack them takes longer than a breaker.
        return f"{self._add_function(lines, 'args, kwargs')}(args, kwargs)"

    def _lines_of(self, body: Body) -> list[str]:
        # Set aside, to go on with the outer function afterwards.
        outer = self._lines, self._depth, self.deadlines, self._inherits_deadline
        # The variables of one function are unknown in another.
        self._inherits_deadline |= bool(self.deadlines)
        self._lines, self._depth, self.deadlines, self.began = [], 1, [], None
        body()
        written = self._lines
        self._lines, self._depth, self.deadlines, self._inherits_deadline = outer
        return written

    def _only_calls(self, lines: list[str]) -> bool:
        return self._is_native and lines == [f"    {self._innermost_call}"]

    def _add_function(self, lines: list[str], parameters: str) -> str:
        name = self.local("segment")
        self._functions.append(self._source_of(name, lines, parameters))
        return name

    def _source_of(self, name: str, lines: list[str], parameters: str) -> str:
        head = f"{'async ' if self.is_async else ''}def {name}({parameters}):"
        return "\n".join([head, *lines, "    return r", ""])

    def finish(self, body: Body) -> Callable[..., Any]:
        """Write *body*, and return everything as one function."""
        body()
        call = self._source_of("call", self._lines, "*args, **kwargs")
        filename = f"<stability of {self.scope.endpoint}>"
        for code in compiled("\n".join([*self._functions, call])):
            # A copy, since the interpreter learns in it what this one function does.
            own = code.replace(co_filename=filename)
            self.names[code.co_name] = FunctionType(own, self.names)
        woven: Callable[..., Any] = self.names["call"]
        return woven


@functools.lru_cache(maxsize=256)
def compiled(source: str) -> tuple[CodeType, ...]:
    """Return the functions of *source*, the same for all that are decorated alike.

    To compile them takes most of the time of a decoration.
    """
    module = compile(source, "<stability>", "exec")
    return tuple(const for const in module.co_consts if isinstance(const, CodeType))
