"""The endpoints of a view set, one class each."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from accel_db import OrmAsync
from accel_viewset._filters import Selection
from accel_viewset._generic import ORM, GenericViewSet
from accel_viewset._keys import text_of
from accel_viewset._listing import Listing
from accel_viewset._paginators import BasePaginatorClass, Part
from accel_viewset._rendering import page_bytes
from accel_viewset._schemas import Partial

_LARGEST = 2**63 - 1
_PROBLEMS: dict[int, dict[str, Any]] = {
    404: {"description": "There is no such row"},
    409: {"description": "The row collides with another one"},
}


class ViewSetList(GenericViewSet):
    """`GET prefix`: list rows."""

    def _register_endpoint(self) -> None:
        cls = type(self)
        # Whoever overrides `list` means it, paginator or not.
        replaced = cls.list is not ViewSetList.list
        paged = cls.list_paginator is not ViewSetList.list_paginator
        if self.paginator_class is not None and (paged or not replaced):
            self.list_paginator()
        else:
            self.list()

    @staticmethod
    def get_offset(page: int, size: int) -> int:
        """Return how many rows come before *page*."""
        return (page - 1) * size

    def list_paginator(self) -> Any:
        """Register the endpoint that lists rows in pages."""
        paginator = self._paginator

        async def get_list_items_paginator(
            request: Request,
            response: Response,
            wanted: Any,
            selection: Any,
            aorm: Any = ORM,
        ) -> Any:
            listing = self._listing(request, selection, aorm)
            part = await paginator.load(listing, wanted)
            return self._reply(self._page_bytes(paginator, part, wanted), response)

        return self._route(
            "GET",
            "",
            get_list_items_paginator,
            self._list_parameters(paginator.parameters(self)),
            cacheable=True,
            response_model=paginator.schema_of(self.pydantic_model),
        )

    def _page_bytes(
        self, paginator: type[BasePaginatorClass], part: Part, wanted: Any
    ) -> bytes:
        if not _is_custom(paginator):
            return page_bytes(part.head, self._renderer.many(part.items))
        page, size = wanted
        content = paginator.json(page, size, self._renderer.models(part.items))
        return (
            paginator.Schema.model_validate(content, from_attributes=True)
            .model_dump_json(by_alias=True)
            .encode()
        )

    def list(self) -> Any:
        """Register the endpoint that lists rows."""

        async def get_list_items(
            request: Request,
            response: Response,
            wanted: Any,
            selection: Any,
            aorm: Any = ORM,
        ) -> Any:
            skip, limit = wanted
            listing = self._listing(request, selection, aorm)
            items = await listing.items(offset=skip, limit=limit)
            return self._reply(self._renderer.many(items), response)

        def part_parameters(
            skip: Annotated[int, Query(ge=0)] = 0,
            limit: Annotated[
                int, Query(ge=1, description=f"At most {self.max_limit} items")
            ] = min(100, self.max_limit),
        ) -> tuple[int, int]:
            return min(skip, _LARGEST), min(limit, self.max_limit)

        return self._route(
            "GET",
            "",
            get_list_items,
            self._list_parameters(part_parameters),
            cacheable=True,
            response_model=list[self.pydantic_model],  # type: ignore[name-defined]  # known at run time
        )

    def _list_parameters(self, wanted: Callable[..., Any]) -> dict[str, Any]:
        return {
            "wanted": Annotated[Any, Depends(wanted)],
            "selection": Annotated[Selection, Depends(self._filters.parameters())],
        }

    def _listing(
        self, request: Request, selection: Selection, aorm: OrmAsync
    ) -> Listing:
        statement = selection.apply(self._rows(request))
        key = self._key.criteria_columns
        return Listing(aorm, statement, selection.order, key, self._deep)


def _is_custom(paginator: type[BasePaginatorClass]) -> bool:
    return (
        paginator.json is not BasePaginatorClass.json
        or paginator.Schema is not BasePaginatorClass.Schema
    )


class ViewSetCreate(GenericViewSet):
    """`POST prefix`: create a row."""

    def _register_endpoint(self) -> None:
        self.create()

    def create(self) -> Any:
        """Register the endpoint that creates a row."""

        async def create_item(
            request: Request, response: Response, item: Any, aorm: Any = ORM
        ) -> Any:
            created = await self.db_create(item, aorm)
            reply = self._reply(self._renderer.one(created), response, 201)
            if (key := self._key.read(created)) is not None:
                path = request.url.path.rstrip("/")
                reply.headers["Location"] = f"{path}/{text_of(key)}"
            return reply

        return self._route(
            "POST",
            "",
            create_item,
            {"item": self.create_schema},
            response_model=self.pydantic_model,
            status_code=201,
            responses={409: _PROBLEMS[409]},
        )

    async def db_create(self, item: Any, aorm: OrmAsync) -> object:
        """Create the row; override it to do more."""
        deep: Any = type(item) if self.deep_schema else False
        created = await aorm.create_item(item, self.db_model, deep=deep)
        return await self._complete(created, deep, aorm)

    async def _complete(self, row: Any, deep: Any, aorm: OrmAsync) -> Any:
        """Load what the response needs beyond what the request named."""
        if not self.deep_schema or deep is self.pydantic_model:
            return row
        return await aorm.eager_refresh(row, deep=self._deep)


class ViewSetRetrieve(GenericViewSet):
    """`GET prefix/{item_id}`: read a row."""

    def _register_endpoint(self) -> None:
        self.retrieve()

    def retrieve(self) -> Any:
        """Register the endpoint that reads a row."""

        async def get_item(response: Response, item_id: Any, aorm: Any = ORM) -> Any:
            found = await self._found(item_id, aorm)
            return self._reply(self._renderer.one(found), response)

        return self._route(
            "GET",
            "/{item_id}",
            get_item,
            {"item_id": self.type_item_id},
            cacheable=True,
            response_model=self.pydantic_model,
            responses={404: _PROBLEMS[404]},
        )


class _Writing(GenericViewSet):
    """Changes a row that exists."""

    async def db_update(
        self, item_id: str | int | UUID, item: Any, aorm: OrmAsync
    ) -> object:
        """Update the row, or return None; override it to do more.

        *item* is complete for PUT, and has what was sent for PATCH.
        """
        deep: Any = self.update_schema if self.deep_schema else False
        row: object = await aorm.update_item(
            self.db_model, self._parts(item_id), self._payload(item), deep=deep
        )
        if row is None or not self.deep_schema:
            return row
        return await aorm.eager_refresh(row, deep=self._deep)

    def _payload(self, item: BaseModel) -> dict[str, Any]:
        """Return what to set: all of a replacement, the given part of a change."""
        given = item.model_fields_set
        fields = {name: getattr(item, name) for name in type(item).model_fields}
        if isinstance(item, Partial):
            return {name: fields[name] for name in fields if name in given}
        return {
            name: value
            for name, value in fields.items()
            if name in given or value is not None or self._may_be_null(name)
        }

    def _may_be_null(self, name: str) -> bool:
        attribute = self._mapper.column_attrs.get(name)
        return attribute is None or bool(
            getattr(attribute.columns[0], "nullable", True)
        )

    def _update_route(self, method: str, schema: type[BaseModel], endpoint: Any) -> Any:
        return self._route(
            method,
            "/{item_id}",
            endpoint,
            {"item_id": self.type_item_id, "item": schema},
            response_model=self.pydantic_model,
            responses=_PROBLEMS,
        )

    async def _updated(
        self, item_id: Any, item: Any, response: Response, aorm: OrmAsync
    ) -> Response:
        updated = await self.db_update(item_id, item, aorm)
        if updated is None:
            raise self._missing(item_id)
        return self._reply(self._renderer.one(updated), response)


class ViewSetUpdate(_Writing):
    """`PUT prefix/{item_id}`: replace a row."""

    def _register_endpoint(self) -> None:
        self.update()

    def update(self) -> Any:
        """Register the endpoint that replaces a row."""

        async def update_item(
            response: Response, item_id: Any, item: Any, aorm: Any = ORM
        ) -> Any:
            return await self._updated(item_id, item, response, aorm)

        return self._update_route("PUT", self.update_schema, update_item)


class ViewSetPartialUpdate(_Writing):
    """`PATCH prefix/{item_id}`: change what is sent."""

    def _register_endpoint(self) -> None:
        self.partial_update()

    def partial_update(self) -> Any:
        """Register the endpoint that changes a row."""

        async def partial_update_item(
            response: Response, item_id: Any, item: Any, aorm: Any = ORM
        ) -> Any:
            return await self._updated(item_id, item, response, aorm)

        return self._update_route("PATCH", self._patch_schema, partial_update_item)


class ViewSetDelete(GenericViewSet):
    """`DELETE prefix/{item_id}`: delete a row."""

    def _register_endpoint(self) -> None:
        self.delete()

    def delete(self) -> Any:
        """Register the endpoint that deletes a row."""

        async def delete_item(item_id: Any, aorm: Any = ORM) -> None:
            if not await self.db_delete(item_id, aorm):
                raise self._missing(item_id)

        return self._route(
            "DELETE",
            "/{item_id}",
            delete_item,
            {"item_id": self.type_item_id},
            status_code=204,
            responses=_PROBLEMS,
        )

    async def db_delete(self, item_id: str | int | UUID, aorm: OrmAsync) -> bool:
        """Delete the row; tell whether there was one. Override it to do more."""
        return await aorm.delete_item(
            self.db_model, self._parts(item_id), deep=self.deep_schema
        )


class ReadOnlyViewSet(ViewSetList, ViewSetRetrieve):
    """List and retrieve."""


class FullViewSet(
    ViewSetList,
    ViewSetCreate,
    ViewSetRetrieve,
    ViewSetUpdate,
    ViewSetPartialUpdate,
    ViewSetDelete,
):
    """List, create, retrieve, replace, change and delete."""
