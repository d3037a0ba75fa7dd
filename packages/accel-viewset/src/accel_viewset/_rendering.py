"""From rows to the bytes of a response, always through the schema."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import ResponseValidationError
from pydantic import BaseModel, TypeAdapter, ValidationError

from accel_viewset._paginators import BasePaginatorClass


class Renderer:
    """Writes what the schema *model* lets through, and nothing else."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model
        self._one = TypeAdapter(model)
        self._many = TypeAdapter(list[model])  # type: ignore[valid-type]  # known at run time

    def one(self, item: Any, *, hidden: set[str] | None = None) -> bytes:
        """Return *item*, an object or data, as JSON without the fields *hidden*."""
        found = _checked(self._one, item)
        return self._one.dump_json(found, by_alias=True, exclude=hidden)

    def many(self, items: Sequence[Any], *, hidden: set[str] | None = None) -> bytes:
        """Return *items* as a JSON array."""
        exclude = {"__all__": hidden} if hidden else None
        return self._many.dump_json(self.models(items), by_alias=True, exclude=exclude)

    def models(self, items: Sequence[Any]) -> list[Any]:
        """Return *items* as objects of the schema."""
        found: list[Any] = _checked(self._many, items)
        return found


def _checked(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        # Attributes have the names of fields; an alias is what a client reads and writes.
        return adapter.validate_python(value, from_attributes=True, by_name=True)
    except ValidationError as exc:
        # What the database holds does not fit the schema: our fault, not the client's.
        # Without the input, which may hold what the schema hides.
        raise ResponseValidationError(exc.errors(include_input=False)) from exc


def page_bytes(head: Mapping[str, Any], items: bytes) -> bytes:
    """Return the JSON object of *head* with *items* as its last member."""
    # The items are JSON already: to read them into a page would cost as much again.
    start = _HEAD.dump_json(dict(head))
    return b'%b,"items":%b}' % (start[:-1], items)


def custom_page(
    paginator: type[BasePaginatorClass], wanted: Any, items: Sequence[Any]
) -> bytes:
    """Return the content that a paginator of the user's makes of *items*."""
    page, size = wanted
    content = paginator.json(page, size, items)
    adapter = TypeAdapter(paginator.Schema)
    return adapter.dump_json(_checked(adapter, content), by_alias=True)


_HEAD = TypeAdapter(dict[str, Any])
