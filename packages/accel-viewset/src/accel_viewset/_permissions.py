"""Who may do what."""

from typing import Any, ClassVar

from fastapi import Request


class Permission:
    """Decides whether a request may do *action*; override what you need.

    *action* is `list`, `create`, `retrieve`, `update`, `partial_update`, `delete`,
    `bulk_create`, `bulk_update`, `bulk_delete`, or the name of an `@action` method.
    *view* is the view set. Either method may be a plain function, too.
    """

    message: ClassVar[str] = "You may not do this."
    """What a client reads when the answer is no."""

    async def has_permission(self, request: Request, view: Any, action: str) -> bool:
        """Tell whether *request* may try; it is asked before anything is read."""
        del request, view, action
        return True

    async def has_object_permission(
        self, request: Request, view: Any, action: str, row: Any
    ) -> bool:
        """Tell whether *request* may do it to *row*; a list is not asked row by row."""
        del request, view, action, row
        return True


def checks_rows(permission: Any) -> bool:
    """Tell whether *permission* wants to see the row."""
    method = getattr(type(permission), "has_object_permission", None)
    return method not in {None, Permission.has_object_permission}
