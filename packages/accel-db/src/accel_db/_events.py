"""Events of queries, for whoever subscribes."""

import logging
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

logger = logging.getLogger("accel_db")

_STARTED = "accel_query_started"


@dataclass(frozen=True, slots=True)
class QueryExecuted:
    """One statement that the database answered or refused.

    It carries the text with its placeholders, never the values.
    """

    statement: str
    duration: float
    """Seconds between sending the statement and receiving the answer."""
    many: bool = False
    error: str | None = None
    """The class name of the driver's error."""
    name: str = "db.query"


@dataclass(frozen=True, slots=True)
class SlowQuery:
    """A statement that took longer than the manager's `slow_query` seconds."""

    statement: str
    duration: float
    """Seconds it took."""
    threshold: float
    """Seconds it should have taken at most."""
    name: str = "db.slow_query"


Event = QueryExecuted | SlowQuery
"""What `manager.subscribe` tells of."""

Subscriber = Callable[[Event], object]


class Telemetry:
    """Listens to engines as long as somebody listens to it."""

    def __init__(
        self, slow_query: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.slow_query = slow_query
        self._clock = clock
        self._subscribers: list[Subscriber] = []
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()

    def watch(self, engine: Engine) -> None:
        """Report on *engine* to present and future subscribers."""
        self._engines.add(engine)
        if self._subscribers:
            self._attach(engine)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call *subscriber* with every event; return a function that ends it."""
        if not self._subscribers:
            for engine in self._engines:
                self._attach(engine)
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)
                if not self._subscribers:
                    self._detach()

        return unsubscribe

    def _attach(self, engine: Engine) -> None:
        for name, listener in self._listeners():
            event.listen(engine, name, listener)

    def _detach(self) -> None:
        for engine in self._engines:
            for name, listener in self._listeners():
                if event.contains(engine, name, listener):
                    event.remove(engine, name, listener)

    def _listeners(self) -> list[tuple[str, Callable[..., Any]]]:
        return [
            ("before_cursor_execute", self._before),
            ("after_cursor_execute", self._after),
            ("handle_error", self._failed),
        ]

    def _before(self, connection: Connection, *_: object) -> None:
        connection.info[_STARTED] = self._clock()

    def _after(  # SQLAlchemy calls it by position
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        _parameters: object,
        _context: object,
        many: bool,
    ) -> None:
        self._report(connection, statement, many=many, error=None)

    def _failed(self, context: ExceptionContext) -> None:
        if context.connection is None or context.statement is None:
            return
        error = type(context.original_exception).__name__
        self._report(context.connection, context.statement, many=False, error=error)

    def _report(
        self, connection: Connection, statement: str, *, many: bool, error: str | None
    ) -> None:
        now = self._clock()
        # Whoever subscribed while a statement ran has no start to count from.
        duration = now - connection.info.pop(_STARTED, now)
        self._publish(QueryExecuted(statement, duration, many, error))
        if duration >= self.slow_query:
            self._publish(SlowQuery(statement, duration, self.slow_query))

    def _publish(self, what: Event) -> None:
        # A copy: a subscriber may leave while it is called.
        for subscriber in list(self._subscribers):
            try:
                subscriber(what)
            except Exception:
                logger.exception("A subscriber failed on %s.", what.name)
