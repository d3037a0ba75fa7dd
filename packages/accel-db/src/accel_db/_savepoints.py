"""One connection, shared by transactions that are savepoints of it."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from accel_db._errors import ConfigurationError

Line: TypeAlias = tuple[object, ...]
"""Who began a transaction, from the ancestor to the task that runs."""

line_of_descent: ContextVar[Line] = ContextVar("accel_db_sandbox_line", default=())

# Deferred constraints are due when a transaction commits, but a savepoint does not
# check them. Rolling back the check itself leaves their mode as it was.
_CHECK = (
    "SAVEPOINT accel_check; SET CONSTRAINTS ALL IMMEDIATE; "
    "ROLLBACK TO SAVEPOINT accel_check"
)


# Seconds between two looks at whose turn it is.
_PAUSE = 0.0005


@contextmanager
def one_request() -> Iterator[None]:
    """Let the transactions of the block, in whatever thread or task, be related.

    A test client wraps each request in it. Without, the sync dependencies of a request,
    which run in several threads, would wait for each other in a sandbox.
    """
    token = line_of_descent.set((*line_of_descent.get(), object()))
    try:
        yield
    finally:
        line_of_descent.reset(token)


@dataclass(slots=True, eq=False)
class _Savepoint:
    name: str
    line: Line
    wrote: bool = False
    # A savepoint that is released belongs to the one below, whoever opened that.
    absorbed: bool = False
    ended: bool = False

    @property
    def full(self) -> bool:
        return self.wrote or self.absorbed


class SharedConnection:
    """The connection of a sandbox, and the savepoints that are open on it.

    Savepoints nest, transactions do not. So transactions that have nothing to do with
    each other take turns. Related ones (of a test and of the request that it waits for,
    or two sessions of one request) may overlap; a savepoint under another one then ends
    when that one has ended.

    Args:
        raw: the driver's connection.
        patience: seconds to wait for one unrelated transaction. Whoever waited longer
            overlaps, too: better than a deadlock of a test with itself.
    """

    def __init__(self, raw: Any, *, patience: float = 1.0) -> None:
        self.raw = raw
        self.postgres = hasattr(raw, "pgconn")
        self._patience = patience
        self._home = threading.get_ident()
        self._lock = threading.RLock()
        self._open: list[_Savepoint] = []
        self._names = (f"accel_sandbox_{number}" for number in itertools.count(1))

    def begin(self) -> None:
        """Begin the outer transaction, which `end` rolls back."""
        if not self.postgres:
            # The write lock comes first: a reader cannot always turn into a writer.
            self._run("BEGIN IMMEDIATE")

    def end(self) -> None:
        """Roll everything back."""
        with self._lock:
            self._open.clear()
            self.raw.rollback()

    def enter(self) -> _Savepoint:
        """Open a savepoint, once it is the caller's turn."""
        line = self._line()
        before: list[_Savepoint] = []
        until = 0.0
        while True:
            with self._lock:
                others = self._unrelated(line)
                if not others:
                    return self._opened(line)
            now = time.monotonic()
            if others != before:
                before, until = others, now + self._patience
            if now > until or not _pause():
                return self._opened(line)

    def leave(self, point: _Savepoint, *, keep: bool) -> None:
        """End a savepoint, and *keep* what was written in it or not."""
        with self._lock:
            if point not in self._open:
                return self._lost(point, keep=keep)
            if keep:
                self._release(point)
            else:
                self._roll_back(point)
            return None

    # Ends

    def _release(self, point: _Savepoint) -> None:
        if point.wrote and self.postgres:
            self._run(_CHECK)
        point.ended = True
        self._settle()

    def _settle(self) -> None:
        """Release the topmost savepoints whose transactions have ended."""
        while self._open and self._open[-1].ended:
            top = self._open.pop()
            self._run(f"RELEASE SAVEPOINT {top.name}")
            if self._open and top.full:
                self._open[-1].absorbed = True
        if not (self._open or self.postgres):
            # Emptying tables defers the checks until a commit that never comes.
            self._run("PRAGMA defer_foreign_keys=OFF")

    def _roll_back(self, point: _Savepoint) -> None:
        index = self._open.index(point)
        above = self._open[index + 1 :]
        others_wrote = point.absorbed or any(other.full for other in above)
        if (above or point.absorbed) and not (point.wrote or self._failed):
            point.ended = True
            self._settle()
            return
        # Rolling back to a savepoint keeps it open, so it is released as well.
        self._run(f"ROLLBACK TO SAVEPOINT {point.name}")
        self._run(f"RELEASE SAVEPOINT {point.name}")
        del self._open[index:]
        for other in above:
            # A savepoint goes with the one below. Who only read gets another one.
            if not (other.full or other.ended):
                self._run(f"SAVEPOINT {other.name}")
                self._open.append(other)
        self._settle()
        if others_wrote:
            raise _overlap()

    @property
    def _failed(self) -> bool:
        status = getattr(getattr(self.raw, "info", None), "transaction_status", None)
        return getattr(status, "name", "") == "INERROR"

    @staticmethod
    def _lost(point: _Savepoint, *, keep: bool) -> None:
        if keep and point.wrote:
            raise _overlap()

    # Turns

    def _line(self) -> Line:
        line = line_of_descent.get()
        try:
            task = asyncio.current_task()
        except RuntimeError:
            away = threading.get_ident() != self._home
            return line or ((threading.current_thread(),) if away else ())
        if task is None or line[-1:] == (task,):
            return line
        # Tasks that this one creates from now on inherit the line.
        line_of_descent.set((*line, task))
        return (*line, task)

    def _unrelated(self, line: Line) -> list[_Savepoint]:
        return [x for x in self._open if not (x.ended or _related(x.line, line))]

    def _opened(self, line: Line) -> _Savepoint:
        with self._lock:
            point = _Savepoint(next(self._names), line)
            self._run(f"SAVEPOINT {point.name}")
            self._open.append(point)
            return point

    def _run(self, sql: str) -> None:
        # Below SQLAlchemy, so that nobody counts what only the sandbox needs.
        cursor = self.raw.cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()


def _related(one: Line, other: Line) -> bool:
    return all(x is y for x, y in zip(one, other, strict=False))


def yield_to_loop(seconds: float = 0.0) -> bool:
    """Let other tasks go on, if the caller is async; return whether it is."""
    if not in_greenlet():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    await_only(asyncio.sleep(seconds))
    return True


def _pause() -> bool:
    """Let others go on; return False where waiting would stop them, too."""
    if yield_to_loop(_PAUSE):
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        time.sleep(_PAUSE)
        return True
    # Sync code on the thread of the loop: the transaction that it waits for needs it.
    return False


def _overlap() -> ConfigurationError:
    return ConfigurationError(
        "Two transactions of one test overlapped and wrote, and the one that began "
        "first was rolled back. Savepoints of one connection cannot do that: mark the "
        "test with `@pytest.mark.committed`."
    )
