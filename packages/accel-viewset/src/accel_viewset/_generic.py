"""What all view sets share: their attributes, and how they are mounted."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlalchemy import Select, inspect, select
from sqlalchemy.orm import Mapper

from accel_db import MainDatabaseManager
from accel_viewset._actions import actions_of
from accel_viewset._app_orm import MANAGER, manager_of
from accel_viewset._caching import cache_of, cached, connect, tables_read
from accel_viewset._errors import ConfigurationError
from accel_viewset._expansion import Expansion
from accel_viewset._fast_lane import FastLane
from accel_viewset._filters import FilterSet
from accel_viewset._guards import Guards
from accel_viewset._idempotency import IdempotencyStore, MemoryIdempotency
from accel_viewset._keys import Key
from accel_viewset._mistakes import mistakes_in
from accel_viewset._parents import Parents, extended
from accel_viewset._permissions import checks_rows
from accel_viewset._rendering import Renderer
from accel_viewset._routing import ViewSetRouter
from accel_viewset._schemas import (
    create_schema,
    patch_schema,
    related_names,
    update_schema,
)
from accel_viewset._throttling import Throttle

_EAGER = frozenset({"joined", "selectin", "subquery", "immediate"})
# The attributes that name columns for the query of a list.
_LISTS = ("filters", "ordering", "search", "default_ordering")

# What the documentation of the API calls the endpoints.
_VERBS = {
    "list": "list",
    "create": "create",
    "retrieve": "read",
    "update": "replace",
    "partial_update": "change",
    "delete": "delete",
    "bulk_create": "create many",
    "bulk_update": "change many",
    "bulk_delete": "delete many",
}


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
    deep_schema: bool = False
    """Read and write nested schemas as related rows."""
    expand: Sequence[str] = ()
    """Relations that a client may ask for with `?expand=`; others stay unread."""
    type_item_id: Any = None
    """The type of keys in paths; by default that of the column."""
    database_manager: MainDatabaseManager | None = None
    """The database; by default `app.state.DATABASE_MANAGER`."""

    paginator_class: Any = None
    """How lists are cut: `DefaultPaginator`, another, or one of yours; by default by
    `skip` and `limit`, without a total."""
    page_size: int = 10
    """How many rows a page has unless the client says."""
    max_limit: int = 1000
    """The most that one response lists; a client that asks for more gets this."""
    filters: Sequence[str] | Mapping[str, Sequence[str]] = ()
    """Columns that clients may filter by; a mapping names the look-ups, too."""
    ordering: Sequence[str] = ()
    """Columns that clients may order by."""
    default_ordering: Sequence[str] = ()
    """The order without a wish; `-name` reverses. The key always decides ties."""
    search: Sequence[str] = ()
    """Text columns that `?search=` looks into."""

    dependencies: Sequence[Any] = ()
    """Dependencies of every route, such as `Depends(jwt_auth)`."""
    action_dependencies: Mapping[str, Sequence[Any]] = {}
    """More dependencies, by action: `{"create": [Depends(admin)]}`."""
    permissions: Sequence[Any] = ()
    """Objects like `Permission`, all of which must agree."""
    throttle: Throttle | None = None
    """How often one client may ask."""
    create_values: Mapping[str, Callable[[Request], Any]] = {}
    """Columns of a new row that the server gives, by functions of the request, which
    may be async: `{"owner": lambda request: request.state.jwt["sub"]}`. A client does
    not send them, and the derived schemas leave them out."""
    parents: Mapping[str, str] = {}
    """Columns that parameters of the prefix fix: `{"user_id": "owner_id"}`."""

    cache_class: Any = None
    """A Redis client, or an `accel_cache.Cache`, for list and retrieve."""
    cache_ttl: timedelta | float = timedelta(seconds=3)
    """How long a cached response is fresh, in seconds or as a timedelta."""
    cache_scope: Any = None
    """For whom a response is cached: `"auto"` (who has the same credentials) or a
    function of the request. It must be said where `scope_query` or the permissions
    look at the request."""
    cache_tags: Sequence[str] = ()
    """Tables that responses depend on, beside those of the schema."""
    etag: bool | Literal["required"] = False
    """Send `ETag` and honour `If-Match`; `"required"` refuses writes without it."""
    idempotent_create: bool | IdempotencyStore = False
    """Honour `Idempotency-Key`: in this process, or on a store such as
    `RedisIdempotency`."""

    router: ViewSetRouter
    """Where `as_view` put the endpoints; an override registers on it."""
    prefix: str
    """Where the view set is mounted."""
    name_pk: str
    """The attribute that is the key; the first of a composite one."""
    openapi_tag: dict[str, Any]
    """What `FastAPI(openapi_tags=[...])` takes to describe the view set."""

    def scope_query(self, statement: Select[Any], request: Request) -> Any:
        """Narrow *statement* to the rows that *request* may see and change.

        Override it (it may be async), for all actions at once.
        """
        del request
        return statement

    def as_view(self, router: APIRouter, prefix: str) -> Self:
        """Register the endpoints on *router* under *prefix*, and return the view set.

        Raises:
            ConfigurationError: an attribute contradicts the model, or another one.
        """
        cls = type(self)
        for attribute, reason in mistakes_in(self):
            raise self._refuse(attribute, reason)
        self.prefix = prefix
        # Copies, since the lists of the class belong to all its view sets.
        self.tags = list(getattr(self, "tags", [cls.__name__]))
        self.dependencies = list(self.dependencies)
        self._set_model(cls.type_item_id)
        self._set_schemas()
        self._set_guards()
        self._set_cache()
        self._set_lane()
        self.router = ViewSetRouter(self)
        self._register_everything()
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
        return f"{title.removesuffix('.')}: {' '.join(facts)}"

    def _refuse(self, attribute: str, reason: object) -> ConfigurationError:
        return ConfigurationError(type(self).__name__, attribute, str(reason))

    def _set_model(self, key_type: Any) -> None:
        model = getattr(self, "db_model", None)
        mapper = inspect(model, raiseerr=False) if model is not None else None
        if not isinstance(mapper, Mapper):
            raise self._refuse("db_model", f"{model!r} is no mapped class.")
        if not hasattr(self, "pydantic_model"):
            raise self._refuse("pydantic_model", "it is missing.")
        self._mapper: Mapper[Any] = mapper
        self._everything: Select[Any] = select(mapper.class_)
        self._key = Key.of(mapper, key_type)
        self.type_item_id = self._key.annotation
        named = getattr(type(self), "name_pk", self._key.names[0])
        if named != self._key.names[0]:
            raise self._refuse(
                "name_pk",
                f"{named!r} is not the primary key. Find a row by another column with "
                "`filters`, or an `@action`.",
            )
        self.name_pk = self._key.names[0]

    def _set_schemas(self) -> None:
        model, mapper = self.pydantic_model, self._mapper
        try:
            self._parents = Parents(mapper, self.prefix, self.parents)
        except ValueError as exc:
            raise self._refuse("parents", exc) from exc
        # Related rows that a client may ask for are written with `deep_schema` only.
        read_only = frozenset(() if self.deep_schema else self.expand)
        given = self._parents.columns | self._given()
        hidden = given | read_only
        # What a client sends, completed by what the server gives.
        whole = getattr(self, "create_schema", None) or create_schema(
            model, mapper, read_only
        )
        self._created = extended(whole, given)
        self._derives_create = not hasattr(self, "create_schema")
        if self._derives_create:
            self.create_schema = create_schema(model, mapper, hidden)
        self._derives_update = not hasattr(self, "update_schema")
        if self._derives_update:
            self.update_schema = update_schema(model, mapper, hidden)
        self._patch_schema = patch_schema(self.update_schema, model.__name__)
        self._renderer = Renderer(model)
        try:
            self._expansion = Expansion(
                model, mapper, self.expand, deep=self.deep_schema
            )
        except ValueError as exc:
            raise self._refuse("expand", exc) from exc
        self._check_relationships()

    def _given(self) -> set[str]:
        for name, value in self.create_values.items():
            if name not in self._mapper.column_attrs:
                model = self._mapper.class_.__name__
                raise self._refuse("create_values", f"{model} has no column {name!r}.")
            if not callable(value):
                raise self._refuse(
                    "create_values",
                    f"{value!r} is no function of the request, such as "
                    '`lambda request: request.state.jwt["sub"]`.',
                )
        return set(self.create_values)

    def _check_relationships(self) -> None:
        if self.deep_schema:
            return
        for name in related_names(self.pydantic_model, self._mapper):
            loaded = self._mapper.relationships[name].lazy in _EAGER
            if not loaded and name not in self.expand:
                raise self._refuse(
                    "pydantic_model",
                    f"{name!r} is a relationship, which nothing loads. Set "
                    "`deep_schema = True`, or name it in `expand`.",
                )

    def _set_guards(self) -> None:
        self._is_scoped = type(
            self
        ).scope_query is not GenericViewSet.scope_query or bool(self._parents)
        self._checks_rows = any(map(checks_rows, self.permissions))
        self._guards = Guards(self)
        store = MemoryIdempotency() if self.idempotent_create is True else None
        self._idempotency: Any = store or self.idempotent_create or None
        lists: dict[str, Any] = {name: getattr(self, name) for name in _LISTS}
        for name, value in lists.items():
            # Each by itself, so that the right one is blamed.
            try:
                FilterSet(self._mapper, **{name: value})
            except ValueError as exc:
                raise self._refuse(name, exc) from exc
        self._filters = FilterSet(self._mapper, **lists)

    def _set_cache(self) -> None:
        self._cache: Any = None
        if self.cache_class is None:
            return
        # `parents` are in the path, and so in the key of what is cached.
        looks = self._checks_rows or (
            type(self).scope_query is not GenericViewSet.scope_query
        )
        if looks and self.cache_scope is None:
            raise self._refuse(
                "cache_class",
                "what is read depends on the request, so the cache must know for whom "
                'it keeps a response. Set `cache_scope = "auto"` if `Authorization` and '
                "cookies tell, or to a function of the request.",
            )
        self._cache = cache_of(self.cache_class, type(self).__name__)

    def _set_lane(self) -> None:
        custom = type(self).scope_query is not GenericViewSet.scope_query
        self._lane: FastLane | None = None
        if custom or self._checks_rows or self.deep_schema or self.expand:
            return
        # The lane compares columns with what it is given, and reads no text as a number.
        if self._parents.are_typed:
            self._lane = FastLane.of(
                self._renderer, self._mapper, self._key, self.default_ordering
            )

    def _register_everything(self) -> None:
        for action in actions_of(type(self)):
            self.router.action = action.name
            self.router.add_api_route(
                f"{self.prefix}{action.route}",
                getattr(self, action.name),
                methods=list(action.methods),
                **{"tags": list(self.tags), **action.options},
            )
        # A fixed path such as `/bulk` must come before `/{item_id}`.
        bases = [b for b in type(self).__mro__ if "_register_endpoint" in vars(b)]
        for base in sorted(bases, key=lambda b: not getattr(b, "_fixed_paths", False)):
            self.router.action = None
            vars(base)["_register_endpoint"](self)
        # A misspelt action would leave its route without what should guard it.
        unknown = set(self.action_dependencies) - self.router.actions
        if unknown:
            raise self._refuse(
                "action_dependencies",
                f"there is no action {sorted(unknown)}, only "
                f"{sorted(self.router.actions)}.",
            )

    def _register(self, action: str) -> None:
        """Call the method *action*, and know its routes by this name."""
        self.router.action = action
        getattr(self, action)()

    # What the router asks

    def guards(self, action: str) -> list[Any]:
        """Return the dependencies of the routes of *action*."""
        return self._guards.of(action)

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
        # FastAPI reads types from the function, and these are known since `as_view` only.
        endpoint.__annotations__.update(types)
        if cacheable and self._cache is not None:
            tables = tables_read(self._mapper, self.pydantic_model)
            endpoint = cached(
                endpoint,
                self._cache,
                self.cache_ttl,
                tables | set(self.cache_tags),
                self.cache_scope or "auto",
            )
        if (verb := _VERBS.get(self.router.action or "")) is not None:
            options.setdefault("summary", f"{self.pydantic_model.__name__}: {verb}")
        self.router.add_api_route(
            f"{self.prefix}{path}",
            endpoint,
            methods=[method],
            tags=list(self.tags),
            **options,
        )
        return endpoint


def _name_of(dependency: Any) -> str:
    call = getattr(dependency, "dependency", dependency)
    return getattr(call, "__name__", type(call).__name__)
