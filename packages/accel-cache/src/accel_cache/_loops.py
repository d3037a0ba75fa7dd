"""What belongs to an event loop, and goes with it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, ref

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One value for each event loop, made by the first who asks in it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = (
            WeakKeyDictionary()
        )
        self._latest: tuple[ref[asyncio.AbstractEventLoop], T] | None = None
        # Loops of several threads may meet here.
        self._lock = threading.Lock()

    def get(self) -> T:
        """Return the value of the running loop."""
        loop = asyncio.get_running_loop()
        # Nearly always there is one loop, and asking a weak dictionary is slow.
        if (latest := self._latest) is not None and latest[0]() is loop:
            return latest[1]
        with self._lock:
            if (value := self._values.get(loop)) is None:
                # A value may refer to its loop, so closed ones are let go by hand.
                for other in [known for known in self._values if known.is_closed()]:
                    del self._values[other]
                value = self._values[loop] = self._make()
            self._latest = (ref(loop), value)
        return value

    def pop(self) -> T | None:
        """Forget and return the value of the running loop, if it has one."""
        with self._lock:
            self._latest = None
            return self._values.pop(asyncio.get_running_loop(), None)
