"""The admin panel."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app, has_request_context, request, session, url_for
from flask_admin import Admin
from flask_admin.theme import Bootstrap4Theme

from accel_admin._accounts import Account, Accounts
from accel_admin._audit import Audit, Subscriber
from accel_admin._database import DatabaseManager, RequestSession
from accel_admin._guard import Guard
from accel_admin._home import HomeView
from accel_admin._invalidation import Cache, Invalidation
from accel_admin._login import BLUEPRINT, login_blueprint
from accel_admin._permissions import Permissions, Roles
from accel_admin._sessions import ServerSessions
from accel_admin._stores import Store
from accel_admin._throttle import LoginThrottle
from accel_admin._views import ModelView

_USER, _STAMP = "admin_user", "admin_stamp"
# Pages of our own, which no model may take the address of.
_RESERVED = {"admin", "assets", "login", "logout", "static", BLUEPRINT}


class Panel(Admin):  # type: ignore[misc]  # Flask-Admin is not typed
    """Flask-Admin behind a login; made by `admin_pattern` or `mount_admin`.

    Everything of Flask-Admin works: `panel.add_view(...)`, `panel.add_link(...)`. A page
    that you add is behind the login, too.
    """

    def __init__(  # noqa: PLR0913  # the parts that a panel is made of
        self,
        app: Flask,
        *,
        name: str,
        url: str,
        accounts: Collection[Account],
        checked: Accounts,
        roles: Roles,
        sessions: ServerSessions,
        throttle: LoginThrottle,
        database_manager: DatabaseManager,
    ) -> None:
        self.name, self.url, self.endpoint = name, url, "admin"
        self.accounts = checked
        self.throttle = throttle
        self.audit = Audit()
        self.database = RequestSession(database_manager)
        self._permissions = Permissions(roles, accounts)
        self._sessions = sessions
        app.session_interface = sessions
        # Registered first, so that its templates replace those of Flask-Admin.
        app.register_blueprint(login_blueprint(self))
        app.teardown_appcontext(self._end)
        Guard(self, app)
        super().__init__(
            app,
            name=name,
            url=url,
            endpoint="admin",
            index_view=HomeView(url=url, endpoint="admin"),
            theme=Bootstrap4Theme(base_template="accel_admin/base.html", fluid=True),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} at {self.url}>"

    @property
    def store(self) -> Store:
        """Where its sessions live."""
        return self._sessions.store

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call *subscriber* with an `AuditEvent` for each login and each change.

        Returns:
            A function that ends the subscription.
        """
        return self.audit.subscribe(subscriber)

    # Models

    def add_models(
        self, models: Iterable[type[Any]], views: Mapping[type[Any], type[ModelView]]
    ) -> None:
        """Add pages for each of *models*."""
        for model in models:
            endpoint = self._endpoint_of(model)
            view = views.get(model, ModelView)
            self.add_view(view(model, self.database, endpoint=endpoint))

    def _endpoint_of(self, model: type[Any]) -> str:
        name = model.__name__.lower()
        taken = _RESERVED | {view.endpoint for view in self._views}
        while name in taken:
            name += "_"
        return name

    def url_of(self, row: Any) -> str | None:
        """Return the address of the page about *row*, if there is one to see."""
        view = self._view_of(type(row))
        if view is None or not view.may("read"):
            return None
        return url_for(f"{view.endpoint}.details_view", id=view.get_pk_value(row))

    def _view_of(self, model: type[Any]) -> Any:
        return next((v for v in self.model_views() if v.model is model), None)

    def model_views(self) -> list[ModelView]:
        """Return the views of models."""
        return [view for view in self._views if isinstance(view, ModelView)]

    # Accounts

    @property
    def current_account(self) -> Account | None:
        """Return who is logged in."""
        return self.accounts.get(session.get(_USER, ""), session.get(_STAMP, ""))

    def may(self, model: type[Any], action: str) -> bool:
        """Tell whether who is logged in may do *action* on rows of *model*."""
        return self._permissions.allow(self.current_account, model, action)

    def may_see(self, model: type[Any]) -> bool:
        """Tell whether who is logged in may read rows of *model* or of its bases."""
        classes = sa.inspect(model).iterate_to_root()
        return any(self.may(mapper.class_, "read") for mapper in classes)

    def start_session(self, account: Account) -> None:
        """Log *account* in, under a new session."""
        session.restart()  # type: ignore[attr-defined]  # a session of ours
        session[_USER] = account.username
        session[_STAMP] = self.accounts.fingerprint(account.username)

    def csrf_token(self) -> str:
        """Return what every form of this session must carry."""
        return self._sessions.csrf_token(session)  # type: ignore[arg-type]  # of ours

    # Requests

    def owns_request(self) -> bool:
        """Tell whether the request is for a page of the panel."""
        if not has_request_context() or current_app != self.app:
            return False
        return request.blueprint in {BLUEPRINT, *(v.endpoint for v in self._views)}

    def tell_changes(self, manager: DatabaseManager, cache: Cache) -> None:
        """Invalidate in *cache* what is written through the panel."""
        invalidate = Invalidation(cache)

        def on_change(change: Any) -> None:
            if self.owns_request():
                invalidate(change)

        manager.on_change(on_change)

    def _end(self, _exc: BaseException | None) -> None:
        self.database.remove()
