"""Headers that keep a page to itself."""

from flask import Response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # A page of another site must not even load ours as an image or a script.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex",
}


def add_headers(response: Response, *, cacheable: bool = False) -> Response:
    """Add the headers; a page is not kept anywhere unless it is *cacheable*."""
    response.headers.update(_HEADERS)
    if not cacheable:
        response.headers["Cache-Control"] = "no-store"
    return response
