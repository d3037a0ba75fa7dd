"""View sets below another one: `/user/{user_id}/file`."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Set as AbstractSet
from typing import Any

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, create_model
from sqlalchemy.orm import Mapper

from accel_viewset._keys import python_type
from accel_viewset._types import type_of


class Parents:
    """The columns whose values are in the path, by the name of the parameter."""

    def __init__(
        self, mapper: Mapper[Any], prefix: str, parents: Mapping[str, str]
    ) -> None:
        self._model = mapper.class_
        self._columns = dict(parents)
        self._types = {}
        self.are_typed = True
        """Whether what is read from a path has the types of the columns already."""
        for parameter, name in parents.items():
            if f"{{{parameter}}}" not in prefix:
                raise ValueError(f"the prefix {prefix!r} has no `{{{parameter}}}`.")
            if name not in mapper.column_attrs:
                raise ValueError(f"{mapper.class_.__name__} has no column {name!r}.")
            column: Any = mapper.column_attrs[name].columns[0]
            self._types[parameter] = python_type(column)
            self.are_typed &= python_type(column) is type_of(column)
        self._readers = {n: TypeAdapter[Any](t) for n, t in self._types.items()}

    def __bool__(self) -> bool:
        return bool(self._columns)

    @property
    def columns(self) -> set[str]:
        """Return the columns that a client does not send."""
        return set(self._columns.values())

    def parameters(self) -> Callable[..., Awaitable[None]]:
        """Return the dependency that declares the parameters of the prefix."""

        async def parents(**_: Any) -> None:
            return None

        parents.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # FastAPI reads it
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
                for name, kind in self._types.items()
            ]
        )
        return parents

    def values(self, request: Request) -> dict[str, Any]:
        """Return the values of the columns; the dependency has checked them."""
        sent = request.path_params
        return {
            column: self._readers[parameter].validate_strings(sent[parameter])
            for parameter, column in self._columns.items()
        }

    def where(self, request: Request) -> list[Any]:
        """Return the conditions for the rows below the path's parents."""
        if not self._columns:
            return []
        values = self.values(request)
        return [getattr(self._model, name) == v for name, v in values.items()]


def extended(schema: type[BaseModel], columns: AbstractSet[str]) -> type[BaseModel]:
    """Return *schema* with the *columns* that the server gives."""
    missing = columns - schema.model_fields.keys()
    if not missing:
        return schema
    # Any, because what comes from the server needs no check.
    fields: dict[str, Any] = dict.fromkeys(missing, (Any, None))
    return create_model(schema.__name__, __base__=schema, **fields)


def completed(
    item: BaseModel, schema: type[BaseModel], values: Mapping[str, Any]
) -> BaseModel:
    """Return *item* with *values*, whatever the client sent."""
    if not values:
        return item
    # Not as arguments, which a schema with aliases would take by these.
    whole = schema.model_construct(item.model_fields_set | values.keys())
    whole.__dict__.update({**item.__dict__, **values})
    return whole
