"""The rules of HTTP that a cache keeps: RFC 9110, RFC 9111 and RFC 9211."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from accel_cache._engine import Outcome
from accel_cache._entry import Entry

RawHeaders = tuple[tuple[bytes, bytes], ...]

# A part (206) is never stored; of what is no success, only permanent redirects.
STORABLE = (frozenset(range(200, 300)) - {206}) | {301, 308}
NEGATIVE = frozenset({404, 410})
IDENTITY_HEADERS = ("authorization", "cookie")

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Python reads no number of thousands of digits.
_MANY_DIGITS = 1000
_OURS = frozenset({b"age", b"content-length", b"x-cache", b"cache-status"})


def header_values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the values of every line of the header *name* (lower case)."""
    return [value for key, value in headers if key.lower() == name]


def directives(values: Iterable[bytes]) -> dict[str, str]:
    """Parse `Cache-Control`; quoted strings may hold commas (RFC 9111, 5.2)."""
    found: dict[str, str] = {}
    for part in _split(b",".join(values).decode("latin-1")):
        name, _, value = part.partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def _split(text: str) -> list[str]:
    parts, quoted, start = [], False, 0
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def delta_seconds(found: Mapping[str, str], name: str) -> int | None:
    """Return a directive's seconds; an invalid number counts as 0, which is safe."""
    if (value := found.get(name)) is None:
        return None
    if not (value.isascii() and value.isdigit()):
        return 0
    # RFC 9111, 1.2.2: what is too large to represent counts as 2**31.
    return min(int(value), 2**31) if len(value) < _MANY_DIGITS else 2**31


def stored_headers(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """Return the headers that may be stored (RFC 9111, 3.1)."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {
        item.strip().lower()
        for value in header_values(pairs, b"connection")
        for item in value.split(b",")
    }
    dropped = _HOP_BY_HOP | _OURS | named
    return tuple((name, value) for name, value in pairs if name not in dropped)


def new_etag(body: bytes) -> str:
    """Return a strong validator: equal bytes, equal tag."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def is_not_modified(etag: str, if_none_match: Sequence[bytes]) -> bool:
    """Compare weakly, as `If-None-Match` demands (RFC 9110, 13.1.2)."""
    if not etag or not if_none_match:
        return False
    text = b",".join(if_none_match).decode("latin-1")
    wanted = {tag.strip().removeprefix("W/") for tag in _split(text)}
    return "*" in wanted or etag.removeprefix("W/") in wanted


def vary_names(headers: Iterable[tuple[bytes, bytes]]) -> set[str]:
    """Return the header names that a response varies on, in lower case."""
    return {
        name.strip().lower().decode("latin-1")
        for value in header_values(headers, b"vary")
        for name in value.split(b",")
        if name.strip()
    }


def variant(
    names: Iterable[str], headers: Iterable[tuple[bytes, bytes]]
) -> dict[str, str]:
    """Return a digest of each request header that chooses a variant."""
    pairs = tuple(headers)
    return {
        name: hashlib.blake2b(
            b"\0".join(header_values(pairs, name.encode("latin-1"))), digest_size=12
        ).hexdigest()
        for name in sorted(names)
    }


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the response's `Cache-Control` allows a shared cache to do."""

    storable: bool
    ttl: float | None


def sharing(headers: Iterable[tuple[bytes, bytes]], *, partitioned: bool) -> Sharing:
    """Read the endpoint's own `Cache-Control`: it may forbid or shorten storing."""
    pairs = tuple(headers)
    found = directives(header_values(pairs, b"cache-control"))
    forbidden = "no-store" in found or "no-cache" in found
    # In a partition of its own the answer is stored for nobody else.
    if "private" in found and not partitioned:
        forbidden = True
    # A cookie is for one client, `*` varies on what no request shows.
    if header_values(pairs, b"set-cookie") or "*" in vary_names(pairs):
        forbidden = True
    ttl = delta_seconds(found, "s-maxage")
    if ttl is None:
        ttl = delta_seconds(found, "max-age")
    # Stored and dead at once: every look-up would be for nothing.
    if ttl == 0:
        forbidden = True
    return Sharing(not forbidden, None if ttl is None else float(ttl))


def status_line(outcome: Outcome, now: float) -> bytes:
    """Return `Cache-Status` (RFC 9211)."""
    parts = ["accel"]
    if outcome.state in {"HIT", "STALE"} and outcome.entry is not None:
        parts += ["hit", f"ttl={int(outcome.entry.fresh_until - now)}"]
        if outcome.why:
            parts.append(f"detail={outcome.why}")
    elif outcome.state == "BYPASS":
        parts.append("fwd=bypass")
        if outcome.why:
            parts.append(f"detail={outcome.why}")
    else:
        parts.append(f"fwd={outcome.why or 'uri-miss'}")
        if outcome.stored:
            parts.append("stored")
    if outcome.collapsed:
        parts.append("collapsed")
    return "; ".join(parts).encode("latin-1")


def freshness(
    entry: Entry, now: float, *, private: bool, revalidate: bool
) -> list[tuple[bytes, bytes]]:
    """Return `Cache-Control` and `Age` for an entry.

    What can be invalidated is `no-cache`: a browser asks again and gets a 304,
    for nobody can take an answer back from it.
    """
    life = max(int(entry.fresh_until - entry.created), 0)
    age = max(int(now - entry.created), 0)
    control = "no-cache" if revalidate else f"max-age={life}"
    if private:
        control = f"private, {control}"
    return [
        (b"cache-control", control.encode()),
        (b"age", b"%d" % age),
    ]
