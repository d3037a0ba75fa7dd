"""What every request of the panel passes."""

import hmac
from typing import TYPE_CHECKING, Any

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

from accel_admin._headers import add_headers
from accel_admin._login import BLUEPRINT, is_inside

if TYPE_CHECKING:
    from accel_admin._panel import Panel

_SAFE = {"GET", "HEAD", "OPTIONS"}
# Bytes that somebody may send who is not logged in.
_LARGEST_LOGIN = 1024 * 1024
_OPEN = {
    f"{BLUEPRINT}.{name}" for name in ("login", "logout", "short_login", "short_logout")
}


class Guard:
    """Lets nobody in who is not logged in, and no form that is not ours."""

    def __init__(self, panel: "Panel", app: Flask) -> None:
        self._panel = panel
        app.before_request(self._before)
        app.after_request(self._after)
        app.context_processor(self._context)

    def _before(self) -> Any:
        if not self._panel.owns_request() or self._is_asset():
            return None
        if getattr(session, "unavailable", False):
            abort(503, "The store of sessions cannot be reached.")
        if self._panel.current_account is None:
            if request.endpoint not in _OPEN:
                return self._to_login()
            # To look for the token is to read the form, and files fill the disk.
            request.max_content_length = _LARGEST_LOGIN
        if request.method not in _SAFE:
            self._check_origin()
        self._check_return_address()
        return None

    def _is_asset(self) -> bool:
        return (request.endpoint or "").endswith(".static")

    def _check_origin(self) -> None:
        # Browsers tell where a form was; a token that leaked is then no use elsewhere.
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            abort(403, "This form was sent from another site.")
        given = request.form.get("csrf_token") or request.headers.get("X-CSRFToken", "")
        expected = self._panel.csrf_token()
        if not hmac.compare_digest(given.encode(), expected.encode()):
            abort(403, "This form is outdated. Go back, reload it, and try again.")

    def _check_return_address(self) -> None:
        target = request.values.get("url")
        if target and not is_inside(target, url_for(f"{self._panel.endpoint}.index")):
            abort(400, "The return address is outside of the panel.")

    def _to_login(self) -> Any:
        if request.headers.get("X-Requested-With"):
            abort(401)
        wanted = None
        if request.method == "GET":
            wanted = request.script_root + request.full_path.rstrip("?")
        return redirect(url_for(f"{BLUEPRINT}.login", next=wanted), 303)

    def _after(self, response: Response) -> Response:
        if not self._panel.owns_request():
            return response
        return add_headers(response, cacheable=self._is_asset())

    def _context(self) -> dict[str, Any]:
        if not has_request_context() or not self._panel.owns_request():
            return {}
        account = self._panel.current_account
        return {"csrf_token": self._panel.csrf_token, "admin_account": account}
