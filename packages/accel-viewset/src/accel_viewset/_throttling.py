"""Rates, with the headers of the RateLimit draft of the IETF."""

import hashlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from fastapi import Request, Response

from accel_viewset._errors import TooManyRequests

logger = logging.getLogger("accel_viewset")
_UNAVAILABLE = 503


class Hit(Protocol):
    """What a limiter answers; durations are in seconds."""

    @property
    def allowed(self) -> bool:
        """Tell whether the hit is within the limit."""
        ...

    @property
    def remaining(self) -> int:
        """Return how many hits are left."""
        ...

    @property
    def retry_after(self) -> float:
        """Return when to try again."""
        ...

    @property
    def reset_after(self) -> float:
        """Return when all hits are there again."""
        ...


class Limiter(Protocol):
    """Counts hits; `accel_cache.Limiter` is one."""

    async def hit(self, key: str, limit: int, period: float) -> Hit:
        """Count a hit of *key*."""
        ...


@dataclass(frozen=True, slots=True)
class Throttle:
    """Allows *limit* requests per *period* (seconds) and client to a view set.

    *key* names the client; by default that is the `sub` of the claims that a dependency
    has verified and left at `request.state.jwt`, as `jwt_auth` does, else the address.
    `Authorization` alone names nobody: each request could invent another one.
    A limiter whose server is away lets requests pass.
    """

    limiter: Limiter
    limit: int
    period: float | timedelta = 60.0
    key: Callable[[Request], str] | None = None

    async def check(self, request: Request, response: Response, name: str) -> None:
        """Count *request*, and tell its client what is left.

        Raises:
            TooManyRequests: the limit is exceeded.
        """
        client = self.key(request) if self.key is not None else _client(request)
        try:
            hit = await self.limiter.hit(f"{name}:{client}", self.limit, self._seconds)
        except Exception as exc:
            if getattr(exc, "http_status", None) != _UNAVAILABLE:
                raise
            logger.warning("The limiter does not answer; the request passes.")
            return
        headers = self._headers(hit)
        if not hit.allowed:
            raise TooManyRequests(hit.retry_after, headers)
        response.headers.update(headers)

    @property
    def _seconds(self) -> float:
        if isinstance(self.period, timedelta):
            return self.period.total_seconds()
        return float(self.period)

    def _headers(self, hit: Hit) -> dict[str, str]:
        window = math.ceil(self._seconds)
        reset = math.ceil(hit.reset_after)
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={window}',
            "RateLimit": f'"default";r={hit.remaining};t={reset}',
        }


def subject_of(request: Request) -> str:
    """Return the `sub` of the claims that a dependency has verified, if there are any."""
    claims = getattr(request.state, "jwt", None)
    subject = claims.get("sub") if isinstance(claims, Mapping) else None
    return str(subject or "")


def _client(request: Request) -> str:
    if subject := subject_of(request):
        # Hashed, so that a limiter's server knows nobody, and no name is an address.
        return hashlib.blake2b(subject.encode(), digest_size=16).hexdigest()
    return request.client.host if request.client is not None else "-"
