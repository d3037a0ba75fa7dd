"""Logging in and out."""

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flask import (
    Blueprint,
    Response,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)

from accel_admin._accounts import MAX_PASSWORD
from accel_admin._problems import show_problems

if TYPE_CHECKING:
    from accel_admin._panel import Panel

BLUEPRINT = "accel_admin"


def login_blueprint(panel: "Panel") -> Blueprint:
    """Return the pages that need no login, and the assets of all pages."""
    blueprint = Blueprint(
        BLUEPRINT,
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path=f"{panel.url}/assets",
    )
    login, logout = _Login(panel), _Logout(panel)
    methods = ["GET", "POST"]
    blueprint.add_url_rule(f"{panel.url}/login", "login", login, methods=methods)
    blueprint.add_url_rule(f"{panel.url}/logout", "logout", logout, methods=methods)
    blueprint.add_url_rule("/login", "short_login", login, methods=["GET", "POST"])
    blueprint.add_url_rule("/logout", "short_logout", logout, methods=["GET", "POST"])
    show_problems(blueprint, panel.name, f"{panel.endpoint}.index")
    return blueprint


class _Login:
    def __init__(self, panel: "Panel") -> None:
        self._panel = panel

    def __call__(self) -> Response:
        # HEAD and OPTIONS come without a token, and must not count as a failed login.
        if request.method == "POST":
            return self._log_in()
        if self._panel.current_account is not None:
            return _see(self._target())
        if request.endpoint == f"{BLUEPRINT}.short_login":
            return _see(url_for(f"{BLUEPRINT}.login", next=request.args.get("next")))
        return self._page()

    def _log_in(self) -> Response:
        username = request.form.get("username", "")
        password = request.form.get("password", "")
        if len(username) > MAX_PASSWORD or len(password) > MAX_PASSWORD:
            return self._page("That name or password is too long.", 422)
        address = request.remote_addr or ""
        throttle = self._panel.throttle
        if (wait := throttle.wait(username, address)) > 0:
            return self._refuse(wait)
        with self._panel.accounts.checks:
            # Of a hundred logins at once, each must know of the failures before it.
            if (wait := throttle.wait(username, address)) > 0:
                return self._refuse(wait)
            account = self._panel.accounts.verify(username, password)
            if account is None:
                throttle.failed(username, address)
        if account is None:
            self._panel.audit.login_failed(username)
            return self._page("That name and password do not match.", 401)
        throttle.succeeded(username, address)
        self._panel.start_session(account)
        self._panel.audit.logged_in(account.username)
        return _see(self._target())

    def _refuse(self, wait: float) -> Response:
        response = self._page("Too many failed logins. Try again later.", 429)
        response.headers["Retry-After"] = str(round(wait + 0.5))
        return response

    def _page(self, error: str = "", status: int = 200) -> Response:
        html = render_template(
            "accel_admin/login.html",
            error=error,
            action=url_for(f"{BLUEPRINT}.login"),
            next=request.values.get("next", ""),
            title=self._panel.name,
        )
        return make_response(html, status)

    def _target(self) -> str:
        home = url_for(f"{self._panel.endpoint}.index")
        target = request.values.get("next", "")
        return target if is_inside(target, home) else home


class _Logout:
    def __init__(self, panel: "Panel") -> None:
        self._panel = panel

    def __call__(self) -> Response:
        if (account := self._panel.current_account) is None:
            return _see(url_for(f"{BLUEPRINT}.login"))
        if request.method != "POST":
            # A link or an image on another page must not log anybody out.
            html = render_template(
                "accel_admin/logout.html",
                action=url_for(f"{BLUEPRINT}.logout"),
                title=self._panel.name,
            )
            return make_response(html)
        session.restart()  # type: ignore[attr-defined]  # our own session
        self._panel.audit.logged_out(account.username)
        return _see(url_for(f"{BLUEPRINT}.login"))


def is_inside(target: str, home: str) -> bool:
    """Tell whether *target* is a path below *home*, as every browser reads it."""
    # Browsers read a backslash as a slash, and skip tabs and line breaks.
    if "\\" in target or not target.isprintable() or target.startswith("//"):
        return False
    try:
        parts = urlsplit(target)
    except ValueError:
        return False
    # `%2e%2e` leads a browser upwards as `..` does.
    if parts.scheme or parts.netloc or ".." in unquote(parts.path).split("/"):
        return False
    return f"{parts.path}/".startswith(home)


def _see(target: str) -> Response:
    return make_response(redirect(target, 303))
