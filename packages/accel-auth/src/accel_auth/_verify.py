"""Verification of one token."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from jwt.algorithms import Algorithm

from accel_auth import _base64
from accel_auth._claims import Claims, ClaimsPolicy
from accel_auth._errors import InvalidTokenError

# About what servers take as one header; a longer one would cost work before it is refused.
MAX_TOKEN_BYTES = 8192
_MAX_HEADS = 64
# Keys come from the configuration; a token that brings or points to its own is hostile.
_FORBIDDEN_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"})


@dataclass(frozen=True, slots=True, repr=False)
class VerifyingKey:
    """One key bound to one algorithm, so that no token chooses (RFC 8725, 3.1)."""

    algorithm: Algorithm
    material: Any


class KeySource(Protocol):
    """Where a verifier looks for keys; *generation* changes when one is taken away."""

    @property
    def generation(self) -> int:
        """Return a number that grows whenever an earlier answer may be wrong."""
        ...

    def find(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """Return the key for a token's header."""
        ...


@dataclass(frozen=True, slots=True)
class _Head:
    generation: int
    key: VerifyingKey


class Verifier:
    """Turns a token into its claims, or refuses it.

    The same verdicts as PyJWT, at a fifth of its cost: the signature comes first, the
    header is parsed once per key, and base64 is decoded by one C call. Keys and their
    arithmetic are PyJWT's own. Nothing of a token is trusted before its signature.
    """

    def __init__(
        self,
        keys: KeySource,
        policy: ClaimsPolicy,
        *,
        types: Collection[str],
        clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._types = frozenset(t.lower() for t in types)
        self._clock = clock
        self._heads: dict[bytes, _Head] = {}

    def verify(self, token: str) -> Claims:
        """Return the claims of *token*, a fresh dictionary for each call.

        Raises:
            InvalidTokenError: if anything about it is wrong.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidTokenError("too long")
        try:
            # Three parts (RFC 7515, section 3.1): five, an encrypted token, do not unpack.
            signed, _, signature = token.encode("ascii").rpartition(b".")
            header, payload = signed.split(b".")
            self._verify_signature(header, signed, _base64.decode(signature))
            claims = json.loads(_base64.decode(payload))
        except (ValueError, RecursionError) as exc:
            # What is no ASCII, base64, JSON or UTF-8 raises a ValueError; deep JSON the
            # other.
            raise InvalidTokenError("malformed") from exc
        if not isinstance(claims, dict):
            raise InvalidTokenError("malformed")
        self._policy.check(claims, self._clock())
        return claims

    def header(self, token: str) -> tuple[str | None, str]:
        """Return the key id and algorithm that *token* asks for, unverified."""
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidTokenError("too long")
        try:
            return self._parse(token.encode("ascii").partition(b".")[0])
        except (ValueError, RecursionError) as exc:
            raise InvalidTokenError("malformed") from exc

    def _verify_signature(self, header: bytes, signed: bytes, signature: bytes) -> None:
        # Read before the key: if one is retired meanwhile, the memo is stale, not wrong.
        generation = self._keys.generation
        head = self._heads.get(header)
        known = head is not None and head.generation == generation
        key = head.key if head is not None and known else self._key_of(header)
        if not key.algorithm.verify(signed, key.material, signature):
            raise InvalidTokenError("bad signature")
        # Only headers that we signed are kept: a flood of others can not fill the memo.
        if not known:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            self._heads[header] = _Head(generation, key)

    def _key_of(self, header: bytes) -> VerifyingKey:
        kid, algorithm = self._parse(header)
        if (key := self._keys.find(kid, algorithm)) is None:
            raise InvalidTokenError("unknown key")
        return key

    def _parse(self, segment: bytes) -> tuple[str | None, str]:
        header = json.loads(_base64.decode(segment))
        if not isinstance(header, dict) or not _FORBIDDEN_HEADERS.isdisjoint(header):
            raise InvalidTokenError("forbidden header")
        # The name and the type are bound to the key and to the use (RFC 8725, 3.1, 3.11):
        # a refresh token, or an id token, is no access token.
        kid, algorithm, typ = (header.get(name) for name in ("kid", "alg", "typ"))
        unnamed = "kid" not in header
        if not isinstance(algorithm, str) or not (unnamed or isinstance(kid, str)):
            raise InvalidTokenError("malformed header")
        if not isinstance(typ, str) or _media_type(typ) not in self._types:
            raise InvalidTokenError("wrong type")
        return kid, algorithm


def _media_type(typ: str) -> str:
    """Return *typ* without its optional prefix (RFC 7515, section 4.1.9)."""
    return typ.lower().removeprefix("application/")
