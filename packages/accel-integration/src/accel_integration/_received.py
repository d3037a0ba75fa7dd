"""What was received: the bodies of responses, and what is wrong with them."""

import json
from typing import Any, NamedTuple

__all__ = [
    "FIRST_ERROR_STATUS",
    "UNREADABLE",
    "Received",
    "flaw_of",
    "is_response",
    "text_of",
]

FIRST_ERROR_STATUS = 400
# What comes of reading a body that is no JSON, or none that anybody could mean.
# A number of more digits than Python reads is only a ValueError.
UNREADABLE = (ValueError, RecursionError)


class Received(NamedTuple):
    """What an endpoint returned, and what is known of the response behind it."""

    data: Any
    status: int | None
    retry_after: str | None
    # Whether the method made it itself, whatever the response was.
    is_made: bool = False
    # Why the body could not be read.
    flaw: str | None = None

    @classmethod
    def of_response(cls, response: Any, wanted: Any = None) -> "Received":
        """Read *response*, of whose body nothing but a *wanted* type is declared."""
        flaw = None
        # Not every body is what its content type says.
        try:
            data = read_body(response, wanted)
        except UNREADABLE as exc:
            data, flaw = text_in(response), flaw_of(exc)
        retry_after = response.headers.get("retry-after")
        return cls(data, response.status_code, retry_after, flaw=flaw)

    @property
    def is_error(self) -> bool:
        """Whether the response has an error status."""
        return self.status is not None and self.status >= FIRST_ERROR_STATUS

    def text(self) -> str:
        """Return the body, as far as it is known."""
        if isinstance(self.data, str):
            return self.data
        if isinstance(self.data, bytes):
            return self.data.decode(errors="replace")
        try:
            return json.dumps(self.data, default=_type_name, ensure_ascii=False)
        # What a method made itself may be no JSON, or contain itself.
        except (RecursionError, TypeError, ValueError):
            return _type_name(self.data)


def read_body(response: Any, wanted: Any) -> Any:
    """Return what is in the body of *response*: JSON, unless bytes or text is *wanted*."""
    if wanted is bytes:
        return response.content
    data = response.json() if response.content else None
    # A text may look like JSON, such as a number.
    if wanted is str and not isinstance(data, str):
        kind = response.headers.get("content-type", "json")
        return data if "json" in kind else text_in(response)
    return data


def text_in(response: Any) -> str:
    """Return the body of *response*, whatever it says of its charset."""
    try:
        return str(response.text)
    except Exception:  # noqa: BLE001 - it may name any codec, which may raise anything
        return str(response.content, errors="replace")


def text_of(exc: Exception) -> str | bytes | None:
    """Return the JSON that could not be read, or None if *exc* is about nothing such."""
    if isinstance(exc, json.JSONDecodeError):
        return exc.doc
    frame, traceback = None, exc.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
    # Elsewhere, these may well be mistakes of ours.
    home = "" if frame is None else frame.f_globals.get("__name__", "")
    if frame is None or home.partition(".")[0] != "json":
        return None
    if isinstance(exc, UnicodeDecodeError):
        return exc.object
    return str(frame.f_locals.get("s", ""))


def flaw_of(exc: Exception) -> str:
    """Say why a body could not be read, without any of it."""
    if isinstance(exc, RecursionError):
        return "the answer is nested too deeply"
    reason = exc.msg if isinstance(exc, json.JSONDecodeError) else type(exc).__name__
    return f"the answer is no JSON ({reason})"


def is_response(value: object) -> bool:
    """Tell whether *value* has the shape of a response of httpx."""
    has_status = isinstance(getattr(value, "status_code", None), int)
    return has_status and hasattr(value, "content") and hasattr(value, "headers")


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"
