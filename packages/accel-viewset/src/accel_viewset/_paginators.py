"""Pages: which part of a list, and how much there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from fastapi import Query
from pydantic import BaseModel, create_model

_LARGEST = 2**63 - 1


class Source(Protocol):
    """A list in the database, filtered and ordered."""

    async def items(self, *, offset: int, limit: int) -> Sequence[Any]:
        """Return the rows at *offset*."""
        ...

    async def total(self) -> int:
        """Return how many rows there are."""
        ...

    async def page(self, *, offset: int, limit: int) -> tuple[Sequence[Any], int]:
        """Return the rows at *offset*, and how many there are, at once."""
        ...

    async def after(
        self, cursor: str | None, *, limit: int
    ) -> tuple[Sequence[Any], str | None]:
        """Return the rows after *cursor*, and the cursor of the rest."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one page, and what stands beside them in the response."""

    head: dict[str, Any]
    items: Sequence[Any]


class Limits(Protocol):
    """How much a client may ask for."""

    page_size: int
    max_limit: int


class BasePaginatorClass:
    """The base of paginators with pages by number.

    A paginator of your own needs a `Schema` and `json`, which builds its content.
    *response* holds objects of the view set's schema, so that no column that the
    schema hides can slip through.
    """

    _fields: ClassVar[dict[str, Any]] = {
        "page": (int, ...),
        "size": (int, ...),
        "count": (int, ...),
    }

    class Schema(BaseModel):
        """The shape of a page."""

        page: int
        size: int
        count: int
        items: dict[str, Any] | list[Any]

    @staticmethod
    def json(page: int, size: int, response: Any) -> Any:
        """Return the content of `Schema`."""
        return {"page": page, "size": size, "count": len(response), "items": response}

    @classmethod
    def is_custom(cls) -> bool:
        """Tell whether `json` or `Schema` is the user's own."""
        base = BasePaginatorClass
        return cls.json is not base.json or cls.Schema is not base.Schema

    @classmethod
    def schema_of(cls, item: type[BaseModel]) -> type[BaseModel]:
        """Return the shape of a page of *item*."""
        if cls.is_custom():
            return cls.Schema
        # OpenAPI tells schemas apart by their names.
        name = f"{item.__name__}{cls.__name__.removesuffix('Paginator')}Page"
        items: Any = (list[item], ...)  # type: ignore[valid-type]  # known at run time
        return create_model(name, **cls._fields, items=items)

    @classmethod
    def parameters(cls, limits: Limits) -> Callable[..., Any]:
        """Return the dependency that reads which page is wanted.

        It is async, as all of them: FastAPI sends a plain function to a thread.
        """

        async def page_parameters(
            page: Annotated[int, Query(ge=1, description="The number of the page")] = 1,
            size: Annotated[
                int, Query(ge=1, description=f"At most {limits.max_limit} items")
            ] = limits.page_size,
        ) -> tuple[int, int]:
            # Not an error: a client need not know the limit (AIP-158).
            return page, min(size, limits.max_limit)

        return page_parameters

    @classmethod
    async def load(cls, source: Source, wanted: Any) -> Part:
        """Load the page that *wanted* (from `parameters`) names."""
        page, size = wanted
        items = await source.items(offset=_offset(page, size), limit=size)
        return Part({"page": page, "size": size, "count": len(items)}, items)


def _offset(page: int, size: int) -> int:
    # No database counts further.
    return min((page - 1) * size, _LARGEST)


class DefaultPaginator(BasePaginatorClass):
    """Pages by number, with how many rows and pages there are."""

    _fields: ClassVar[dict[str, Any]] = {
        "page": (int, ...),
        "size": (int, ...),
        "count": (int, ...),
        "total": (int, ...),
        "pages": (int, ...),
    }

    @classmethod
    async def load(cls, source: Source, wanted: Any) -> Part:
        """Load one page; a page beyond the end is empty."""
        page, size = wanted
        items, total = await source.page(offset=_offset(page, size), limit=size)
        head = {"page": page, "size": size, "count": len(items), "total": total}
        # Rounded up without floats, which are too coarse for large totals.
        return Part({**head, "pages": -(-total // size)}, items)


class LimitOffsetPaginator(BasePaginatorClass):
    """Parts by offset, with how many rows there are."""

    _fields: ClassVar[dict[str, Any]] = {
        "limit": (int, ...),
        "offset": (int, ...),
        "count": (int, ...),
        "total": (int, ...),
    }

    @classmethod
    def parameters(cls, limits: Limits) -> Callable[..., Any]:
        """Return the dependency that reads which part is wanted."""

        async def part_parameters(
            limit: Annotated[
                int, Query(ge=1, description=f"At most {limits.max_limit} items")
            ] = limits.page_size,
            offset: Annotated[int, Query(ge=0, description="Items to leave out")] = 0,
        ) -> tuple[int, int]:
            return min(limit, limits.max_limit), min(offset, _LARGEST)

        return part_parameters

    @classmethod
    async def load(cls, source: Source, wanted: Any) -> Part:
        """Load one part; an offset beyond the end gives none."""
        limit, offset = wanted
        items, total = await source.page(offset=offset, limit=limit)
        head = {"limit": limit, "offset": offset, "count": len(items), "total": total}
        return Part(head, items)


class CursorPaginator(BasePaginatorClass):
    """Pages by cursor: each costs the same, and new rows shift none of them.

    `next_cursor` is opaque, and None at the end (AIP-158).
    """

    _fields: ClassVar[dict[str, Any]] = {
        "size": (int, ...),
        "count": (int, ...),
        "next_cursor": (str | None, ...),
    }

    @classmethod
    def parameters(cls, limits: Limits) -> Callable[..., Any]:
        """Return the dependency that reads which page is wanted."""

        async def cursor_parameters(
            cursor: Annotated[
                str | None,
                Query(max_length=4096, description="`next_cursor` of the page before"),
            ] = None,
            size: Annotated[
                int, Query(ge=1, description=f"At most {limits.max_limit} items")
            ] = limits.page_size,
        ) -> tuple[str | None, int]:
            return cursor, min(size, limits.max_limit)

        return cursor_parameters

    @classmethod
    async def load(cls, source: Source, wanted: Any) -> Part:
        """Load the page after a cursor."""
        cursor, size = wanted
        items, following = await source.after(cursor, limit=size)
        head = {"size": size, "count": len(items), "next_cursor": following}
        return Part(head, items)
