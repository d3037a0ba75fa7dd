"""Many rows in one request, all or none."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field, create_model
from sqlalchemy import select, tuple_

from accel_db import OrmAsync
from accel_viewset._keys import python_type
from accel_viewset._rows import ORM
from accel_viewset._view_sets import _Deleting, _Writing

_FIXED = "/bulk"


class ViewSetBulk(_Writing, _Deleting):
    """`POST`, `PATCH` and `DELETE` on `prefix/bulk`: many rows, all or none.

    A change names its row by the key beside the fields, a deletion by `?key=1&key=2`.
    """

    max_bulk: int = 1000
    """How many rows one request may touch."""

    _fixed_paths = True

    def _register_endpoint(self) -> None:
        if self.etag == "required":
            raise self._refuse("etag", "one `If-Match` cannot stand for many rows.")
        self._register("bulk_create")
        self._register("bulk_update")
        self._register("bulk_delete")

    def bulk_create(self) -> Any:
        """Register the endpoint that creates rows."""

        async def bulk_create_items(
            request: Request, response: Response, items: Any, aorm: Any = ORM
        ) -> Any:
            async with aorm.transaction():
                # One by one, since `db_create` may be the user's own.
                rows = [await self._create(request, item, aorm) for item in items]
            return self._reply(self._many(rows), response, status=201)

        return self._route(
            "POST",
            _FIXED,
            bulk_create_items,
            {"items": self._several(self.create_schema)},
            response_model=list[self.pydantic_model],  # type: ignore[name-defined]  # known at run time
            status_code=201,
        )

    def bulk_update(self) -> Any:
        """Register the endpoint that changes rows."""

        async def bulk_update_items(
            request: Request, response: Response, items: Any, aorm: Any = ORM
        ) -> Any:
            action, rows = "bulk_update", []
            async with aorm.transaction():
                await self._hold([self._item_id(item) for item in items], aorm)
                for item in items:
                    key = self._item_id(item)
                    rows.append(await self._update(request, action, key, item, aorm))
            return self._reply(self._many(rows), response)

        return self._route(
            "PATCH",
            _FIXED,
            bulk_update_items,
            {"items": self._several(self._keyed_schema())},
            response_model=list[self.pydantic_model],  # type: ignore[name-defined]  # known at run time
        )

    def bulk_delete(self) -> Any:
        """Register the endpoint that deletes rows."""

        async def bulk_delete_items(
            request: Request, key: Any, aorm: Any = ORM
        ) -> None:
            async with aorm.transaction():
                await self._hold(key, aorm)
                # A key that is named twice is no missing row the second time.
                for item_id in dict.fromkeys(key):
                    await self._delete(request, "bulk_delete", item_id, aorm)

        keys = list[self.type_item_id]  # type: ignore[name-defined]  # known at run time
        limits = Query(min_length=1, max_length=self.max_bulk)
        return self._route(
            "DELETE",
            _FIXED,
            bulk_delete_items,
            {"key": Annotated[keys, limits]},
            status_code=204,
        )

    async def _hold(self, keys: Sequence[Any], aorm: OrmAsync) -> None:
        """Lock rows in the order of their keys, so that no two requests deadlock."""
        possible = [self._key.parts(key) for key in keys if self._key.fits(key)]
        if len(possible) < 2:  # noqa: PLR2004  # one row has no order
            return
        columns = self._key.columns
        held = select(*columns).where(tuple_(*columns).in_(possible))
        await aorm.rows(held.order_by(*columns).with_for_update())

    def _several(self, schema: type[BaseModel]) -> Any:
        return Annotated[list[schema], Field(max_length=self.max_bulk)]  # type: ignore[valid-type]  # known at run time

    def _keyed_schema(self) -> type[BaseModel]:
        columns = zip(self._key.names, self._mapper.primary_key, strict=True)
        fields: dict[str, Any] = {n: (python_type(c), ...) for n, c in columns}
        name = f"{self.pydantic_model.__name__}BulkPatch"
        return create_model(name, __base__=self._patch_schema, **fields)

    def _item_id(self, item: Any) -> Any:
        parts = tuple(getattr(item, name) for name in self._key.names)
        return parts[0] if len(parts) == 1 else parts
