"""The session of a request, from the database of its application."""

from starlette.requests import HTTPConnection

from accel_db import MainDatabaseManager, OrmAsync
from accel_viewset._errors import MissingManager

# A dependency sees the request only, so its view set leaves its database there.
MANAGER = "accel_viewset.manager"


def manager_of(connection: HTTPConnection) -> MainDatabaseManager:
    """Return the manager of the view set that answers, or that of the application."""
    found = connection.scope.get(MANAGER)
    if found is None:
        found = getattr(connection.app.state, "DATABASE_MANAGER", None)
    if found is None:
        raise MissingManager
    manager: MainDatabaseManager = found
    return manager


class AppOrm:
    """Provides the `OrmAsync` of the application, which need not exist at import."""

    @classmethod
    async def aget_orm(cls, request: HTTPConnection) -> OrmAsync:
        """Return an `OrmAsync` on `app.state.DATABASE_MANAGER`, for `Depends`.

        It is closed together with the request. Inside a view set that names its own
        `database_manager` it is on that one.
        """
        return await manager_of(request).orm_of(request)
