"""Named tuples of rows."""

from collections import namedtuple
from typing import Any


def to_namedtuple(**items: Any) -> Any:
    """Return *items* as a named tuple: the form of a function that exports fixtures."""
    return namedtuple("Fixtures", items)(**items)  # noqa: PYI024 - the names are data
