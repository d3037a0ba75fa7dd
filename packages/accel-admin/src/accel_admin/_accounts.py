"""Who may log in."""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from accel_admin._errors import DuplicateAccount, WeakPassword

MAX_PASSWORD = 1024
_MIN_PASSWORD = 8
_GUESSED = {"password", "password1", "12345678", "123456789", "qwertyui", "changeme"}


@dataclass(frozen=True)
class Account:
    """Somebody who may log in.

    Attributes:
        username: the name, as typed in the form.
        password: the password, or an argon2 hash of it.
        roles: what the account may do; none may do everything.
    """

    username: str
    password: str = field(repr=False)
    roles: frozenset[str] = frozenset()

    @property
    def is_superuser(self) -> bool:
        """Tell whether the account may do everything."""
        return not self.roles


class Accounts:
    """Checks names and passwords, in a time that does not tell who exists."""

    def __init__(
        self, accounts: Iterable[Account], secret_key: str, *, debug: bool
    ) -> None:
        self._hasher = PasswordHasher()
        self.checks = threading.BoundedSemaphore(2)
        """To hold while a password is verified.

        One check takes 64 MiB: a flood of logins must not take all memory.
        """
        self._secret_key = secret_key.encode()
        self._accounts: dict[str, Account] = {}
        self._hashes: dict[str, str] = {}
        for account in accounts:
            self._add(account, debug=debug)
        self._nobody = self._hash_like(next(iter(self._hashes.values())))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._accounts)}>"

    def _add(self, account: Account, *, debug: bool) -> None:
        # An environment variable that is not set gives None.
        name, password = account.username, account.password or ""
        if name in self._accounts:
            raise DuplicateAccount(name)
        hashed = password.startswith("$argon2")
        if hashed:
            _check_hash(name, password)
        elif not debug:
            _check_strength(name, password)
        self._accounts[name] = account
        self._hashes[name] = password if hashed else self._hash(name, password)

    def _hash(self, username: str, password: str) -> str:
        # All processes with one key arrive at the same hash, so that a session of one
        # is good for the other, and a new password ends the sessions of the old one.
        salt = hmac.digest(self._secret_key, b"salt:" + username.encode(), "sha256")
        return self._hasher.hash(password, salt=salt[:16])

    def _hash_like(self, known: str) -> str:
        # A name that does not exist must cost as much time as one that does.
        hasher = PasswordHasher.from_parameters(extract_parameters(known))
        return hasher.hash(secrets.token_urlsafe(16))

    def get(self, username: str, fingerprint: str) -> Account | None:
        """Return the account, unless it is gone or its password changed."""
        account = self._accounts.get(username)
        if account is None:
            return None
        same = hmac.compare_digest(self.fingerprint(username), fingerprint)
        return account if same else None

    def fingerprint(self, username: str) -> str:
        """Return what changes with the password of *username*."""
        return hashlib.sha256(self._hashes[username].encode()).hexdigest()[:16]

    def verify(self, username: str, password: str) -> Account | None:
        """Return the account if the password is right."""
        account = self._accounts.get(username)
        known = self._hashes.get(username, self._nobody)
        right = self._matches(known, password)
        return account if right else None

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False


def _check_hash(username: str, hashed: str) -> None:
    try:
        extract_parameters(hashed)
    except InvalidHashError as exc:
        raise WeakPassword(
            username,
            "is no valid argon2 hash",
            "Make one with `argon2.PasswordHasher().hash(password)`.",
        ) from exc


def _check_strength(username: str, password: str) -> None:
    if len(password) < _MIN_PASSWORD:
        raise WeakPassword(username, f"has fewer than {_MIN_PASSWORD} characters")
    if password.lower() in {username.lower(), *_GUESSED} or len(set(password)) == 1:
        raise WeakPassword(username, "is the first that everybody tries")
