"""Calls of endpoints as commands for a shell, without secrets."""

import re
from collections.abc import Mapping

from accel_integration._api import join_url
from accel_integration._declaration import EndpointsDeclaration
from accel_integration._describe import Entry
from accel_integration._endpoint import Endpoint
from accel_integration._masking import MASK, is_secret_name, mask_url, secrets_in

__all__ = ["curl_of"]

# What curl adds by itself.
UNSHOWN = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)
ANYTHING = ("accept", "*/*")
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def curl_of(entry: Entry, endpoint: Endpoint) -> str:
    """Return the last request of *endpoint* as a command, or what is known of it.

    Credentials show as variables of the shell, other secrets not at all.
    """
    request = entry.stats_of(endpoint).last_request
    method = endpoint.httpmethod
    base = entry.declaration.base_url if entry.declaration else ""
    url = str(request.url) if request else join_url(base, endpoint.path)
    hidden = Hidden(entry.declaration)
    lines = [f"curl --request {method} {hidden.quote(mask_url(hidden.name(url)))}"]
    for name, value in request.headers.items() if request else ():
        if name.lower() not in UNSHOWN and (name.lower(), value) != ANYTHING:
            lines.append(f"  --header {hidden.quote(hidden.header(name, value))}")
    if method in WITH_BODY:
        lines.append("  --data @body")
    return " \\\n".join(lines)


class Hidden:
    """The credentials of a declaration, and how to write text without them."""

    def __init__(self, declaration: EndpointsDeclaration | None) -> None:
        credentials = declaration.credentials if declaration else None
        named = credentials if isinstance(credentials, Mapping) else {}
        self._names = {
            value: str(key)
            for key, value in named.items()
            if isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", str(key))
        }
        self._secrets = secrets_in(credentials)

    def name(self, text: str) -> str:
        """Replace credentials by their names, between marks that nobody types."""
        for secret in self._secrets:
            name = self._names.get(secret)
            text = text.replace(secret, f"\0{name}\0" if name else MASK)
        return text

    def header(self, name: str, value: str) -> str:
        """Return a header; if it seems secret, only known credentials are shown."""
        named = self.name(value)
        if named == value and is_secret_name(name):
            named = MASK
        return f"{name}: {named}"

    @staticmethod
    def quote(text: str) -> str:
        """Quote *text* for a shell, names of credentials as its variables."""
        safe = re.sub(r'([\\"`$!])', r"\\\1", text.replace("%00", "\0"))
        return '"' + re.sub("\0(\\w+)\0", r"$\1", safe) + '"'
