"""Bodies of requests: at every attempt whole, or not sent at all."""

import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from accel_integration._context import EXCHANGE
from accel_integration._errors import BodySpentError
from accel_integration._place import Place

__all__ = ["BODIES", "Bodies", "whole_at_every_attempt"]

ITERATED = "has been read in part or in whole"
UNSEEKABLE = "cannot be read from its start again"
IN_USE = "is being read by another attempt"


class Once(Iterator[Any]):
    """An iterator that knows whether anybody has begun to read it.

    Clients send again by themselves, for a login or a redirection: those that know that
    a generator is spent take ours for something else.
    """

    def __init__(self, source: Any, spent: Callable[[], BodySpentError]) -> None:
        self.source = source
        self.begun = self._iterated = False
        self._spent = spent

    def __iter__(self) -> Self:
        if self._iterated and self.begun:
            raise self._spent()
        self._iterated = True
        return self

    def __next__(self) -> Any:
        self.begun = True
        return next(self.source)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.source, name)
        # Whatever else it is used for, such as `send`, may move it on.
        self.begun = True
        return found


class AsyncOnce(AsyncIterator[Any]):
    """An async iterator that knows whether anybody has begun to read it."""

    def __init__(self, source: Any, spent: Callable[[], BodySpentError]) -> None:
        self.source = source
        self.begun = self._iterated = False
        self._spent = spent

    def __aiter__(self) -> Self:
        if self._iterated and self.begun:
            raise self._spent()
        self._iterated = True
        return self

    async def __anext__(self) -> Any:
        self.begun = True
        return await anext(self.source)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.source, name)
        self.begun = True
        return found


class File:
    """A file among the arguments, and where it stood before the first attempt."""

    def __init__(self, source: Any) -> None:
        self.source = source
        # An upload of a web framework is async, and has a file that is not.
        self._file: Any = source
        if not hasattr(source, "tell"):
            self._file = getattr(source, "file", None)
        self._start = position_of(self._file)

    def rewind(self) -> bool:
        """Go back to where it stood; return whether that was possible."""
        if self._start is None:
            return False
        try:
            self._file.seek(self._start)
        except (OSError, ValueError):
            return False
        return True


def is_readable(file: Any) -> bool:
    """Tell whether a file is one to send; one that is only written to is not."""
    readable = getattr(file, "readable", None)
    if readable is None or inspect.iscoroutinefunction(readable):
        return True
    try:
        return bool(readable())
    except ValueError:  # It is closed, of which the client shall tell.
        return True


def position_of(file: Any) -> int | None:
    """Return where *file* stands, or None if there is no going back to it."""
    tell = getattr(file, "tell", None)
    if tell is None or inspect.iscoroutinefunction(tell):
        return None
    try:
        if not file.seekable():
            return None
        position = tell()
    except (AttributeError, OSError, ValueError):
        return None
    return position if isinstance(position, int) else None


class Bodies:
    """What one call sends, in all of its attempts.

    An iterator can be read once. A further attempt would send what is left of it, and
    the other side would take that for all there is.
    """

    __slots__ = (
        "_attempts",
        "_failure",
        "_files",
        "_iterators",
        "_lock",
        "_outcome",
        "_sent",
        "_under_way",
        "place",
    )

    def __init__(self, place: Place) -> None:
        self.place = place
        self._files: list[File] = []
        self._iterators: list[Once | AsyncOnce] = []
        # What requests were made of, by its identity, and in which attempt.
        self._sent: dict[int, tuple[int, Any]] = {}
        self._attempts = self._under_way = 0
        self._failure: Exception | None = None
        self._outcome = "an answer"
        self._lock = threading.Lock()

    def watch(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments for all attempts, iterators among them with a guard."""
        watched = {name: self._watched(value) for name, value in kwargs.items()}
        return tuple(self._watched(value) for value in args), watched

    def _watched(self, value: Any) -> Any:
        if hasattr(value, "read"):
            if is_readable(value):
                self._files.append(File(value))
        elif hasattr(value, "__next__"):
            value = Once(value, functools.partial(self._error, value, ITERATED))
            self._iterators.append(value)
        elif hasattr(value, "__anext__"):
            value = AsyncOnce(value, functools.partial(self._error, value, ITERATED))
            self._iterators.append(value)
        return value

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Make an attempt inside of a `with` block, with files back at their start.

        Raises:
            BodySpentError: It would not send what the first one did.
        """
        with self._lock:
            if self._attempts:
                self._prepare_again()
            self._attempts += 1
            self._under_way += 1
        try:
            yield
        except Exception as exc:
            self._failure, self._outcome = exc, type(exc).__name__
            raise
        else:
            exchange = EXCHANGE.get()
            if exchange is not None and exchange.status is not None:
                self._outcome = f"status {exchange.status}"
        finally:
            with self._lock:
                self._under_way -= 1

    def _prepare_again(self) -> None:
        for iterator in self._iterators:
            if iterator.begun or self._under_way:
                raise self._error(iterator.source, ITERATED) from self._failure
        for file in self._files:
            # One that is read by two attempts at once gives each of them a part.
            if self._under_way:
                raise self._error(file.source, IN_USE)
            if not file.rewind():
                raise self._error(file.source, UNSEEKABLE) from self._failure

    def check(self, request: Any) -> None:
        """Look at what *request* is made of besides arguments, before it is sent.

        Raises:
            BodySpentError: An earlier attempt has sent it.
        """
        if not self._attempts:  # No strategy makes this call more than once.
            return
        known = [*self._iterators, *(file.source for file in self._files)]
        for source, is_rewound in sources_of(request):
            if any(source is other for other in known):
                continue
            attempt, _ = self._sent.setdefault(id(source), (self._attempts, source))
            if attempt == self._attempts or (is_rewound and self._under_way == 1):
                continue
            raise self._error(source, ITERATED) from self._failure

    def _error(self, source: Any, why: str) -> BodySpentError:
        kind = type(source).__name__
        return BodySpentError(
            self.place.name, kind, why, self._outcome, cause=self._failure
        )


def sources_of(request: Any) -> Iterable[tuple[Any, bool]]:
    """Return the iterators and files of *request*, and whether the client rewinds them.

    It does so with the files of forms.
    """
    stream = request.stream
    for field in getattr(stream, "fields", ()):
        file = getattr(field, "file", None)
        if hasattr(file, "read"):
            yield file, position_of(file) is not None
    # Not public, but nothing else tells one generator from the next.
    source = getattr(stream, "_stream", None)
    if any(hasattr(source, name) for name in ("read", "__next__", "__anext__")):
        yield source, False


BODIES: ContextVar[Bodies | None] = ContextVar("BODIES", default=None)


def whole_at_every_attempt(
    func: Callable[..., Any], *, is_async: bool
) -> Callable[..., Any]:
    """Return *func* as one attempt of a call, which sends all of its body or nothing."""

    @functools.wraps(func)
    def attempt(*args: Any, **kwargs: Any) -> Any:
        if (bodies := BODIES.get()) is None:
            return func(*args, **kwargs)
        with bodies.attempt():
            return func(*args, **kwargs)

    @functools.wraps(func)
    async def async_attempt(*args: Any, **kwargs: Any) -> Any:
        if (bodies := BODIES.get()) is None:
            return await func(*args, **kwargs)
        with bodies.attempt():
            return await func(*args, **kwargs)

    return async_attempt if is_async else attempt
