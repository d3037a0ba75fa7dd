"""Bodies of responses, and what becomes of those that break off."""

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

from accel_integration._context import time_left
from accel_integration._errors import ResponseIncompleteError
from accel_integration._place import Place

__all__ = ["guard_body"]

OVER = "The time of an `sp.Timeout` was over before the body of the answer was."


class Guard:
    """A stream of bytes whose failures are ours; the rest is that of the client."""

    def __init__(self, stream: Any, place: Place, status: int) -> None:
        self._stream = stream
        self._place = place
        self._status = status

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _translated(self, exc: Exception) -> ResponseIncompleteError | None:
        names = {cls.__name__ for cls in type(exc).__mro__}
        # A timeout says that there was no time, and nothing of the other side.
        if "TransportError" not in names or "TimeoutException" in names:
            return None
        kind: type = type(exc)
        place = self._place
        return incomplete_like(kind)(
            place.name, url=place.url, status=self._status, reason=kind.__name__
        )


class SyncGuard(Guard):
    """A guard for threads."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from map(in_time, self._stream)
        except Exception as exc:
            if (error := self._translated(exc)) is None:
                raise
            raise error from exc

    def close(self) -> None:
        """Give the connection back."""
        self._stream.close()


def in_time(chunk: bytes) -> bytes:
    """Return *chunk*, if it is not too late for it."""
    # The client limits each wait, and not how many there are.
    if time_left() == 0:
        raise TimeoutError(OVER)
    return chunk


class AsyncGuard(Guard):
    """A guard for event loops."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = aiter(self._stream)
        try:
            async for chunk in stream:
                yield chunk
        except Exception as exc:
            if (error := self._translated(exc)) is None:
                raise
            raise error from exc
        finally:
            # Who stops early has no turn of the loop to wait for the garbage collector.
            if (aclose := getattr(stream, "aclose", None)) is not None:
                await aclose()

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._stream.aclose()


GUARDS: dict[str, type[Guard]] = {
    "SyncByteStream": SyncGuard,
    "AsyncByteStream": AsyncGuard,
}


@functools.cache
def guard_of(base: type) -> type[Guard]:
    """Return a guard that the client whose class *base* is takes for one of its own."""
    guard: type[Guard] = type("Guard", (GUARDS[base.__name__], base), {})
    return guard


@functools.cache
def incomplete_like(kind: type) -> type[ResponseIncompleteError]:
    """Return our error as one that an `except` for *kind* of the client catches too."""
    base = ResponseIncompleteError
    return type(base.__name__, (base, kind), {"__module__": base.__module__})


def guard_body(response: Any, place: Place) -> None:
    """Let the body of *response* fail by an error of ours, if it breaks off."""
    stream = getattr(response, "stream", None)
    for base in type(stream).__mro__:
        if base.__name__ in GUARDS:
            guard = guard_of(base)
            response.stream = guard(stream, place, response.status_code)
            return
