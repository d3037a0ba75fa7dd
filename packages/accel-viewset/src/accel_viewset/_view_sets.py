"""The endpoints of a view set, one class each."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from accel_db import OrmAsync
from accel_viewset._filters import Selection
from accel_viewset._guards import resolved
from accel_viewset._idempotency import once
from accel_viewset._keys import text_of
from accel_viewset._listing import Listing
from accel_viewset._merging import WholeCheck
from accel_viewset._nested import links_only
from accel_viewset._paginators import BasePaginatorClass, Part
from accel_viewset._parents import completed
from accel_viewset._rendering import custom_page, page_bytes
from accel_viewset._rows import ORM, Rows
from accel_viewset._schemas import Partial

_LARGEST = 2**63 - 1
_OF_ONE_ROW = {"retrieve", "update", "partial_update", "delete"}
_OF_PATHS = "/:@!$&'()*+,;="
_MISSING = {404: {"description": "There is no such row"}}
_COLLISION = {409: {"description": "The row collides with another one"}}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the query of a list asks for."""

    part: Any
    """Whatever the paginator reads: a page, an offset, a cursor."""
    selection: Selection
    expand: frozenset[str]


class ViewSetList(Rows):
    """`GET prefix`: list rows."""

    def _register_endpoint(self) -> None:
        cls = type(self)
        # Whoever overrides `list` means it, paginator or not.
        replaced = cls.list is not ViewSetList.list
        paged = cls.list_paginator is not ViewSetList.list_paginator
        self.router.action = "list"
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
        paginator: type[BasePaginatorClass] = self.paginator_class

        async def get_list_items_paginator(
            request: Request, response: Response, asked: Any, aorm: Any = ORM
        ) -> Any:
            listing = await self._listing(request, asked, aorm)
            part = await paginator.load(listing, asked.part)
            body = self._page(paginator, part, asked)
            return self._reply(body, response, cached=True)

        return self._route(
            "GET",
            "",
            get_list_items_paginator,
            self._list_parameters(paginator.parameters(self)),
            cacheable=True,
            response_model=paginator.schema_of(self.pydantic_model),
        )

    def _page(
        self,
        paginator: type[BasePaginatorClass],
        part: Part,
        asked: Asked,
    ) -> bytes:
        if not paginator.is_custom():
            return page_bytes(part.head, self._many(part.items, asked.expand))
        shown = [self._expansion.view(item, asked.expand) for item in part.items]
        return custom_page(paginator, asked.part, self._renderer.models(shown))

    def list(self) -> Any:
        """Register the endpoint that lists rows."""

        async def get_list_items(
            request: Request, response: Response, asked: Any, aorm: Any = ORM
        ) -> Any:
            skip, limit = asked.part
            listing = await self._listing(request, asked, aorm)
            items = await listing.items(offset=skip, limit=limit)
            return self._reply(self._many(items, asked.expand), response, cached=True)

        async def part_parameters(
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

    def _list_parameters(self, part: Callable[..., Any]) -> dict[str, Any]:
        readers = {"part": part}
        if self._filters:
            readers["selection"] = self._filters.parameters()
        if self._expansion:
            readers["expand"] = self._expansion.parameters()
        nothing = Asked(None, Selection(), frozenset())

        async def asked(**read: Any) -> Asked:
            return replace(nothing, **read)

        asked.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # FastAPI reads it
            [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=Depends(reader)
                )
                for name, reader in readers.items()
            ]
        )
        return {"asked": Annotated[Any, Depends(asked)]}

    async def _listing(self, request: Request, asked: Asked, aorm: OrmAsync) -> Listing:
        lane = self._open_lane
        if self.paginator_class is not None and self.paginator_class.is_custom():
            # Its `json` is promised objects.
            lane = None
        statement = await self._rows(request)
        selection = asked.selection
        if selection.where:
            statement = statement.where(*selection.where)
        if above := self._parents.where(request):
            selection = replace(selection, where=[*above, *selection.where])
        return Listing(
            aorm,
            statement,
            selection,
            self._filters.default_order,
            self._key.columns,
            self._deep(asked.expand),
            lane,
        )


class _Creating(Rows):
    """Creates rows."""

    async def db_create(self, item: Any, aorm: OrmAsync) -> object:
        """Create the row, and return it; override it to do more.

        What is returned is shown: a row, whose related rows are loaded as the response
        needs them, a mapping, or an object of the schema.
        """
        deep: Any = type(item) if self.deep_schema else False
        row = await aorm.create_item(item, self.db_model, deep=deep)
        return await self._completed(row, aorm)

    async def _made(self, row: Any, aorm: OrmAsync, *, by: Any, ours: Any) -> Any:
        """Return what the hook *by* made of a row, ready for the response.

        A hook need not know which related rows the response shows.
        """
        is_ours = getattr(by, "__func__", None) is ours
        if is_ours or not isinstance(row, self.db_model):
            return row
        return await self._completed(row, aorm)

    async def _completed(self, row: Any, aorm: OrmAsync) -> Any:
        """Load what the response needs beyond what the request named."""
        if row is None or not self.deep_schema:
            return row
        return await aorm.eager_refresh(row, deep=self._deep())

    def _linking(self, item: Any, *, is_derived: bool) -> Any:
        """Return *item* without changes to rows that it may only link.

        A schema of yours that names their columns asks for changes; but not where
        what a request may do depends on the row, since nobody asks about these.
        """
        is_guarded = self._is_scoped or self._checks_rows
        if not self.deep_schema or not (is_guarded or is_derived):
            return item
        return links_only(item, self._mapper)

    async def _values(self, request: Request) -> dict[str, Any]:
        """Return the columns of a new row that no client says."""
        values = self._parents.values(request)
        for name, value in self.create_values.items():
            values[name] = await resolved(value(request))
        return values

    async def _create(self, request: Request, item: BaseModel, aorm: OrmAsync) -> Any:
        item = self._linking(item, is_derived=self._derives_create)
        item = completed(item, self._created, await self._values(request))
        if not self._is_scoped:
            return await self._new(item, aorm)
        async with aorm.transaction():
            created = await self._new(item, aorm)
            if (key := self._key.read(created)) is not None:
                await self._check_scope(request, self._is_row(key), aorm)
            return created

    async def _new(self, item: Any, aorm: OrmAsync) -> Any:
        row = await self.db_create(item, aorm)
        row = await self._made(row, aorm, by=self.db_create, ours=_Creating.db_create)
        return await self._stored(row, aorm)


class ViewSetCreate(_Creating):
    """`POST prefix`: create a row."""

    def _register_endpoint(self) -> None:
        self._register("create")

    def create(self) -> Any:
        """Register the endpoint that creates a row."""

        async def create_item(
            request: Request, response: Response, item: Any, aorm: Any = ORM
        ) -> Any:
            async def make() -> Response:
                return await self._created_reply(request, response, item, aorm)

            if self._idempotency is None:
                return await make()
            return await once(self._idempotency, request, response, make)

        return self._route(
            "POST",
            "",
            create_item,
            {"item": self.create_schema},
            response_model=self.pydantic_model,
            status_code=201,
            responses=_COLLISION,
        )

    async def _created_reply(
        self, request: Request, response: Response, item: Any, aorm: OrmAsync
    ) -> Response:
        created = await self._create(request, item, aorm)
        reply = self._reply(self._one(created), response, status=201)
        # An address that nobody answers is none.
        if not self.router.actions & _OF_ONE_ROW:
            return reply
        # `db_create` may be overridden to return anything.
        if (key := self._key.read(created)) is not None:
            # The path has been decoded, and no header takes all that it may hold.
            path = quote(request.scope["path"].rstrip("/"), safe=_OF_PATHS)
            reply.headers["Location"] = f"{path}/{text_of(key)}"
        return reply


class ViewSetRetrieve(Rows):
    """`GET prefix/{item_id}`: read a row."""

    def _register_endpoint(self) -> None:
        self._register("retrieve")

    def retrieve(self) -> Any:
        """Register the endpoint that reads a row."""

        async def get_item(
            request: Request, response: Response, item_id: Any, aorm: Any = ORM
        ) -> Any:
            body = await self._read(request, item_id, frozenset(), aorm)
            return self._reply(body, response, cached=True)

        async def get_expanded_item(
            request: Request,
            response: Response,
            item_id: Any,
            expand: Any,
            aorm: Any = ORM,
        ) -> Any:
            body = await self._read(request, item_id, expand, aorm)
            return self._reply(body, response, cached=True)

        types = {"item_id": self.type_item_id}
        if self._expansion:
            types["expand"] = Annotated[Any, Depends(self._expansion.parameters())]
        return self._route(
            "GET",
            "/{item_id}",
            get_expanded_item if self._expansion else get_item,
            types,
            cacheable=True,
            response_model=self.pydantic_model,
            responses=_MISSING,
        )

    async def _read(
        self, request: Request, item_id: Any, expand: frozenset[str], aorm: OrmAsync
    ) -> bytes:
        if (lane := self._open_lane) is None:
            found = await self.get_object(request, item_id, aorm, expand=expand)
            return self._one(found, expand)
        parts, where = self._key.parts(item_id), self._parents.where(request)
        async with self._keyed(item_id, aorm):
            row = await lane.row(aorm, parts, where)
        if row is None:
            raise self._missing(item_id)
        return self._one(row)


class _Writing(_Creating):
    """Changes rows that exist."""

    async def db_update(
        self, item_id: str | int | UUID, item: Any, aorm: OrmAsync
    ) -> object:
        """Update the row, or return None; override it to do more.

        *item* is complete for PUT, and has what was sent for PATCH. What is returned
        is shown, as from `db_create`.
        """
        deep: Any = self.update_schema if self.deep_schema else False
        row: object = await aorm.update_item(
            self.db_model, self._key.parts(item_id), self._payload(item), deep=deep
        )
        return await self._completed(row, aorm)

    def _payload(self, item: BaseModel) -> dict[str, Any]:
        """Return what to set: all of a replacement, the given part of a change."""
        fields = {name: getattr(item, name) for name in type(item).model_fields}
        given = item.model_fields_set
        partial = isinstance(item, Partial)
        return {
            name: value
            for name, value in fields.items()
            if name not in self._key.names
            and (name in given or not (partial or self._is_left_out(name, value)))
        }

    def _is_left_out(self, name: str, value: Any) -> bool:
        """Tell whether *value* is no more than the absence of one."""
        attribute = self._mapper.column_attrs.get(name)
        if value is not None or attribute is None:
            return False
        return not getattr(attribute.columns[0], "nullable", True)

    async def _update(
        self, request: Request, action: str, item_id: Any, item: Any, aorm: OrmAsync
    ) -> Any:
        async with self._changing(request, action, item_id, aorm):
            # What is sent may contradict what is there.
            if isinstance(item, Partial) and (whole := self._whole) is not None:
                row = await self.get_object(request, item_id, aorm, action=action)
                if self.deep_schema and whole.unread(row):
                    await aorm.eager_refresh(row, deep=self.update_schema)
                whole.check(row, item)
            item = self._linking(item, is_derived=self._derives_update)
            updated = await self.db_update(item_id, item, aorm)
            if updated is None:
                raise self._missing(item_id)
            return await self._made(
                updated, aorm, by=self.db_update, ours=_Writing.db_update
            )

    @cached_property
    def _whole(self) -> WholeCheck | None:
        return WholeCheck.of(self.update_schema)

    def _update_route(self, method: str, schema: type[BaseModel], endpoint: Any) -> Any:
        return self._route(
            method,
            "/{item_id}",
            endpoint,
            {"item_id": self.type_item_id, "item": schema},
            response_model=self.pydantic_model,
            responses={**_MISSING, **_COLLISION},
        )


class ViewSetUpdate(_Writing):
    """`PUT prefix/{item_id}`: replace a row."""

    def _register_endpoint(self) -> None:
        self._register("update")

    def update(self) -> Any:
        """Register the endpoint that replaces a row."""

        async def update_item(
            request: Request,
            response: Response,
            item_id: Any,
            item: Any,
            aorm: Any = ORM,
        ) -> Any:
            updated = await self._update(request, "update", item_id, item, aorm)
            return self._reply(self._one(updated), response)

        return self._update_route("PUT", self.update_schema, update_item)


class ViewSetPartialUpdate(_Writing):
    """`PATCH prefix/{item_id}`: change what is sent."""

    def _register_endpoint(self) -> None:
        self._register("partial_update")

    def partial_update(self) -> Any:
        """Register the endpoint that changes a row."""

        async def partial_update_item(
            request: Request,
            response: Response,
            item_id: Any,
            item: Any,
            aorm: Any = ORM,
        ) -> Any:
            action = "partial_update"
            updated = await self._update(request, action, item_id, item, aorm)
            return self._reply(self._one(updated), response)

        return self._update_route("PATCH", self._patch_schema, partial_update_item)


class _Deleting(Rows):
    """Deletes rows."""

    async def db_delete(self, item_id: str | int | UUID, aorm: OrmAsync) -> bool:
        """Delete the row; tell whether there was one. Override it to do more."""
        return await aorm.delete_item(
            self.db_model, self._key.parts(item_id), deep=self.deep_schema
        )

    async def _delete(
        self, request: Request, action: str, item_id: Any, aorm: OrmAsync
    ) -> None:
        async with self._changing(request, action, item_id, aorm, stays=False):
            if not await self.db_delete(item_id, aorm):
                raise self._missing(item_id)


class ViewSetDelete(_Deleting):
    """`DELETE prefix/{item_id}`: delete a row."""

    def _register_endpoint(self) -> None:
        self._register("delete")

    def delete(self) -> Any:
        """Register the endpoint that deletes a row."""

        async def delete_item(request: Request, item_id: Any, aorm: Any = ORM) -> None:
            await self._delete(request, "delete", item_id, aorm)

        return self._route(
            "DELETE",
            "/{item_id}",
            delete_item,
            {"item_id": self.type_item_id},
            status_code=204,
            responses={**_MISSING, **_COLLISION},
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
