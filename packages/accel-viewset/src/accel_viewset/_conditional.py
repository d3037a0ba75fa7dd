"""Conditional requests (RFC 9110, section 13)."""

import hashlib
from collections.abc import Iterator

from fastapi import Request, Response

from accel_viewset._errors import PreconditionFailed, PreconditionRequired


def etag_of(body: bytes) -> str:
    """Return a strong validator: equal bytes, equal tag."""
    # 96 bits rule out an accident, and nobody gains from a collision of their own.
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def not_modified(request: Request, response: Response) -> Response:
    """Return 304 instead of *response* if the client has the same state already."""
    tag = response.headers.get("etag")
    wanted = _sent(request, "if-none-match")
    readable = request.method == "GET" and response.status_code == 200  # noqa: PLR2004  # RFC 9110, 13.2.2
    if not (readable and tag and wanted):
        return response
    # Here the comparison is weak, since nothing will be written.
    if wanted.strip() != "*" and tag.removeprefix("W/") not in _tags(wanted):
        return response
    short = Response(status_code=304, background=response.background)
    short.raw_headers = [
        (name, value)
        for name, value in response.raw_headers
        if name.decode("latin-1").lower() not in {"content-length", "content-type"}
    ]
    return short


def check_match(request: Request, current: bytes, *, required: bool) -> None:
    """Raise unless `If-Match` names the state whose representation is *current*.

    Raises:
        PreconditionRequired: there is no `If-Match`, but it is *required* (RFC 6585).
        PreconditionFailed: the row was changed since.
    """
    wanted = _sent(request, "if-match")
    if wanted is None:
        if required:
            raise PreconditionRequired
        return
    # The comparison is strong: a weak tag never matches.
    if wanted.strip() != "*" and etag_of(current) not in _strong_tags(wanted):
        raise PreconditionFailed


def _sent(request: Request, name: str) -> str | None:
    # Several lines are one list (RFC 9110, 5.3).
    lines = request.headers.getlist(name)
    return ",".join(lines) if lines else None


def _tags(header: str) -> set[str]:
    return {tag.removeprefix("W/") for tag in _listed(header)}


def _strong_tags(header: str) -> set[str]:
    return {tag for tag in _listed(header) if not tag.startswith("W/")}


def _listed(header: str) -> Iterator[str]:
    return (tag.strip() for tag in header.split(","))
