"""Keys of an external issuer."""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import jwt

from accel_auth._errors import AuthUnavailableError, MissingExtraError
from accel_auth._flight import SingleFlight
from accel_auth._keys import CURVES, MIN_RSA_BITS
from accel_auth._verify import VerifyingKey

_MAX_JWKS_BYTES = 512 * 1024
_FAMILY = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

_log = logging.getLogger("accel_auth")

Fetch = Callable[[str], Awaitable[bytes]]


class RemoteKeys:
    """A JWKS, fetched when it is needed, and seldom.

    One fetch at a time, at most one per *cooldown*, whether it fails or not: a flood of
    unknown key ids reaches the issuer once. When the issuer is down, the keys at hand
    serve for *stale_if_error* more seconds; after that, tokens are refused with 503.
    """

    def __init__(  # noqa: PLR0913 -- all named at the one call
        self,
        url: str,
        fetch: Fetch,
        *,
        algorithms: Collection[str],
        max_age: float,
        cooldown: float,
        stale_if_error: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generation = 0
        self._url = url
        self._fetch = fetch
        self._algorithms = tuple(algorithms)
        self._max_age = max_age
        self._cooldown = cooldown
        self._stale_if_error = stale_if_error
        self._clock = clock
        self._keys: dict[tuple[str, str], VerifyingKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._flight = SingleFlight()

    def find(self, kid: str | None, algorithm: str) -> VerifyingKey | None:
        """Return the key *kid*; without a name, the only one of its algorithm."""
        if kid is not None:
            return self._keys.get((kid, algorithm))
        fitting = [key for (_, alg), key in self._keys.items() if alg == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def prepare(self, kid: str | None, algorithm: str) -> None:
        """Fetch the keys if they are old, or if *kid* is not among them.

        Raises:
            AuthUnavailableError: if there are no keys that may still be used.
        """
        now = self._clock()
        known = self.find(kid, algorithm) is not None and self._may_serve(now)
        if not known and (self._may_try(now) or self._flight.busy):
            await self._flight.run(self._refresh)
        elif known and now - self._fetched_at > self._max_age and self._may_try(now):
            # Nobody waits for newer keys while those at hand may serve.
            self._flight.start(self._refresh)
        if not self._may_serve(self._clock()):
            raise AuthUnavailableError(self._cooldown)

    def _may_serve(self, now: float) -> bool:
        return now - self._fetched_at <= self._max_age + self._stale_if_error

    def _may_try(self, now: float) -> bool:
        return now - self._tried_at >= self._cooldown

    async def _refresh(self) -> None:
        # Before the fetch, so that one which fails or hangs counts for the cool-down.
        self._tried_at = self._clock()
        try:
            document = json.loads(await self._fetch(self._url))
            found = document["keys"] if isinstance(document, dict) else None
            if not isinstance(found, list):
                raise TypeError("a JWKS has a list of `keys`")  # noqa: TRY301 -- one fate for all failures
        except Exception as exc:  # noqa: BLE001 -- stale keys serve, whatever went wrong
            # The host alone, and no message: an address may carry credentials.
            host, why = urlsplit(self._url).hostname, type(exc).__name__
            _log.warning(
                "Could not fetch the keys of an issuer from %s: %s.", host, why
            )
            return
        self._keys = dict(self._usable(found))
        self._fetched_at = self._clock()
        self.generation += 1

    def _usable(self, found: list[Any]) -> list[tuple[tuple[str, str], VerifyingKey]]:
        """Return the public keys in a JWKS; a secret among them is never trusted."""
        usable = []
        for number, item in enumerate(found):
            # Keys for encryption live in the same set (RFC 7517, section 4.2).
            if not isinstance(item, dict) or item.get("use", "sig") != "sig":
                continue
            for name in self._fitting(item):
                if (key := _load(item, name)) is not None:
                    # Keys without a name must not replace each other.
                    kid = item.get("kid")
                    named = kid if isinstance(kid, str) else f"\0{number}"
                    usable.append(((named, name), key))
        return usable

    def _fitting(self, item: dict[str, Any]) -> list[str]:
        # `alg` is optional (RFC 7517, section 4.4): the family then says what fits, of
        # the algorithms that are configured.
        named = item.get("alg")
        return [
            name
            for name in self._algorithms
            if named in (None, name) and item.get("kty") == _FAMILY[name[:2]]
        ]


def _load(item: dict[str, Any], algorithm: str) -> VerifyingKey | None:
    try:
        key = jwt.PyJWK(item, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    # An issuer that publishes a private half by mistake is not a reason to hold it.
    public = key.key.public_key() if hasattr(key.key, "public_key") else key.key
    if algorithm[:2] in ("RS", "PS") and public.key_size < MIN_RSA_BITS:
        return None
    curve = getattr(getattr(public, "curve", None), "name", None)
    if curve != CURVES.get(algorithm):
        return None
    return VerifyingKey(key.Algorithm, public)


def https_fetch(timeout: float, context: ssl.SSLContext | None) -> Fetch:
    """Return a fetch over HTTPS: no redirect, a budget, and a limit on the size."""
    try:
        import httpx
    except ImportError as exc:
        raise MissingExtraError("Fetching the keys of an issuer", "jwks") from exc

    async def fetch(url: str) -> bytes:
        verify = context or ssl.create_default_context()
        # httpx has a timeout per read; a line that drips needs one for the whole. It
        # follows no redirect, which could lead off https or into the own network.
        async with (
            asyncio.timeout(timeout),
            httpx.AsyncClient(verify=verify, timeout=timeout) as client,
            client.stream("GET", url) as response,
        ):
            response.raise_for_status()
            body = bytearray()
            # Counted as it arrives, unpacked: no header says how large it really is.
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_JWKS_BYTES:
                    raise ValueError("the JWKS is too large")
            return bytes(body)

    return fetch
