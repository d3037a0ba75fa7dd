"""Queries, counted for a test."""

import contextlib
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from accel_db._events import Event, QueryExecuted
from accel_db._manager import MainDatabaseManager

_FRAMES = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "SET ")
# The same statement so often is no coincidence.
_SUSPICIOUS = 3

_active: ContextVar[tuple["track_queries", ...]] = ContextVar(
    "accel_db_trackers", default=()
)


class track_queries:  # noqa: N801  # it is used like a function
    """Counts the statements that the block executes, and checks their number.

    It counts what this test (its tasks and threads) executes, and no other. Statements
    that only frame a transaction do not count. A failing block keeps its own error.

    Args:
        manager: whose statements to count.
        expected_count: the exact number, where 0 means none at all.
        max_count: the largest number.

    Raises:
        AssertionError: the number is another; the message lists the statements, and
            names the one that was repeated for every row.
    """

    def __init__(
        self,
        manager: MainDatabaseManager,
        expected_count: int | None = None,
        *,
        max_count: int | None = None,
    ) -> None:
        self._manager = manager
        self._expected = expected_count
        self._most = max_count
        self.queries: list[QueryExecuted] = []
        """What was executed, in its order."""
        self._token: Token[tuple[track_queries, ...]] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def count(self) -> int:
        """Return how many statements were executed by now."""
        return len(self.queries)

    @property
    def statements(self) -> list[str]:
        """Return the text of each statement, on one line."""
        return [" ".join(query.statement.split()) for query in self.queries]

    def __enter__(self) -> Self:
        """Begin to count."""
        self._token = _active.set((*_active.get(), self))
        self._unsubscribe = self._manager.subscribe(self._record)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop counting, and check the number unless the block failed."""
        self._unsubscribe()
        if self._token is not None:
            # A fixture may be left in another context than it was entered in.
            with contextlib.suppress(ValueError):
                _active.reset(self._token)
        if kind is None:
            self._check()

    async def __aenter__(self) -> Self:
        """Begin to count."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop counting, and check the number unless the block failed."""
        self.__exit__(kind, exc, traceback)

    def _record(self, event: Event) -> None:
        if not isinstance(event, QueryExecuted) or self not in _active.get():
            return
        if not event.statement.lstrip().upper().startswith(_FRAMES):
            self.queries.append(event)

    def _check(self) -> None:
        if self._expected is not None and self.count != self._expected:
            raise AssertionError(self._report(f"expected {self._expected}"))
        if self._most is not None and self.count > self._most:
            raise AssertionError(self._report(f"at most {self._most}"))

    def _report(self, wanted: str) -> str:
        lines = [f"{self.count} queries were executed, {wanted}:"]
        for statement, times in Counter(self.statements).most_common():
            hint = "  <- an N+1?" if times >= _SUSPICIOUS else ""
            lines.append(f"{times:4} x {statement[:300]}{hint}")
        return "\n".join(lines)
