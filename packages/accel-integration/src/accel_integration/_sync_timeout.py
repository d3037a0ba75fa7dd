"""Timeouts of sync functions: by their deadline, or by abandoning a thread."""

import contextvars
import functools
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from accel_integration._context import DEADLINE, in_force
from accel_integration._errors import StabilityTimeoutError
from accel_integration._threads import run_in_thread

__all__ = ["SYNC_CALL", "AbandoningLimit", "Limit", "SyncLimit", "nearest"]

T = TypeVar("T")


def nearest(deadline: float) -> float:
    """Return *deadline*, or the one around it if that is nearer.

    All are on the clock of the event loop, which is `time.monotonic` everywhere.
    """
    outer = in_force(DEADLINE.get())
    return deadline if outer is None or deadline < outer else outer


class Limit:
    """One policy in one place."""

    __slots__ = ("seconds", "target", "tell")

    def __init__(self, seconds: float, target: str, tell: Callable[[], None]) -> None:
        self.seconds = seconds
        self.target = target
        self.tell = tell

    def error(self) -> StabilityTimeoutError:
        """Tell the listeners, and return what to raise."""
        self.tell()
        return StabilityTimeoutError(self.target, self.seconds)


class SyncLimit(Limit):
    """One policy for sync functions, which go by their deadline."""

    __slots__ = ()


class SyncCall:
    """A call in another thread, which may be given up."""

    def __init__(self, parent: "SyncCall | None") -> None:
        self.parent = parent
        # Held until there is a result; cheaper than an event, of which it is a part.
        self.pending = threading.Lock()
        self.pending.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        # What to tell if the call is given up, by what that is about. Weakly, since a
        # long call may have many in it that are over.
        self.on_abandon: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = (
            weakref.WeakKeyDictionary()
        )

    def work(self, call: Callable[[], Any]) -> None:
        """Make the call, and keep what comes of it."""
        try:
            self.result = call()
        except BaseException as exc:  # noqa: BLE001 - raised by whoever waits
            self.error = exc
        finally:
            self.pending.release()

    def when_abandoned(self, right: T, callback: Callable[[T], None]) -> None:
        """Call *callback* with *right* if this call, or one around it, is given up."""
        call: SyncCall | None = self
        while call is not None:
            call.on_abandon[right] = callback
            call = call.parent

    def abandon(self) -> None:
        """Tell those who wanted to know."""
        # All at once, since the thread goes on, and may add some.
        for reference in self.on_abandon.keyrefs():
            if (right := reference()) is not None:
                self.on_abandon[right](right)


SYNC_CALL: contextvars.ContextVar[SyncCall | None] = contextvars.ContextVar(
    "SYNC_CALL", default=None
)


class AbandoningLimit(Limit):
    """One policy for sync functions that are abandoned."""

    __slots__ = ()

    def run(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call *func* in a thread, and abandon it when its time is over."""
        # It runs in a copy of the context, in which it finds itself and its deadline.
        call = SyncCall(SYNC_CALL.get())
        context = contextvars.copy_context()
        context.run(SYNC_CALL.set, call)
        context.run(DEADLINE.set, nearest(time.monotonic() + self.seconds))
        work = functools.partial(call.work, functools.partial(func, *args, **kwargs))
        run_in_thread(functools.partial(context.run, work))
        if not call.pending.acquire(timeout=self.seconds):
            call.abandon()
            raise self.error()
        if (error := call.error) is not None:
            # It knows the frames that it has passed, and these are not to know it.
            call.error = None
            try:
                raise error
            finally:
                del error
        return call.result
