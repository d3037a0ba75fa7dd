"""Rules about claims."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from accel_auth._errors import InvalidTokenError, TokenExpiredError

Claims = dict[str, Any]

# The claims of RFC 7519, section 4.1, and ours: no hook writes them.
RESERVED = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "auth_time", "csrf"}
)
# Seconds that the clock of one worker may be ahead of another's. A fresh token comes
# back at once, and only the issuer can have written its date: RFC 7519, section 4.1.6,
# asks for no refusal.
CLOCK_SKEW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsPolicy:
    """What a token must say to be accepted; *leeway* is in seconds."""

    required: tuple[str, ...] = ("exp", "iat", "sub", "jti")
    issuer: str | None = None
    audience: frozenset[str] = frozenset()
    leeway: float = 0.0

    def check(self, claims: Claims, now: float) -> None:
        """Refuse *claims* that break a rule at the time *now*.

        Raises:
            InvalidTokenError: naming the rule in its `reason`.
        """
        for name in self.required:
            # An empty subject names nobody, and all tokens would share an empty id.
            if claims.get(name) in (None, ""):
                raise InvalidTokenError(f"no {name}")
        self._check_times(claims, now)
        for name in ("sub", "jti"):
            if not isinstance(claims.get(name, ""), str):
                raise InvalidTokenError(f"malformed {name}")
        if self.issuer is not None and claims.get("iss") != self.issuer:
            raise InvalidTokenError("wrong issuer")
        self._check_audience(claims.get("aud"))

    def _check_times(self, claims: Claims, now: float) -> None:
        if _date(claims, "iat", now) > now + self.leeway + CLOCK_SKEW:
            raise InvalidTokenError("issued in the future")
        if _date(claims, "nbf", now) > now + self.leeway:
            raise InvalidTokenError("not valid yet")
        # Dead from this very moment on: "on or after" (RFC 7519, section 4.1.4).
        if _date(claims, "exp", now) <= now - self.leeway:
            raise TokenExpiredError

    def _check_audience(self, found: object) -> None:
        # A token that names its audience is for nobody else, so a service without a
        # name refuses it as well (RFC 7519, section 4.1.3).
        if not self.audience and not found:
            return
        names = [found] if isinstance(found, str) else found
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise InvalidTokenError("malformed aud")
        if self.audience.isdisjoint(names):
            raise InvalidTokenError("wrong audience")


def _date(claims: Claims, name: str, default: float) -> float:
    """Return a NumericDate in whole seconds; a boolean or a string is none."""
    value = claims.get(name, default)
    if type(value) not in (int, float):
        raise InvalidTokenError(f"malformed {name}")
    try:
        return int(value)
    except (OverflowError, ValueError) as exc:
        # Python's parser takes `Infinity` and `NaN` for JSON.
        raise InvalidTokenError(f"malformed {name}") from exc


def scopes_of(claims: Claims) -> set[str]:
    """Return the scopes of a token, from `scope` (RFC 9068) or a list in `scp`."""
    # `scp` is what Okta and Microsoft Entra write.
    found = claims.get("scope") or claims.get("scp") or ()
    return set(split_scopes(found))


def split_scopes(value: object) -> list[str]:
    """Return the scopes in *value*, a string with spaces or a list of strings."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, Iterable):
        return [scope for scope in value if isinstance(scope, str)]
    return []
