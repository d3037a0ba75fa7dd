"""Forms, read within limits."""

import base64
import binascii
import unicodedata
from collections.abc import Mapping

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import Message

from accel_auth._errors import InvalidFormError, PasswordTooLongError

MAX_FORM_BYTES = 32 * 1024
MAX_PASSWORD_BYTES = 1024
MAX_USERNAME_CHARS = 256
# Control characters and halves of surrogate pairs, of which RFC 8265 allows neither in
# a username. Databases raise on them: a crash that any stranger could cause.
_NEVER_IN_A_NAME = frozenset({"Cc", "Cs"})

PASSWORD_FORM = {
    "grant_type": {"type": "string", "enum": ["password", "refresh_token"]},
    "username": {"type": "string", "maxLength": MAX_USERNAME_CHARS},
    "password": {"type": "string", "format": "password"},
    "scope": {"type": "string", "default": ""},
    "refresh_token": {"type": "string"},
}
TOKEN_FORM = {
    "token": {"type": "string"},
    "token_type_hint": {"type": "string", "enum": ["access_token", "refresh_token"]},
}


def form_docs(properties: Mapping[str, object]) -> dict[str, object]:
    """Describe a form in OpenAPI; it is read by `read_form`, not by FastAPI."""
    schema = {"type": "object", "properties": properties}
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"content": content}}


async def read_form(request: Request) -> dict[str, str]:
    """Return the text fields of a form, urlencoded or multipart.

    FastAPI's own form would echo a rejected password in its 422, and has no limit.

    Raises:
        InvalidFormError: if it is too large, can not be parsed, or repeats a field.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise InvalidFormError(f"The form is larger than {MAX_FORM_BYTES} bytes.")

    async def replay() -> Message:
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    try:
        async with Request(request.scope, replay).form() as form:
            items = form.multi_items()
    except (HTTPException, UnicodeError) as exc:
        # The client names the charset of a multipart form, such as "idna".
        raise InvalidFormError("The form can not be parsed.") from exc
    if len(dict(items)) < len(items):
        # RFC 6749, section 3.2: a guard in front of us might read the other value.
        raise InvalidFormError("A form field is given more than once.")
    return {name: value for name, value in items if isinstance(value, str)}


def field(form: Mapping[str, str], name: str) -> str:
    """Return a field that must be there.

    Raises:
        InvalidFormError: if it is missing or empty.
    """
    if not (value := form.get(name)):
        raise InvalidFormError(f"The form field `{name}` is missing.")
    return value


def credentials(form: Mapping[str, str]) -> tuple[str, str]:
    """Return name and password, refusing giant ones before they cost a hash.

    Raises:
        InvalidFormError: if one is missing or too long, or the name can be none.
    """
    username, password = field(form, "username"), field(form, "password")
    if len(username) > MAX_USERNAME_CHARS:
        limit = f"longer than {MAX_USERNAME_CHARS} characters"
        raise InvalidFormError(f"The username is {limit}.")
    if any(unicodedata.category(char) in _NEVER_IN_A_NAME for char in username):
        raise InvalidFormError("The username has characters that no name has.")
    # In bytes, as the hasher counts; a charset may leave half of a surrogate pair.
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
        raise PasswordTooLongError(MAX_PASSWORD_BYTES)
    return username, password


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Return the client of an `Authorization: Basic` header (RFC 7617)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    # The first colon parts them: a name has none, a secret may (RFC 7617, section 2).
    try:
        name, separator, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, secret) if separator else None
