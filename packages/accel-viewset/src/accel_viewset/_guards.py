"""What stands before and around the endpoints of a view set."""

import inspect
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import Depends, Request, Response

from accel_viewset._errors import PermissionRefused

T = TypeVar("T")


class Guards:
    """The dependencies of a view set, by action, and its permissions on rows."""

    def __init__(self, view: Any) -> None:
        self._view = view

    def of(self, action: str) -> list[Any]:
        """Return the dependencies of *action*: who, how often, and whether at all."""
        view = self._view
        found = list(view.action_dependencies.get(action, ()))
        if view._parents:  # noqa: SLF001  # a part of the view set
            found.append(Depends(view._parents.parameters()))  # noqa: SLF001
        # Before the permissions, which may ask the database.
        if view.throttle is not None:
            found.append(Depends(self._throttled))
        if view.permissions:
            found.append(Depends(self._permitted(action)))
        return found

    async def _throttled(self, request: Request, response: Response) -> None:
        view = self._view
        await view.throttle.check(request, response, f"{type(view).__name__}")

    def _permitted(self, action: str) -> Any:
        async def permitted(request: Request) -> None:
            await self._ask("has_permission", request, action)

        return permitted

    async def check_row(self, request: Request, action: str, row: Any) -> None:
        """Raise unless every permission agrees that *row* may be touched."""
        await self._ask("has_object_permission", request, action, row)

    async def _ask(
        self, question: str, request: Request, action: str, *row: Any
    ) -> None:
        for permission in self._view.permissions:
            ask = getattr(permission, question, None)
            # An object with one of the methods is a permission, too.
            if ask is None:
                continue
            if not await resolved(ask(request, self._view, action, *row)):
                message = getattr(permission, "message", "You may not do this.")
                raise PermissionRefused(message)


async def resolved(value: T | Awaitable[T]) -> T:
    """Return *value*, awaited if a function turned out to be async."""
    if inspect.isawaitable(value):
        return await value
    return value
