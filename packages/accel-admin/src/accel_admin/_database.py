"""The session of a request."""

from collections.abc import Callable
from typing import Any, Protocol

from flask import g
from sqlalchemy.orm import Session, scoped_session


class DatabaseManager(Protocol):
    """What the panel needs of a manager of accel-db."""

    @property
    def session(self) -> Any:
        """Return the factory of sessions."""
        ...

    def on_change(self, callback: Callable[[Any], object], /) -> Callable[[], None]:
        """Call *callback* after each commit that wrote something."""
        ...


class RequestSession(scoped_session[Session]):
    """One session per request, closed at its end; threads never share one."""

    def __init__(self, manager: DatabaseManager) -> None:
        # The attribute is read late: tests may replace the factory.
        def factory() -> Session:
            session: Session = manager.session()
            return session

        super().__init__(factory, scopefunc=_scope)  # type: ignore[arg-type]  # any callable will do

    @property
    def session(self) -> "RequestSession":
        """Return the session itself: Flask-Admin looks for it here."""
        return self


def _scope() -> object:
    # `g` lives as long as the application context does.
    return g.setdefault("accel_admin_scope", object())
