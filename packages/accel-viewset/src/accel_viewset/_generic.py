"""What all view sets share: their attributes, and how they are mounted."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy import Select, inspect, select
from sqlalchemy.orm import Mapper

from accel_db import MainDatabaseManager, NotFound, OrmAsync
from accel_viewset._app_orm import MANAGER, AppOrm, manager_of
from accel_viewset._caching import cache_of, cached, connect, tables_read
from accel_viewset._errors import ConfigurationError
from accel_viewset._filters import FilterSet
from accel_viewset._keys import Key
from accel_viewset._paginators import BasePaginatorClass
from accel_viewset._rendering import Renderer
from accel_viewset._routing import ViewSetRouter
from accel_viewset._schemas import (
    create_schema,
    patch_schema,
    related_names,
    update_schema,
)

_JSON = "application/json"
_EAGER = frozenset({"joined", "selectin", "subquery", "immediate"})
ORM = Depends(AppOrm.aget_orm)


class BaseViewSet:
    """The root of everything that registers endpoints."""

    def _register_endpoint(self) -> None:
        """Register the endpoints of this class; `as_view` calls it on each base."""


class GenericViewSet(BaseViewSet):
    """Holds the settings of a view set, and mounts it on a router."""

    db_model: Any
    """The model whose rows are served."""
    pydantic_model: type[BaseModel]
    """The schema of responses: what it does not name never leaves the service."""
    create_schema: type[BaseModel]
    """What a client sends to create; by default without keys and server columns."""
    update_schema: type[BaseModel]
    """What a client sends to replace; by default without keys and server columns."""
    tags: list[str]
    """Tags in OpenAPI; by default the name of the class."""
    paginator_class: Any = None
    page_size: int = 10
    max_limit: int = 1000
    """The most that one response lists; a client that asks for more gets this."""
    cache_class: Any = None
    """A Redis client, or an `accel_cache.Cache`, for list and retrieve."""
    cache_ttl: timedelta | float = timedelta(seconds=3)
    deep_schema: bool = False
    """Read and write nested schemas as related rows."""
    dependencies: Sequence[Any] = ()
    """Dependencies of every route, such as `Depends(jwt_auth)`."""
    type_item_id: Any = None
    """The type of keys in paths; by default that of the column."""
    filters: Sequence[str] | Mapping[str, Sequence[str]] = ()
    """Columns that clients may filter by; a mapping names the look-ups, too."""
    ordering: Sequence[str] = ()
    """Columns that clients may order by."""
    default_ordering: Sequence[str] = ()
    """The order without a wish; `-name` reverses. The key always decides ties."""
    search: Sequence[str] = ()
    """Text columns that `?search=` looks into."""
    database_manager: MainDatabaseManager | None = None
    """The database; by default `app.state.DATABASE_MANAGER`."""

    router: ViewSetRouter
    prefix: str
    name_pk: str
    openapi_tag: dict[str, Any]

    def as_view(self, router: APIRouter, prefix: str) -> Self:
        """Register the endpoints on *router* under *prefix*, and return the view set.

        Raises:
            ConfigurationError: an attribute contradicts the model.
        """
        cls = type(self)
        self.prefix = prefix
        self.tags = list(getattr(self, "tags", [cls.__name__]))
        self.dependencies = list(self.dependencies)
        self._mapper: Mapper[Any] = self._checked_model()
        self._key = Key.of(self._mapper, cls.type_item_id)
        self.type_item_id = self._key.annotation
        self.name_pk = self._key.names[0]
        self._set_schemas()
        self._set_filters()
        self._set_cache()
        self.router = ViewSetRouter(self, self.dependencies)
        for base in cls.__mro__:
            if "_register_endpoint" in vars(base):
                vars(base)["_register_endpoint"](self)
        router.include_router(self.router)
        self.openapi_tag = {"name": self.tags[0], "description": str(self)}
        return self

    def __str__(self) -> str:
        """Describe the view set for OpenAPI."""
        facts = [f"**db_model**={self.db_model.__name__}"]
        if names := ", ".join(map(_name_of, self.dependencies)):
            facts.append(f"**dependencies**=[{names}]")
        if self.cache_class is not None:
            facts.append("**cache**=On")
        if self.deep_schema:
            facts.append("**deep_schema**=On")
        title = (type(self).__doc__ or "").strip() or type(self).__name__
        return f"{title}: {' '.join(facts)}"

    # Mounting

    def _checked_model(self) -> Mapper[Any]:
        model = getattr(self, "db_model", None)
        mapper = inspect(model, raiseerr=False) if model is not None else None
        if not isinstance(mapper, Mapper):
            raise self._refuse("db_model", f"{model!r} is no mapped class")
        if not hasattr(self, "pydantic_model"):
            raise self._refuse("pydantic_model", "it is missing")
        return mapper

    def _refuse(self, attribute: str, reason: str) -> ConfigurationError:
        return ConfigurationError(type(self).__name__, attribute, reason)

    def _set_schemas(self) -> None:
        model, mapper = self.pydantic_model, self._mapper
        self._check_relationships()
        if not hasattr(self, "create_schema"):
            self.create_schema = create_schema(model, mapper)
        if not hasattr(self, "update_schema"):
            self.update_schema = update_schema(model, mapper)
        self._patch_schema = patch_schema(self.update_schema, model.__name__)
        self._renderer = Renderer(model)

    def _check_relationships(self) -> None:
        if self.deep_schema:
            return
        for name in related_names(self.pydantic_model, self._mapper):
            if self._mapper.relationships[name].lazy not in _EAGER:
                raise self._refuse(
                    "pydantic_model",
                    f"{name!r} is a relationship, which is not loaded; set "
                    "`deep_schema = True`",
                )

    def _set_filters(self) -> None:
        try:
            self._filters = FilterSet(
                self._mapper,
                self.filters,
                self.ordering,
                self.search,
                self.default_ordering,
            )
        except ValueError as exc:
            raise self._refuse("filters", str(exc)) from exc

    def _set_cache(self) -> None:
        self._cache: Any = None
        if self.cache_class is not None:
            self._cache = cache_of(self.cache_class, type(self).__name__)
        self._tables = tables_read(self._mapper, self.pydantic_model)

    def enter(self, request: Request) -> None:
        """Prepare the answer to *request*: which database, and which cache follows it."""
        if self.database_manager is not None:
            request.scope[MANAGER] = self.database_manager
        if self._cache is not None:
            connect(manager_of(request), self._cache)

    def _route(
        self,
        method: str,
        path: str,
        endpoint: Callable[..., Any],
        types: dict[str, Any],
        *,
        cacheable: bool = False,
        **options: Any,
    ) -> Callable[..., Any]:
        """Register *endpoint*, whose parameters have *types*, and return it."""
        endpoint.__annotations__.update(types)
        if cacheable and self._cache is not None:
            endpoint = cached(
                endpoint, self._cache, self.cache_ttl, self._tables, "auto"
            )
        self.router.add_api_route(
            f"{self.prefix}{path}",
            endpoint,
            methods=[method],
            tags=list(self.tags),
            dependencies=self.dependencies,
            **options,
        )
        return endpoint

    # Reading

    def _rows(self, request: Request) -> Select[Any]:
        del request
        return select(self.db_model)

    @property
    def _deep(self) -> Any:
        return self.pydantic_model if self.deep_schema else False

    async def _found(self, item_id: Any, aorm: OrmAsync) -> Any:
        found = await aorm.get_item(
            self.db_model, self._parts(item_id), deep=self._deep
        )
        if found is None:
            raise self._missing(item_id)
        return found

    def _parts(self, item_id: Any) -> tuple[object, ...]:
        return self._key.parts(item_id)

    def _missing(self, item_id: Any) -> NotFound:
        shown = item_id if isinstance(item_id, (int, tuple)) else str(item_id)
        return NotFound(self.db_model.__name__, shown)

    @property
    def _paginator(self) -> type[BasePaginatorClass]:
        paginator: type[BasePaginatorClass] = self.paginator_class
        return paginator

    def _reply(self, body: bytes, injected: Response, status: int = 200) -> Response:
        """Return a response with the headers that dependencies set."""
        response = Response(body, status, media_type=_JSON)
        if self._cache is None or status != 200:  # noqa: PLR2004  # the cache adds them itself
            response.raw_headers.extend(injected.raw_headers)
        return response


def _name_of(dependency: Any) -> str:
    call = getattr(dependency, "dependency", dependency)
    return getattr(call, "__name__", type(call).__name__)
