"""Steps on a store: written once as generators, driven with and without await."""

import inspect
from collections.abc import Generator
from typing import TypeAlias, TypeVar

from accel_integration._scripts import Answer, Script
from accel_integration._stores import Store, StoreDownError

__all__ = ["Steps", "drive", "drive_async"]

T = TypeVar("T")

Step: TypeAlias = tuple[Script, tuple[float | str, ...]]
Steps: TypeAlias = Generator[Step, Answer, T]


def drive(store: Store, name: str, steps: Steps[T]) -> T:
    """Take *steps* on the entity called *name*; return what they come to."""
    try:
        script, arguments = next(steps)
        while True:
            try:
                answer = store.run(script, name, *arguments)
            except StoreDownError as exc:
                script, arguments = steps.throw(exc)
            else:
                assert not inspect.isawaitable(answer)  # noqa: S101 - checked when woven
                script, arguments = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def drive_async(store: Store, name: str, steps: Steps[T]) -> T:
    """Take *steps* on the entity called *name*; return what they come to."""
    try:
        script, arguments = next(steps)
        while True:
            try:
                answer = store.run(script, name, *arguments)
                if inspect.isawaitable(answer):
                    answer = await answer
            except StoreDownError as exc:
                script, arguments = steps.throw(exc)
            else:
                script, arguments = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        # A cancellation arrives here: the steps are to hear of it now, not whenever
        # they are collected.
        steps.close()
