"""Pages of a list, by number or by cursor, and their sizes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from accel_db._errors import InvalidPayload

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One numbered page, and how much there is."""

    items: list[M]
    total: int
    page: int
    size: int
    pages: int

    def __iter__(self) -> Iterator[M]:
        """Iterate over the items."""
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class CursorPage(Generic[M]):
    """One page, and the cursor of the next one; None at the end."""

    items: list[M]
    next_cursor: str | None

    def __iter__(self) -> Iterator[M]:
        """Iterate over the items."""
        return iter(self.items)


def page_count(total: int, *, page: int, size: int) -> int:
    """Return how many pages *total* rows fill."""
    if page < 1:
        raise InvalidPayload("page", f"it must be >= 1: {page}")
    check_size(size)
    return -(-total // size)


def check_size(size: int) -> None:
    """Raise `InvalidPayload` unless a page of *size* can hold something."""
    if size < 1:
        raise InvalidPayload("size", f"it must be >= 1: {size}")
