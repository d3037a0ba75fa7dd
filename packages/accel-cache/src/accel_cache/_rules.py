"""What a response says about storing it: RFC 9111 for a shared cache."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from accel_cache._asgi import Message
from accel_cache._entry import Draft
from accel_cache._http import (
    RawHeaders,
    delta_seconds,
    directives,
    header_values,
    new_etag,
    stored_headers,
    variant,
    vary_names,
)

_UNDERSTOOD = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})

# How long an expired response is worth validating.
_KEEP = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Rules:
    """For how long a response may be stored, and for whom."""

    ttl: float
    stale: float
    stale_if_error: float
    age: float
    vary: dict[str, str]

    @classmethod
    def of(
        cls, scope: MutableMapping[str, Any], start: Message, now: float
    ) -> "Rules | None":
        """Read the rules from a response; `None` if it must not be stored."""
        headers = tuple((n.lower(), v) for n, v in start["headers"])
        control = directives(header_values(headers, b"cache-control"))
        names = vary_names(headers)
        if scope["method"] != "GET" or start["status"] not in _UNDERSTOOD:
            return None
        if {"no-store", "private"} & set(control) or "*" in names:
            return None
        if header_values(headers, b"set-cookie"):
            return None
        if has_credentials(scope["headers"]) and not is_public(headers):
            return None
        ttl = _lifetime(headers, control, now)
        if ttl is None:
            return None
        # `s-maxage` forbids a shared cache to serve what is stale (RFC 9111, 5.2.2.10).
        strict = bool(
            {"must-revalidate", "proxy-revalidate", "s-maxage"} & set(control)
        )
        return cls(
            ttl=0.0 if "no-cache" in control else ttl,
            stale=_grace(control, "stale-while-revalidate", strict=strict),
            stale_if_error=_grace(control, "stale-if-error", strict=strict),
            age=float(_number(header_values(headers, b"age"))),
            vary=variant(names, scope["headers"]),
        )

    def draft(self, body: bytes, start: Message) -> Draft:
        """Return a response under these rules."""
        headers = stored_headers(start["headers"])
        validators = header_values(headers, b"etag") + header_values(
            headers, b"last-modified"
        )
        etag = header_values(headers, b"etag")
        # A validator of our own makes a 304 possible where the application has none.
        if not validators and start["status"] == 200:  # noqa: PLR2004 - only these have a body to compare
            etag = [new_etag(body).encode()]
            headers = (*headers, (b"etag", etag[0]))
        return Draft(
            body=body,
            kind="http",
            status=start["status"],
            headers=headers,
            etag=etag[0].decode("latin-1") if etag else "",
            vary=self.vary,
            ttl=self.ttl,
            stale=self.stale,
            stale_if_error=self.stale_if_error,
            keep=_KEEP if validators else 0.0,
            age=self.age,
            storable=self.ttl > self.age or bool(validators) or self.stale > 0,
        )


def _lifetime(headers: RawHeaders, control: dict[str, str], now: float) -> float | None:
    for name in ("s-maxage", "max-age"):
        if (found := delta_seconds(control, name)) is not None:
            return float(found)
    expires = header_values(headers, b"expires")
    if not expires:
        # `no-cache` alone may be stored, to be validated before each use.
        return 0.0 if "no-cache" in control else None
    date = header_values(headers, b"date")
    start = timestamp(date[0]) if date else now
    end = timestamp(expires[0]) if len(expires) == 1 else None
    # An invalid date means: already expired (RFC 9111, 5.3).
    return max(end - start, 0.0) if end is not None and start is not None else 0.0


def timestamp(value: bytes) -> float | None:
    """Return a date of HTTP in seconds since the epoch; `None` if it is none."""
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _grace(control: dict[str, str], name: str, *, strict: bool) -> float:
    return 0.0 if strict else float(delta_seconds(control, name) or 0)


def _number(values: list[bytes]) -> int:
    return int(values[0]) if values and values[0].isdigit() else 0


def has_credentials(headers: RawHeaders) -> bool:
    """Tell whether a request may be a user's own."""
    return any(name in {b"authorization", b"cookie"} for name, _ in headers)


def is_public(headers: RawHeaders) -> bool:
    """Tell whether a response to credentials is for everybody (RFC 9111, 3.5)."""
    control = directives(header_values(headers, b"cache-control"))
    return "public" in control or "s-maxage" in control
