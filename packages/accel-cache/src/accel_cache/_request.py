"""What a request asks for, and for whom: the key of a cached response."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from accel_cache import _fastapi as met
from accel_cache._entry import Entry
from accel_cache._http import (
    IDENTITY_HEADERS,
    RawHeaders,
    directives,
    variant,
)
from accel_cache._keys import canonical_query, digest, made
from accel_cache._options import Options

Identity = tuple[object, ...]

# What is read whatever the route declares.
_ALWAYS = frozenset({b"cache-control", b"host", b"if-none-match", b"pragma"})

ANYBODY: Identity = ("auto", ())
EVERYBODY: Identity = ("public",)

# Strangers write paths, queries and hosts: only keys of short ones are remembered.
_LONGEST_REMEMBERED = 512


class Choice(NamedTuple):
    """What of the options decides which headers choose an answer."""

    vary: frozenset[str]
    scope: str

    @classmethod
    def of(cls, options: Options) -> "Choice":
        """Read it from the options of an endpoint."""
        scope = "named" if callable(options.scope) else options.scope
        return cls(frozenset(name.lower() for name in options.vary), scope)


class Selectors:
    """The request headers that choose an answer of one endpoint on one route.

    RFC 9111, 4.1 calls them the selecting header fields.
    """

    def __init__(self, choice: Choice, facts: met.RouteFacts | None) -> None:
        declared = facts.headers if facts else frozenset()
        credentials = frozenset(IDENTITY_HEADERS)
        credentials |= facts.identity if facts else frozenset()
        names = choice.vary | declared
        by_credentials = choice.scope in {"auto", "private"}
        if by_credentials:
            names |= credentials
        elif choice.scope == "public":
            # Who declares that everybody gets the same answer is taken at their word.
            names -= credentials
        self.database = facts.database if facts else ""
        self.cookies = facts.cookies if facts else frozenset()
        """The cookies that the route reads, whoever they identify."""
        self.names = names
        """What the response says that it varies on."""
        self.credentials = _encoded(credentials if by_credentials else ())
        self.any_credential = frozenset(raw for _, raw in self.credentials)
        # Credentials are in the identity, in the form the options ask for.
        self.plain = _encoded(names - set(IDENTITY_HEADERS))
        self._read = _ALWAYS | {raw for _, raw in self.credentials + self.plain}
        secured = facts is not None and facts.secured
        self.private = by_credentials and (secured or choice.scope == "private")

    def read(self, headers: RawHeaders) -> dict[bytes, list[bytes]]:
        """Return the headers of a request that matter to the cache, by name."""
        read = self._read
        found: dict[bytes, list[bytes]] = {}
        # A loop of its own: nearly all of what clients send is passed over.
        for name, value in headers:
            if name in read:
                found.setdefault(name, []).append(value)
        return found


def _encoded(names: "frozenset[str] | tuple[()]") -> tuple[tuple[str, bytes], ...]:
    return tuple((name, name.encode("latin-1")) for name in sorted(names))


@dataclass(slots=True)
class Call:
    """One request to a cached endpoint."""

    request: met.Request
    selectors: Selectors
    headers: dict[bytes, list[bytes]]
    """The request's headers by name, as far as they matter."""
    arguments: Mapping[str, Any]
    injected: Any = None
    """The response that FastAPI injects; there is none before dependencies are solved."""
    before: RawHeaders = ()
    """Headers that dependencies had set before the endpoint ran."""
    private: bool = False

    @property
    def wants_new(self) -> bool:
        """Whether the client refuses what is stored (RFC 9111, 5.2.1)."""
        if not (control := self.headers.get(b"cache-control")):
            return self.headers.get(b"pragma") == [b"no-cache"]
        found = directives(control)
        return "no-cache" in found or found.get("max-age") == "0"

    @property
    def forbids_storing(self) -> bool:
        """Whether the client wants nothing to be stored."""
        control = self.headers.get(b"cache-control")
        return control is not None and "no-store" in directives(control)

    def matches(self, entry: Entry) -> bool:
        """Tell whether a stored response is of the variant that is asked for."""
        expected = entry.draft.vary
        return not expected or dict(expected) == variant(
            expected, self.request.scope["headers"]
        )


def identify(call: Call, options: Options) -> Identity | None:
    """Return who asks, as a part of the key; `None` if that cannot be told."""
    if callable(options.scope):
        who = options.scope(call.request)
        call.private = who is not None
        return ("named", who)
    if options.scope == "public":
        return EVERYBODY
    selectors = call.selectors
    if selectors.any_credential.isdisjoint(call.headers):
        call.private = selectors.private
        return None if _is_authenticated(call.request) else ANYBODY
    found = tuple(
        (name, value)
        for name, raw in selectors.credentials
        if raw in call.headers and (value := _credential(call, raw, options))
    )
    call.private = bool(found) or selectors.private
    if not found and _is_authenticated(call.request):
        return None
    return ("auto", found)


def _credential(call: Call, name: bytes, options: Options) -> tuple[object, ...]:
    wanted = options.identity_cookies
    if name != b"cookie" or wanted is None:
        return tuple(call.headers[name])
    pairs = sorted(call.request.cookies.items())
    return tuple(pair for pair in pairs if pair[0] in wanted | call.selectors.cookies)


def _is_authenticated(request: met.Request) -> bool:
    user = request.scope.get("user")
    return user is not None and bool(getattr(user, "is_authenticated", False))


def key_of(
    call: Call, identity: Identity, name: tuple[str, str], options: Options
) -> str:
    """Return the key of what *call* asks of the endpoint *name*."""
    scope, headers = call.request.scope, call.headers
    path, query = scope["path"], scope["query_string"]
    hosts = tuple(headers.get(b"host", ()))
    plain: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    if declared := call.selectors.plain:
        plain = tuple([(n, tuple(headers.get(raw, ()))) for n, raw in declared])
    where = (
        scope["method"],
        scope.get("scheme"),
        hosts,
        scope.get("root_path", ""),
        # Two services on one server may well have one host and one path.
        getattr(scope.get("app"), "title", ""),
        call.selectors.database,
        *name,
    )
    if options.key is not None:
        return digest(*where, made(options.key, call.arguments), plain, identity)
    # Who is known by a header, or sends another one that counts, is not remembered.
    if identity is not ANYBODY and identity is not EVERYBODY:
        return _key(where, path, query, plain, identity)
    if plain or len(path) + len(query) + len(b"".join(hosts)) > _LONGEST_REMEMBERED:
        return _key(where, path, query, plain, identity)
    return _remembered_key(where, path, query, plain, identity)


def _key(
    where: tuple[object, ...],
    path: str,
    query: bytes,
    plain: tuple[tuple[str, tuple[bytes, ...]], ...],
    identity: Identity,
) -> str:
    return digest(*where, path, canonical_query(query), plain, identity)


_remembered_key = functools.lru_cache(maxsize=2048)(_key)
