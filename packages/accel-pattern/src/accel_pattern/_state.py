"""What an application knows about itself, under the seed's names.

A setting lives in `app.state`, never in the process: two applications are strangers.
`TIMEZONE(request.app)` answers for that application. `TIMEZONE()` answers for the
application whose request is being served, and `False` outside of a request, so that
`TIMEZONE() or TIMEZONE(request.app)` is right everywhere.
"""

from contextvars import ContextVar
from datetime import tzinfo
from typing import Any, Literal, overload

from fastapi import FastAPI

from accel_db import MainDatabaseManager
from accel_pattern._errors import MissingStateError

current_app: ContextVar[FastAPI | None] = ContextVar("accel_app", default=None)


def _state(app: FastAPI | None, name: str) -> Any:
    app = app or current_app.get()
    if app is None:
        return False
    try:
        return getattr(app.state, name)
    except AttributeError:
        # Not `False`: a misspelled setting would pass for one that is off.
        raise MissingStateError(name) from None


def DEBUG(app: FastAPI | None = None) -> bool:
    """Return whether *app* runs in debug mode."""
    app = app or current_app.get()
    return app is not None and app.debug


def CACHE_STATUS(app: FastAPI | None = None) -> bool:
    """Return whether *app* caches responses."""
    return bool(_state(app, "CACHE_STATUS"))


@overload
def DATABASE_MANAGER(app: FastAPI) -> MainDatabaseManager: ...
@overload
def DATABASE_MANAGER(app: None = None) -> MainDatabaseManager | Literal[False]: ...
def DATABASE_MANAGER(
    app: FastAPI | None = None,
) -> MainDatabaseManager | Literal[False]:
    """Return the database manager of *app*."""
    manager: MainDatabaseManager | Literal[False] = _state(app, "DATABASE_MANAGER")
    return manager


def AUTH_JWT(app: FastAPI | None = None) -> Any:
    """Return the authentication that was mounted on *app*."""
    return _state(app, "auth_jwt")


@overload
def TIMEZONE(app: FastAPI) -> tzinfo: ...
@overload
def TIMEZONE(app: None = None) -> tzinfo | Literal[False]: ...
def TIMEZONE(app: FastAPI | None = None) -> tzinfo | Literal[False]:
    """Return the time zone of *app*."""
    timezone: tzinfo | Literal[False] = _state(app, "TIMEZONE")
    return timezone
