"""Things that are done, and may be awaited nevertheless."""

from collections.abc import Awaitable, Generator, Sequence
from typing import Any

__all__ = ["DONE", "all_of"]


class Done:
    """What is awaited without waiting."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE: Awaitable[None] = Done()


def all_of(actions: Sequence[Awaitable[None]]) -> Awaitable[None]:
    """Return one awaitable for *actions*, which is done if all of them are."""
    pending = [action for action in actions if action is not DONE]
    return _await_all(pending) if pending else DONE


async def _await_all(actions: Sequence[Awaitable[None]]) -> None:
    for action in actions:
        await action
