"""Tokens in cookies, with a proof against cross-site requests."""

import hmac
from dataclasses import dataclass
from typing import Literal

from fastapi import Response
from fastapi.requests import HTTPConnection

from accel_auth._claims import Claims
from accel_auth._errors import CsrfError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


@dataclass(frozen=True, kw_only=True)
class CookieTransport:
    """Keeps tokens in HttpOnly cookies, where no script reads them.

    Each token carries a random `csrf` claim. A page proves that it belongs to the site
    by sending that value, from a cookie that only the site's scripts can read, in a
    header: a signed double submit, bound to the session (OWASP). The prefixes `__Host-`
    and `__Secure-` keep sibling domains from planting cookies.

    With *secure* off, the prefixes fall away: for development over plain HTTP only.
    """

    secure: bool = True
    samesite: Literal["lax", "strict"] = "lax"
    header: str = "X-CSRF-Token"

    @property
    def access(self) -> str:
        """Return the name of the cookie with the access token."""
        return "__Host-access_token" if self.secure else "access_token"

    @property
    def refresh(self) -> str:
        """Return the name of the cookie with the refresh token."""
        # A `__Host-` cookie must have the path `/` (RFC 6265bis, section 4.1.3.2), but
        # this one shall travel to `/token` alone.
        return "__Secure-refresh_token" if self.secure else "refresh_token"

    @property
    def csrf(self) -> str:
        """Return the name of the cookie with the proof, readable by scripts."""
        return "__Host-csrf_token" if self.secure else "csrf_token"

    def write(
        self,
        response: Response,
        tokens: tuple[str, str, str],
        *,
        path: str,
        max_age: int,
    ) -> None:
        """Set the access token, the refresh token (below *path*) and the proof."""
        # All live as long as the session: an access token that expired is answered with
        # "refresh it", one that is gone with "not authenticated".
        access, refresh, csrf = tokens
        for name, value, where, hidden in (
            (self.access, access, "/", True),
            (self.refresh, refresh, path, True),
            (self.csrf, csrf, "/", False),
        ):
            response.set_cookie(
                name,
                value,
                max_age=max_age,
                path=where,
                secure=self.secure,
                httponly=hidden,
                samesite=self.samesite,
            )

    def clear(self, response: Response, *, path: str) -> None:
        """Delete all three."""
        for name, where in ((self.access, "/"), (self.refresh, path), (self.csrf, "/")):
            response.delete_cookie(
                name, path=where, secure=self.secure, samesite=self.samesite
            )

    def check(self, conn: HTTPConnection, claims: Claims) -> None:
        """Refuse an unsafe request without the proof that belongs to the token.

        Raises:
            CsrfError: if the header is missing, or is not the token's.
        """
        # A WebSocket has no method: any site's page may open one, without our header.
        if conn.scope.get("method") in _SAFE_METHODS:
            return
        # As bytes: `compare_digest` takes no text beyond ASCII, and a header may hold it.
        sent = conn.headers.get(self.header, "").encode("utf-8", "surrogateescape")
        expected = str(claims.get("csrf", "")).encode()
        if not expected or not hmac.compare_digest(sent, expected):
            raise CsrfError(self.header, self.csrf)

    def check_login(self, conn: HTTPConnection) -> None:
        """Refuse what sets or clears the cookies, if another site's page sent it.

        A login would plant that page's session, and a logout would end the visitor's.

        Raises:
            CsrfError: if the browser says that the request crosses sites.
        """
        # No current browser posts without either header; a script has no cookies of a
        # visitor to abuse.
        site = conn.headers.get("sec-fetch-site", "none")
        origin = conn.headers.get("origin")
        host = conn.headers.get("host", "")
        foreign = origin is not None and origin.partition("://")[2] != host
        if site == "cross-site" or (foreign and site == "none"):
            raise CsrfError(self.header, self.csrf)
