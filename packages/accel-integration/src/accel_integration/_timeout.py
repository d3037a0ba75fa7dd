"""Timeouts that arm a timer only for calls that really wait.

A coroutine is stepped once. If it finishes, there was nothing to limit. Otherwise it
joins a queue: since all calls under one policy have the same limit, their deadlines
come in the order of the queue, and one timer of the loop serves them all.
"""

import asyncio
import time
import types
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Token
from typing import Any

from accel_integration._context import DEADLINE, Entry, Scope, Seconds, in_force
from accel_integration._events import CallTimedOut, Hub
from accel_integration._parameters import positive
from accel_integration._retry import RetryPattern
from accel_integration._strategy import Strategy
from accel_integration._sync_timeout import AbandoningLimit, Limit, SyncLimit
from accel_integration._weaver import Body, Weaver

__all__ = ["Timeout"]

# How many calls may wait before it matters that some of them are over.
SHORT_QUEUE = 1_000

# What `DEADLINE` was before it is set.
NO_DEADLINE = (Token.MISSING, None)


class Timeout(Strategy):
    """Give up on a call that takes longer than *seconds*.

    Around a retry, the limit is one for all attempts.

    An async function is cancelled when its time is over. A sync function cannot be
    interrupted, and goes by its deadline instead: our retries, throttles, bulkheads and
    hedges and the requests of an endpoint's client wait no longer than until then, and
    what comes later is a `StabilityTimeoutError`, an answer too. Code that asks nobody,
    such as `time.sleep(60)` or a server whose headers drip, runs to its end first. With
    *abandon*, a sync function runs in another thread, which is left to itself when the
    time is over; that hands each call to a thread and back.

    Args:
        seconds: How long a call may take.
        abandon: Whether a sync function that hangs is abandoned. It works on unseen, so
            that it is not for what must not happen twice. Async functions need it not.

    Raises:
        StabilityTimeoutError: The time is over. A `TimeoutError` of the function
            itself passes unchanged.
    """

    def __init__(self, seconds: Seconds = 10, *, abandon: bool = False) -> None:
        super().__init__()
        self.seconds = positive("seconds", seconds)
        self.abandon = abandon

    def describe(self) -> str:
        return f"gives up after {self.seconds:g} s"

    def doubts(self, inner: Strategy) -> str | None:
        if isinstance(inner, Timeout) and inner.seconds >= self.seconds:
            return (
                f"the outer Timeout of {self.seconds:g} s always ends before the "
                f"inner one of {inner.seconds:g} s. Make the inner one shorter."
            )
        if isinstance(inner, RetryPattern) and inner.shortest_wait >= self.seconds:
            return (
                f"the Timeout of {self.seconds:g} s ends before the first pause of the "
                f"RetryPattern inside of it, {inner.shortest_wait:g} s, so that nothing "
                "is ever retried. Shorten the pause, or put the Timeout inside."
            )
        return None

    def weave(self, weaver: Weaver, body: Body) -> None:
        hub, scope = Hub(self.hub, weaver.hub), weaver.scope
        kind: type[Limit] = AsyncLimit
        if not weaver.is_async:
            kind = AbandoningLimit if self.abandon else SyncLimit
        limit = kind(self.seconds, str(scope), lambda: self._tell(hub, scope))
        name = weaver.bind("limit", limit)
        if isinstance(limit, SyncLimit):
            self._weave_deadline(weaver, body, name)
            return
        weaver.timeouts.append(name)
        if isinstance(limit, AbandoningLimit):
            weaver.line(f"r = {name}.run({weaver.segment(body)}, args, kwargs)")
        else:
            self._weave_steps(weaver, weaver.segment_call(body), name)
        weaver.timeouts.pop()

    @staticmethod
    def _weave_steps(weaver: Weaver, call: str, limit: str) -> None:
        if weaver.has_deadline:
            run = weaver.bind("run", run_with_deadline)
            weaver.line(f"r = await {run}({call}, {limit})")
            return
        coro, before = weaver.local("coro"), weaver.local("before")
        weaver.line(f"{coro} = {call}")
        # What is inside may have set another one when the first step is done.
        weaver.line(f"{before} = {weaver.bind('get', DEADLINE.get)}()")
        # Written out, since a call for it would cost as much as all the rest.
        with weaver.block("try:"):
            weaver.line(f"awaited = {coro}.send(None)")
        with weaver.block("except StopIteration as stop:"):
            weaver.line("r = stop.value")
        with weaver.block("else:"):
            run = weaver.bind("run", run_within)
            weaver.line(f"r = await {run}({coro}, awaited, {limit}, {before})")

    def _weave_deadline(self, weaver: Weaver, body: Body, limit: str) -> None:
        deadline, late = weaver.local("deadline"), weaver.local("late")
        token, outer = weaver.local("token"), weaver.local("outer")
        began = weaver.began or weaver.local("began")
        weaver.names["monotonic"] = time.monotonic
        # Bound methods, since this is most of what a sync Timeout costs.
        get = weaver.bind("get", DEADLINE.get)
        if weaver.began is None:
            weaver.line(f"{began} = monotonic()")
        weaver.began = began
        weaver.line(f"{deadline} = {began} + {self.seconds!r}")
        weaver.line(f"{outer} = {get}()")
        # The variable holds the nearest deadline; a later one changes nothing.
        weaver.line(f"{token} = {late} = None")
        living = weaver.bind("in_force", in_force)
        nearer = f"{deadline} < {outer} or {living}({outer}) is not {outer}"
        with weaver.block(f"if {outer} is None or {nearer}:"):
            weaver.line(f"{token} = {weaver.bind('set', DEADLINE.set)}({deadline})")
        weaver.deadlines.append((deadline, late))
        with weaver.block("try:"):
            body()
        with weaver.block("except Exception as exc:"):
            # A client whose time ran out says so in its own words.
            with weaver.block(f"if monotonic() >= {deadline}:"):
                weaver.line(f"raise {limit}.error() from exc")
            weaver.line("raise")
        with weaver.block("finally:"), weaver.block(f"if {token} is not None:"):
            weaver.line(f"{weaver.bind('reset', DEADLINE.reset)}({token})")
        weaver.deadlines.pop()
        with weaver.block(
            f"if monotonic() >= {deadline} if {late} is None else {late}:"
        ):
            weaver.line(f"raise {limit}.error()")

    def _tell(self, hub: Hub, scope: Scope) -> None:
        hub.tell(CallTimedOut, scope, seconds=self.seconds)


class Lane:
    """The calls of one policy that wait in one event loop, the oldest first."""

    __slots__ = ("__weakref__", "due", "expiring", "loop", "most", "queue")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self.queue: deque[Entry] = deque()
        # How long it may become before a look for entries that are over.
        self.most = SHORT_QUEUE
        # When the timer goes off, if one is set.
        self.due: float | None = None
        # Tasks that are being cancelled because their time is over.
        self.expiring: set[asyncio.Task[Any] | None] = set()

    def add(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        """Put *entry* into the queue, and set the timer if none is early enough."""
        queue = self.queue
        if not queue or queue[-1] <= entry:
            queue.append(entry)
        else:  # Its deadline was set before it had to wait, and others came first.
            place = len(queue)
            while place and queue[place - 1] > entry:
                place -= 1
            queue.insert(place, entry)
        if self.due is None or entry < self.due:
            self.set_timer(entry, loop)

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
        while queue and (queue[0].task is None or queue[0] <= now):
            entry = queue.popleft()
            if entry.task is not None:
                entry.fired = True
                self.expiring.add(entry.task)
                entry.task.cancel()
        if due != self.due:  # An earlier timer has taken the place of this one.
            return
        self.due = None
        if queue:
            self.set_timer(queue[0], loop)

    def tidy(self) -> None:
        """Drop what is over, although it stands behind a call that takes long."""
        queue = self.queue
        # Of a copy, since the garbage collector may end a dropped call meanwhile.
        alive = [entry for entry in list(queue) if entry.task is not None]
        queue.clear()
        queue.extend(alive)
        self.most = max(SHORT_QUEUE, 2 * len(alive))

    def leave(self, entry: Entry) -> None:
        """Take *entry* out of the queue, once it has come to the front.

        The deadline around it is the deadline again.
        """
        if self.expiring:  # Hardly ever, and a task takes its time to hash.
            self.expiring.discard(entry.task)
        entry.task = None
        queue = self.queue
        while queue and queue[0].task is None:
            queue.popleft()
        if len(queue) > self.most:
            self.tidy()
        if (token := entry.token) is None:
            withdraw(entry)
            return
        # It knows the context of its call, and stays in the queue behind longer ones.
        entry.token = None
        try:
            DEADLINE.reset(token)
        except ValueError:
            # A coroutine that was dropped ends in the context of the garbage collector.
            return


class AsyncLimit(Limit):
    """One policy in one place, for every loop that uses it."""

    __slots__ = ("_lane", "_lanes")

    def __init__(self, seconds: float, target: str, tell: Callable[[], None]) -> None:
        super().__init__(seconds, target, tell)
        self._lane: Lane | None = None
        self._lanes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Lane] = (
            weakref.WeakKeyDictionary()
        )

    def entry(self) -> Entry:
        """Return an entry for the current task, whose time begins now."""
        if (task := asyncio.current_task()) is None:
            msg = "`sp.Timeout` has no task to cancel: await the call inside of a task."
            raise RuntimeError(msg)
        entry = Entry(time.monotonic() + self.seconds)
        # Not by a constructor, which would take as long as all of this.
        entry.task = task
        entry.cancelling = task.cancelling()
        entry.fired = False
        return entry

    def enter(
        self, entry: Entry, task: "asyncio.Task[Any]", before: float | None
    ) -> Lane:
        """Put *entry* into the queue of the loop of its *task*; announce it."""
        # Not the running loop, which takes three times as long to find out.
        loop = task.get_loop()
        lane = self._lane
        if lane is None or lane.loop() is not loop:
            self._lane = lane = self._lanes.setdefault(loop, Lane(loop))
        queue = lane.queue
        if lane.due is None or entry < lane.due or (queue and queue[-1] > entry):
            lane.add(entry, loop)
        else:  # The usual case, without a call for it.
            queue.append(entry)
        token = DEADLINE.set(entry)
        if before is None and token.old_value in NO_DEADLINE:  # As usual, again.
            entry.outer, entry.token = None, token
        else:
            announce(entry, before, token)
        return lane

    def has_expired(self) -> bool:
        """Tell whether the current task is being cancelled by this limit."""
        try:
            lane = self._lanes.get(asyncio.get_running_loop())
        except RuntimeError:  # The coroutine was dropped after the end of its loop.
            return False
        return lane is not None and asyncio.current_task() in lane.expiring

    def expire_also(self, task: "asyncio.Task[Any]") -> None:
        """Treat *task* like the current one, on whose behalf it is being cancelled."""
        expiring = self._lanes[asyncio.get_running_loop()].expiring
        expiring.add(task)
        task.add_done_callback(expiring.discard)


def is_covered(entry: Entry, outer: float | None) -> bool:
    """Tell whether *outer*, a deadline around *entry*, cancels its task in any case.

    That of another task does not: this one may go on after it. Nor does one that has
    passed: then this is the clean-up, which has a time of its own.
    """
    return (
        isinstance(outer, Entry)
        and outer is not entry
        and outer <= entry
        and outer.task is entry.task
        and not outer.fired
    )


def announce(entry: Entry, before: float | None, token: Token[float | None]) -> None:
    """Leave *entry* as the deadline if it is the nearest, and in its place otherwise.

    *before* was the deadline when its call began; *token* is of when it was set. What it
    took the place of is asked of the token, since a look beforehand would cost as much
    as the queue.
    """
    before = in_force(before)
    entry.outer, entry.token = before, None
    inner = None if token.old_value is Token.MISSING else in_force(token.old_value)
    if inner is not None and inner <= entry:
        DEADLINE.reset(token)
    if before is not None and before <= entry:
        return
    # Those inside of it have begun to wait before it did: it comes after the ones that
    # are nearer, and instead of those that are not.
    while isinstance(inner, Entry) and inner is not before and inner is not entry:
        outer, inner.token = inner.outer, None
        if outer is before or outer is None or outer > entry:
            inner.outer = entry
            return
        inner = outer


def withdraw(entry: Entry) -> None:
    """Make the deadline around *entry* the deadline again, if it is the deadline."""
    if DEADLINE.get() is entry:
        DEADLINE.set(entry.outer)


@types.coroutine
def run_within(  # noqa: C901, PLR0912 - in one piece, since each generator has its price
    coro: Coroutine[Any, Any, Any],
    awaited: Any,
    limit: AsyncLimit,
    before: float | None,
    entry: Entry | None = None,
) -> Generator[Any, Any, Any]:
    """Go on with *coro*, which has given *awaited*; cancel it when its time is over.

    Its time begins now, if there is no *entry* yet.
    """
    if entry is None:
        try:
            entry = limit.entry()
        except RuntimeError:
            coro.close()
            raise
    lane: Lane | None = None
    task = entry.task
    if task is not None and (before is None or not is_covered(entry, before)):
        lane = limit.enter(entry, task, before)
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
    finally:
        if entry.fired and task is not None:
            task.uncancel()
        if lane is not None:
            lane.leave(entry)


async def run_with_deadline(coro: Coroutine[Any, Any, Any], limit: AsyncLimit) -> Any:
    """Run *coro*, with its deadline known from the first step on."""
    try:
        entry = limit.entry()
    except RuntimeError:
        coro.close()
        raise
    if is_covered(entry, before := DEADLINE.get()):
        return await coro
    announce(entry, before, DEADLINE.set(entry))
    try:
        try:
            awaited = coro.send(None)
        except StopIteration as stop:
            return stop.value
        return await run_within(coro, awaited, limit, before, entry)
    finally:
        entry.task = None
        withdraw(entry)
