"""Timeouts that arm a timer only for calls that really wait.

A coroutine is stepped once. If it finishes, there was nothing to limit. Otherwise it
joins a queue: since all calls under one policy have the same limit, their deadlines
come in the order of the queue, and one timer of the loop serves them all.
"""

import asyncio
import contextvars
import functools
import threading
import time
import types
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from accel_integration._context import DEADLINE, Seconds, Temporarily
from accel_integration._errors import StabilityTimeoutError
from accel_integration._events import CallTimedOut, Hub
from accel_integration._parameters import positive
from accel_integration._strategy import Strategy
from accel_integration._threads import run_in_thread
from accel_integration._weaver import Body, Weaver

__all__ = ["Timeout"]


class Timeout(Strategy):
    """Give up on a call that takes longer than *seconds*.

    A sync function cannot be interrupted: it runs in another thread, which is
    abandoned when the time is over, and serves other calls once it is done. Around a retry, the limit is one for all attempts.

    Raises:
        StabilityTimeoutError: The time is over. A `TimeoutError` of the function
            itself passes unchanged.
    """

    def __init__(self, seconds: Seconds = 10) -> None:
        super().__init__()
        self.seconds = positive("seconds", seconds)

    def describe(self) -> str:
        return f"gives up after {self.seconds:g} s"

    def doubts(self, inner: Strategy) -> str | None:
        if isinstance(inner, Timeout) and inner.seconds >= self.seconds:
            return (
                f"the outer Timeout of {self.seconds:g} s always ends before the "
                f"inner one of {inner.seconds:g} s. Make the inner one shorter."
            )
        return None

    def weave(self, weaver: Weaver, body: Body) -> None:
        hub = Hub(self.hub, weaver.hub)
        target = str(weaver.scope)
        limit = (AsyncLimit if weaver.is_async else SyncLimit)(
            self.seconds, target, lambda: self._tell(hub, weaver)
        )
        name = weaver.bind("limit", limit)
        weaver.timeouts.append(name)
        segment = weaver.segment(body)
        weaver.timeouts.pop()
        if not weaver.is_async:
            weaver.line(f"r = {name}.run({segment}, args, kwargs)")
            return
        run = "run_with_deadline" if weaver.has_deadline else "run"
        weaver.names["run"] = run_within
        weaver.names["run_with_deadline"] = run_with_deadline
        weaver.line(f"r = await {run}({segment}(*args, **kwargs), {name})")

    def _tell(self, hub: Hub, weaver: Weaver) -> None:
        hub.tell(CallTimedOut, weaver.scope, seconds=self.seconds)


class Entry:
    """A call that waits: the task it runs in, and whether its time is over."""

    __slots__ = ("cancelling", "deadline", "fired", "task")

    def __init__(self, task: "asyncio.Task[Any]", deadline: float) -> None:
        self.task: asyncio.Task[Any] | None = task
        self.cancelling = task.cancelling()
        self.deadline = deadline
        self.fired = False


class Lane:
    """The calls of one policy that wait in one event loop, the oldest first."""

    __slots__ = ("__weakref__", "due", "expiring", "loop", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self.queue: deque[Entry] = deque()
        # When the timer goes off, if one is set.
        self.due: float | None = None
        # Tasks that are being cancelled because their time is over.
        self.expiring: set[asyncio.Task[Any] | None] = set()

    def add(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        """Put *entry* into the queue, and set the timer if none is early enough."""
        queue = self.queue
        if not queue or queue[-1].deadline <= entry.deadline:
            queue.append(entry)
        else:  # Its deadline was set before it had to wait, and others came first.
            place = len(queue)
            while place and queue[place - 1].deadline > entry.deadline:
                place -= 1
            queue.insert(place, entry)
        if self.due is None or entry.deadline < self.due:
            self.set_timer(entry.deadline, loop)

    def set_timer(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        """Let the loop call `fire` at *due*."""
        self.due = due
        loop.call_at(due, self.fire, due)

    def fire(self, due: float) -> None:
        """Cancel what is overdue, and set the timer for what is next."""
        loop = asyncio.get_running_loop()
        # The loop runs timers early, by as much as the resolution of its clock.
        now = loop.time() + 1e-3
        queue = self.queue
        while queue and (queue[0].task is None or queue[0].deadline <= now):
            entry = queue.popleft()
            if entry.task is not None:
                entry.fired = True
                self.expiring.add(entry.task)
                entry.task.cancel()
        if due != self.due:  # An earlier timer has taken the place of this one.
            return
        self.due = None
        if queue:
            self.set_timer(queue[0].deadline, loop)

    def leave(self, entry: Entry) -> None:
        """Take *entry* out of the queue, once it has come to the front."""
        self.expiring.discard(entry.task)
        entry.task = None
        queue = self.queue
        while queue and queue[0].task is None:
            queue.popleft()


class AsyncLimit:
    """One policy in one place, for every loop that uses it."""

    __slots__ = ("_lane", "_lanes", "seconds", "target", "tell")

    def __init__(self, seconds: float, target: str, tell: Callable[[], None]) -> None:
        self.seconds = seconds
        self.target = target
        self.tell = tell
        self._lane: Lane | None = None
        self._lanes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Lane] = (
            weakref.WeakKeyDictionary()
        )

    def enter(self, deadline: float | None) -> tuple[Lane, Entry]:
        """Put the current task into the queue of its loop."""
        loop = asyncio.get_running_loop()
        lane = self._lane
        if lane is None or lane.loop() is not loop:
            self._lane = lane = self._lanes.setdefault(loop, Lane(loop))
        if (task := asyncio.current_task(loop)) is None:
            msg = "`sp.Timeout` has no task to cancel: await the call inside of a task."
            raise RuntimeError(msg)
        if deadline is None:
            deadline = loop.time() + self.seconds
        entry = Entry(task, deadline)
        lane.add(entry, loop)
        return lane, entry

    def has_expired(self) -> bool:
        """Tell whether the current task is being cancelled by this limit."""
        lane = self._lanes.get(asyncio.get_running_loop())
        return lane is not None and asyncio.current_task() in lane.expiring

    def expire_also(self, task: "asyncio.Task[Any]") -> None:
        """Treat *task* like the current one, on whose behalf it is being cancelled."""
        expiring = self._lanes[asyncio.get_running_loop()].expiring
        expiring.add(task)
        task.add_done_callback(expiring.discard)

    def error(self) -> StabilityTimeoutError:
        """Tell the listeners, and return what to raise."""
        self.tell()
        return StabilityTimeoutError(self.target, self.seconds)


def nearest(deadline: float) -> float:
    """Return *deadline*, or the one around it if that is nearer.

    All are on the clock of the event loop, which is `time.monotonic` everywhere.
    """
    outer = DEADLINE.get()
    return deadline if outer is None or deadline < outer else outer


@types.coroutine
def run_within(  # noqa: C901, PLR0912 - in one piece, since each generator has its price
    coro: Coroutine[Any, Any, Any], limit: AsyncLimit, deadline: float | None = None
) -> Generator[Any, Any, Any]:
    """Run *coro*, and cancel it when its time is over.

    Its time begins when it first has to wait, if there is no *deadline*.
    """
    try:
        awaited = coro.send(None)
    except StopIteration as stop:
        return stop.value
    try:
        lane, entry = limit.enter(deadline)
    except RuntimeError:
        coro.close()
        raise
    task = entry.task
    token: contextvars.Token[float | None] | None
    token = DEADLINE.set(nearest(entry.deadline))
    try:
        # The first suspension is handed up by hand, with what comes back for it.
        while True:
            try:
                yield awaited
            except BaseException as exc:  # noqa: BLE001 - it belongs to the coroutine
                try:
                    awaited = coro.throw(exc)
                except StopIteration as stop:
                    return stop.value
            else:
                return (yield from coro)
    except (Exception, asyncio.CancelledError) as exc:
        # Our cancellation may come out as something else, such as the error of a client
        # whose own time is over as well; the reason is ours nevertheless.
        if entry.fired and task is not None:
            entry.fired = False
            if task.uncancel() <= entry.cancelling:
                raise limit.error() from exc
        raise
    except GeneratorExit:
        # Dropped in the middle, perhaps by the garbage collector, in its own context.
        token = None
        raise
    finally:
        if entry.fired and task is not None:
            task.uncancel()
        lane.leave(entry)
        if token is not None:
            DEADLINE.reset(token)


async def run_with_deadline(coro: Coroutine[Any, Any, Any], limit: AsyncLimit) -> Any:
    """Run *coro* like `run_within`, with its deadline known from the first step on."""
    deadline = time.monotonic() + limit.seconds
    with Temporarily(DEADLINE, nearest(deadline)):
        return await run_within(coro, limit, deadline)


class SyncCall:
    """A call in another thread, which may be given up."""

    def __init__(self, parent: "SyncCall | None") -> None:
        self.parent = parent
        # Held until there is a result; cheaper than an event, of which it is a part.
        self.pending = threading.Lock()
        self.pending.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        # What to tell if the call is given up.
        self.on_abandon: list[Callable[[], None]] = []

    def work(self, call: Callable[[], Any]) -> None:
        """Make the call, and keep what comes of it."""
        try:
            self.result = call()
        except BaseException as exc:  # noqa: BLE001 - raised by whoever waits
            self.error = exc
        finally:
            self.pending.release()

    def when_abandoned(self, callback: Callable[[], None]) -> None:
        """Call *callback* if this call, or one around it, is given up."""
        call: SyncCall | None = self
        while call is not None:
            call.on_abandon.append(callback)
            call = call.parent


SYNC_CALL: contextvars.ContextVar[SyncCall | None] = contextvars.ContextVar(
    "SYNC_CALL", default=None
)


class SyncLimit:
    """One policy in one place, for sync functions."""

    __slots__ = ("seconds", "target", "tell")

    def __init__(self, seconds: float, target: str, tell: Callable[[], None]) -> None:
        self.seconds = seconds
        self.target = target
        self.tell = tell

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
            for callback in call.on_abandon:
                callback()
            self.tell()
            raise StabilityTimeoutError(self.target, self.seconds)
        if call.error is not None:
            raise call.error
        return call.result
