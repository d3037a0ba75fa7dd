"""TLS, as libpq's parameters of a URL ask for it, for asyncpg too."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import URL

from accel_db._errors import ConfigurationError

if TYPE_CHECKING:
    from ssl import SSLContext

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_VERIFYING = frozenset({"verify-ca", "verify-full"})
# These go on without TLS where a server has none, or no good one.
_LENIENT = frozenset({None, "allow", "prefer"})
_SYSTEM = "system"
"""What libpq calls the authorities that the machine trusts."""


def with_one_mode(url: URL) -> URL:
    """Return *url* with a `sslmode` that both halves hear, if it says one.

    asyncpg calls it `ssl`, which libpq would not know: the sync half would verify
    nothing. A certificate that is named without a mode is there to be used.
    """
    named = single(url.query.get("sslmode", ""))
    mode = named or single(url.query.get("ssl", "")) or _mode_of_root(url)
    # JDBC's word, which libpq takes as well.
    mode = "require" if mode == "true" else mode
    if mode and mode not in _MODES:
        raise ConfigurationError(
            f"`sslmode` of the database URL must be one of {', '.join(_MODES)}: "
            f"{mode!r}"
        )
    url = url.difference_update_query(["ssl", "sslmode"])
    return url.update_query_dict({"sslmode": mode}) if mode else url


def single(value: str | tuple[str, ...]) -> str:
    """Return the last of what a URL says several times."""
    return value if isinstance(value, str) else value[-1]


def _mode_of_root(url: URL) -> str:
    root = single(url.query.get("sslrootcert", ""))
    if root == _SYSTEM:
        # Anybody can get a certificate of these for a name of their own.
        return "verify-full"
    return "verify-ca" if root else ""


def take_tls(query: dict[str, str]) -> dict[str, Any]:
    """Take what is about TLS out of *query*, and return asyncpg's arguments for it."""
    mode = query.pop("sslmode", None)
    files = {
        key: query.pop(key, None)
        for key in ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword")
    }
    versions = {
        key: query.pop(key, None)
        for key in ("ssl_min_protocol_version", "ssl_max_protocol_version")
    }
    arguments: dict[str, Any] = {}
    if query.pop("sslnegotiation", None) == "direct":
        arguments["direct_tls"] = True
    given = any(files.values()) or any(versions.values())
    lenient = mode in _LENIENT and not files["sslcert"]
    if mode != "disable" and given and not lenient:
        arguments["ssl"] = _context(mode or "prefer", files, versions)
    elif mode is not None:
        arguments["ssl"] = mode
    return arguments


def _context(
    mode: str, files: dict[str, str | None], versions: dict[str, str | None]
) -> "SSLContext":
    import ssl

    root = files["sslrootcert"] or _default_root(mode)
    try:
        context = ssl.create_default_context(cafile=None if root == _SYSTEM else root)
        context.check_hostname = mode == "verify-full" or root == _SYSTEM
        if root is None:
            context.verify_mode = ssl.CERT_NONE
        # libpq takes the certificates of many a house's own authority, which lack what
        # Python wants since 3.13.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        # Servers that begin with TLS want to hear for which protocol.
        context.set_alpn_protocols(["postgresql"])
        if certificate := files["sslcert"]:
            context.load_cert_chain(certificate, files["sslkey"], files["sslpassword"])
        if revoked := files["sslcrl"]:
            context.load_verify_locations(revoked)
            # Python reads a list of revoked certificates, but does not use it unasked.
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    except OSError as exc:
        raise ConfigurationError(
            f"The files for TLS cannot be read: {exc}. Look at `sslrootcert`, "
            "`sslcert`, `sslkey` and `sslcrl` of the database URL."
        ) from exc
    if least := versions["ssl_min_protocol_version"]:
        context.minimum_version = _version(least)
    if most := versions["ssl_max_protocol_version"]:
        context.maximum_version = _version(most)
    return context


def _default_root(mode: str) -> str | None:
    """Return where libpq looks for the authorities that a URL does not name."""
    if mode not in _VERIFYING:
        return None
    home = Path("~/.postgresql/root.crt").expanduser()
    return os.environ.get("PGSSLROOTCERT") or str(home)


def _version(text: str) -> Any:
    import ssl

    try:
        return ssl.TLSVersion[text.replace(".", "_")]
    except KeyError:
        raise ConfigurationError(
            "A version of TLS in the database URL must be written like `TLSv1.3`: "
            f"{text!r}"
        ) from None
