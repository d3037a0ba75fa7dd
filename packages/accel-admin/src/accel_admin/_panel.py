"""The admin panel."""

from collections.abc import Iterable, Sequence
from typing import Any

from flask import (
    Flask,
    Response,
    abort,
    has_request_context,
    redirect,
    request,
    session,
    url_for,
)
from flask_admin import Admin
from flask_admin.theme import Bootstrap4Theme

from accel_admin._accounts import Account, Accounts
from accel_admin._audit import Audit
from accel_admin._database import DatabaseManager, RequestSession
from accel_admin._errors import WeakSecretKey
from accel_admin._headers import add_headers
from accel_admin._home import HomeView
from accel_admin._login import BLUEPRINT, is_inside, login_blueprint
from accel_admin._sessions import ServerSessions
from accel_admin._stores import store_for
from accel_admin._throttle import LoginThrottle
from accel_admin._views import ModelView

_MIN_SECRET_KEY = 16
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN = {f"{BLUEPRINT}.{name}" for name in ("login", "short_login", "static")}


class Panel(Admin):  # type: ignore[misc]  # Flask-Admin is not typed
    """Flask-Admin behind a login."""

    def __init__(  # noqa: PLR0913  # all that a panel is made of
        self,
        app: Flask,
        secret_key: str,
        accounts: Iterable[Account],
        database_manager: DatabaseManager,
        *,
        url: str,
        name: str,
        debug: bool,
        store: Any,
    ) -> None:
        if len(secret_key) < _MIN_SECRET_KEY and not debug:
            raise WeakSecretKey(len(secret_key), _MIN_SECRET_KEY)
        kept = store_for(store)
        self.accounts = Accounts(accounts, secret_key, debug=debug)
        self.audit = Audit()
        self.throttle = LoginThrottle(kept)
        self.database = RequestSession(database_manager)
        self._sessions = ServerSessions(kept, secret_key, idle=1800, lifetime=43_200)
        self.name, self.url, self.endpoint = name, url, "admin"
        app.secret_key = secret_key
        app.session_interface = self._sessions
        app.config.setdefault("SESSION_COOKIE_NAME", "session")
        # Registered first, so that its templates replace those of Flask-Admin.
        app.register_blueprint(login_blueprint(self))
        app.before_request(self._guard)
        app.after_request(self._after)
        app.teardown_appcontext(self._end)
        app.context_processor(self._context)
        super().__init__(
            app,
            name=name,
            url=url,
            endpoint="admin",
            index_view=HomeView(url=url, endpoint="admin"),
            theme=Bootstrap4Theme(fluid=True),
        )

    @property
    def current_account(self) -> Account | None:
        """Return who is logged in."""
        return self.accounts.get(
            session.get("admin_user", ""), session.get("admin_stamp", "")
        )

    def start_session(self, account: Account) -> None:
        """Log *account* in, under a new session."""
        session.restart()  # type: ignore[attr-defined]  # our own session
        session["admin_user"] = account.username
        session["admin_stamp"] = self.accounts.fingerprint(account.username)

    def csrf_token(self) -> str:
        """Return what every form of this session must carry."""
        return self._sessions.csrf_token(session)  # type: ignore[arg-type]  # our own

    def _owns(self) -> bool:
        names = {BLUEPRINT, *(view.endpoint for view in self._views)}
        return request.blueprint in names

    def _guard(self) -> Any:
        if not self._owns() or (request.endpoint or "").endswith(".static"):
            return None
        if request.method not in _SAFE:
            self._check_csrf()
        target = request.values.get("url")
        if target and not is_inside(target, url_for("admin.index")):
            abort(400, "The return address is outside of the panel.")
        if request.endpoint in _OPEN or self.current_account is not None:
            return None
        if request.headers.get("X-Requested-With"):
            abort(401)
        wanted = request.full_path.rstrip("?") if request.method == "GET" else None
        wanted = request.script_root + wanted if wanted else None
        return redirect(url_for(f"{BLUEPRINT}.login", next=wanted), 303)

    def _check_csrf(self) -> None:
        import hmac

        given = request.form.get("csrf_token") or request.headers.get("X-CSRFToken", "")
        expected = self.csrf_token()
        if not hmac.compare_digest(given.encode(), expected.encode()):
            abort(400, "This form is outdated. Go back, reload the page, try again.")

    def _after(self, response: Response) -> Response:
        return add_headers(response) if self._owns() else response

    def _end(self, _exc: BaseException | None) -> None:
        self.database.remove()

    def _context(self) -> dict[str, Any]:
        if not has_request_context() or not self._owns():
            return {}
        return {"csrf_token": self.csrf_token, "admin_account": self.current_account}


def admin_pattern(  # noqa: PLR0913, PLR0917  # the seed's call, and options of their own
    app: Flask,
    SECRET_KEY: str,  # noqa: N803  # the names of the seed
    ADMIN_PASSWORD: str,  # noqa: N803
    ADMIN_USERNAME: str,  # noqa: N803
    models: Sequence[type[Any]],
    database_manager: DatabaseManager,
    *,
    path: str = "/admin",
    name: str = "Admin",
    debug: bool | None = None,
    store: Any = None,
) -> Panel:
    """Add a panel for *models* to a Flask app."""
    panel = Panel(
        app,
        SECRET_KEY,
        [Account(ADMIN_USERNAME, ADMIN_PASSWORD)],
        database_manager,
        url=path,
        name=name,
        debug=app.debug if debug is None else debug,
        store=store,
    )
    for model in models:
        panel.add_view(ModelView(model, panel.database))
    return panel
