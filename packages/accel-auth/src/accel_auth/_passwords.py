"""Password hashes."""

import asyncio
import base64
import hashlib
import hmac
import logging
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from accel_auth._errors import MissingExtraError, PasswordTooLongError
from accel_auth._forms import MAX_PASSWORD_BYTES

_log = logging.getLogger("accel_auth")

_DJANGO_PBKDF2 = "pbkdf2_sha256$"
# What Django writes before the hash itself, which begins with another `$`.
_DJANGO_ARGON2 = "argon2"


class PasswordHasher:
    """Hashes passwords with Argon2id (RFC 9106), off the event loop.

    At most *workers* run at once: each takes *memory_cost* KiB and a core, so a flood
    of logins waits in line, and every other request goes on. Needs the extra `argon2`.

    Django's hashes by PBKDF2 with SHA-256 and by Argon2 are verified, too; hash again
    at login, as `needs_rehash` says: until then they take longer than strangers do.

    Args:
        workers: Hashes computed at the same time.
        time_cost: Passes over the memory.
        memory_cost: Memory in KiB; the defaults are OWASP's.
        parallelism: Lanes within one hash.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        time_cost: int = 2,
        memory_cost: int = 19_456,
        parallelism: int = 1,
    ) -> None:
        try:
            import argon2
        except ImportError as exc:
            raise MissingExtraError("Hashing passwords", "argon2") from exc
        self._workers = workers
        self._argon: argon2.PasswordHasher = argon2.PasswordHasher(
            time_cost=time_cost, memory_cost=memory_cost, parallelism=parallelism
        )

    # Not the loop's own pool: a flood of logins would hold up whatever waits there.
    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="accel-auth-hash")

    async def hash(self, password: str) -> str:
        """Return the hash of *password*, with its salt and parameters.

        Raises:
            PasswordTooLongError: beyond 1024 bytes, before any work.
        """
        secret = _prepare(password)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._argon.hash, secret)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether *password* belongs to *stored*.

        Pass None where there is no such user: it takes as long as a wrong password
        does, so that time does not tell who has an account.

        Raises:
            PasswordTooLongError: beyond 1024 bytes, before any work.
        """
        secret = _prepare(password)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._verify, stored, secret)

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether *stored* was made in another way: hash again at login."""
        if not stored.startswith("$argon2"):
            return True
        return self._argon.check_needs_rehash(stored)

    def _verify(self, stored: str | None, secret: bytes) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        if stored is not None:
            try:
                if stored.startswith(_DJANGO_PBKDF2):
                    return _fits_pbkdf2(stored, secret)
                return self._argon.verify(stored.removeprefix(_DJANGO_ARGON2), secret)
            except VerificationError:
                return False
            except (InvalidHashError, ValueError):
                _log.warning("A stored password hash is unreadable: nobody can log in.")
        # There is nothing to compare with; take the time that comparing takes.
        self._argon.hash(secret)
        return False


def _prepare(password: str) -> bytes:
    """Normalize *password*, so that it is the same from every keyboard (SP 800-63B)."""
    # Before and after: to normalize a giant text costs time, and it may grow.
    if len(password) > MAX_PASSWORD_BYTES:
        raise PasswordTooLongError(MAX_PASSWORD_BYTES)
    secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    if len(secret) > MAX_PASSWORD_BYTES:
        raise PasswordTooLongError(MAX_PASSWORD_BYTES)
    return secret


def _fits_pbkdf2(stored: str, secret: bytes) -> bool:
    """Verify `pbkdf2_sha256$iterations$salt$hash`, as Django stores it."""
    _, iterations, salt, expected = stored.split("$")
    found = hashlib.pbkdf2_hmac("sha256", secret, salt.encode(), int(iterations))
    return hmac.compare_digest(base64.b64encode(found), expected.encode())
