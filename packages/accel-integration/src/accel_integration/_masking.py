"""Secrets, and how to show things without them."""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import (
    parse_qsl,
    quote,
    quote_plus,
    urlencode,
    urlsplit,
    urlunsplit,
)

__all__ = [
    "Credentials",
    "is_secret_name",
    "mask_path",
    "mask_text",
    "mask_url",
    "one_line",
    "secrets_in",
]

MASK = "***"
quote_all = functools.partial(quote, safe="")
# How a secret looks in a URL, and in JSON.
FORMS = (
    quote,
    quote_all,
    quote_plus,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
)
SHORTEST_SECRET = 4
LONGEST_LINE = 500

SECRET_NAME = re.compile(
    r"api.?key|auth|code|cookie|credential|key$|pass(word|wd)?|pwd|secret|session"
    r"|sig(nature)?$|token",
    re.IGNORECASE,
)


# A parameter in a path as it is declared, but for those that are arguments.
FIXED_PARAMETER = re.compile(r"([?&])([^=&]+)=([^&{]+)")


def is_secret_name(name: str) -> bool:
    """Tell whether something of this name probably is a secret."""
    return SECRET_NAME.search(name) is not None


class Credentials(dict[str, Any]):
    """A dict that shows its keys but not its values."""

    def __repr__(self) -> str:
        return f"<Credentials {', '.join(f'{key}={MASK}' for key in self)}>"

    __str__ = __repr__


def secrets_in(credentials: object) -> list[str]:
    """Return the strings in *credentials*, the longest first."""
    found = {text for text in _strings_in(credentials) if len(text) >= SHORTEST_SECRET}
    quoted = {form(text) for text in found for form in FORMS}
    return sorted(found | quoted, key=len, reverse=True)


def _strings_in(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="ignore")
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _strings_in(item)
    elif hasattr(value, "get_secret_value"):
        yield from _strings_in(value.get_secret_value())
    else:
        yield from _strings_in(list(_secrets_of_settings(value)))


def _secrets_of_settings(value: object) -> Iterable[object]:
    """Return what is secret in an object with attributes, of which most are not."""
    names: Iterable[str] = getattr(value, "__dict__", ()) or getattr(
        value, "__slots__", ()
    )
    for name in names:
        item = getattr(value, name, None)
        is_text = isinstance(item, str | bytes) and is_secret_name(name)
        if is_text or hasattr(item, "get_secret_value"):
            yield item


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return *text* without any of *secrets*."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def one_line(text: str) -> str:
    """Return *text* from outside as what a log shows in one line of bearable length."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]}..."


def mask_path(path: str) -> str:
    """Return *path* as it was declared, without the values of secret parameters."""
    return FIXED_PARAMETER.sub(
        lambda m: f"{m[1]}{m[2]}={MASK}" if is_secret_name(m[2]) else m[0], path
    )


def mask_url(url: str, secrets: Iterable[str] = ()) -> str:
    """Return *url* without its user and password, and without secret parameters."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return MASK
    _, at, host = parts.netloc.rpartition("@")
    netloc = f"{MASK}@{host}" if at else parts.netloc
    shown = [(key, MASK if is_secret_name(key) else value) for key, value in query]
    masked = parts._replace(
        netloc=netloc, query=urlencode(shown, safe="*"), fragment=""
    )
    return mask_text(urlunsplit(masked), secrets)
