"""Primary keys in URLs."""

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from accel_admin._types import python_type

_BIGINT = 2**63

_READERS: dict[type, Callable[[str], Any]] = {
    uuid.UUID: uuid.UUID,
    dt.datetime: dt.datetime.fromisoformat,
    dt.date: dt.date.fromisoformat,
    dt.time: dt.time.fromisoformat,
    bytes: bytes.fromhex,
    bool: {"True": True, "False": False}.__getitem__,
}


def encode_key(values: Sequence[object]) -> str:
    """Write a primary key as one string; the parts of a composite key by commas."""
    parts = [_write(value) for value in values]
    # A comma inside of a part is quoted, so that one that is not separates.
    return parts[0] if len(parts) == 1 else ",".join(quote(p, safe="") for p in parts)


def decode_key(mapper: Mapper[Any], text: object) -> tuple[Any, ...]:
    """Read a primary key of *mapper* back, or check one that is read already.

    Raises:
        ValueError: *text* cannot be a key of that model.
    """
    columns = mapper.primary_key
    if not isinstance(text, str):
        # Addresses may repeat `id` for each part: what is in a tuple is still text.
        values = text if isinstance(text, (tuple, list)) else (text,)
        parts = [_write(value) for value in values]
    else:
        parts = [text] if len(columns) == 1 else [unquote(p) for p in text.split(",")]
    if len(parts) != len(columns):
        raise ValueError("the key has another number of parts")
    return tuple(_read(c.type, part) for c, part in zip(columns, parts, strict=True))


def scalar(key: tuple[Any, ...]) -> Any:
    """Return *key* as a column compares with it: without a tuple if it has one part."""
    return key[0] if len(key) == 1 else key


def _write(value: object) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def _read(column_type: TypeEngine[Any], text: str) -> Any:
    # No key has so many characters, and no database stores a NUL in one.
    if len(text) > 1000 or "\x00" in text:  # noqa: PLR2004  # a bound, not a meaning
        raise ValueError("the key is malformed")
    kind = python_type(column_type)
    try:
        if issubclass(kind, enum.Enum):
            return kind[text]
        if issubclass(kind, int) and kind is not bool:
            return _integer(text)
        return _READERS.get(kind, kind)(text) if kind is not object else text
    except (ArithmeticError, KeyError, TypeError) as exc:
        raise ValueError("the key is malformed") from exc


def _integer(text: str) -> int:
    if not -_BIGINT <= (number := int(text)) < _BIGINT:
        raise ValueError("the key is out of range")
    return number
