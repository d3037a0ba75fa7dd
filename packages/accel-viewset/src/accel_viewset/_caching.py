"""Cached reads, and the writes that end them."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel
from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from accel_db import Change, MainDatabaseManager
from accel_viewset._errors import MissingExtra

if TYPE_CHECKING:
    from accel_cache import Cache

# Which caches follow which manager: a link ends with either of them.
_linked: "weakref.WeakKeyDictionary[MainDatabaseManager, weakref.WeakSet[Any]]" = (
    weakref.WeakKeyDictionary()
)


def connect(manager: MainDatabaseManager, cache: Any) -> None:
    """Let every committed write through *manager* invalidate what *cache* holds of it.

    *cache* is a `Cache`, or a client whose cache is meant. Connecting twice is
    connecting once, and a connection keeps neither alive. A write through an async
    session waits for it, and so does one of a sync session in a worker thread.
    """
    found = cache_of(cache, "connect")
    linked = _linked.setdefault(manager, weakref.WeakSet())
    if found in linked:
        return
    linked.add(found)
    # The manager lives as long as the process, and keeps its callbacks alive.
    target = weakref.ref(found)

    def forget(change: Change) -> object:
        alive = target()
        return None if alive is None else alive.invalidate(change.tags)

    weakref.finalize(found, manager.on_change(forget))


def cache_of(cache: Any, asker: str) -> "Cache":
    """Return the `Cache` that *cache*, a client or a cache, stands for."""
    try:
        from accel_cache import cache_for
    except ModuleNotFoundError as exc:
        if exc.name != "accel_cache":
            raise
        raise MissingExtra(asker) from exc
    return cache_for(cache)


def cached(
    endpoint: Callable[..., Any],
    cache: "Cache",
    ttl: timedelta | float,
    tags: Iterable[str],
    scope: Any,
) -> Callable[..., Any]:
    """Return *endpoint* with *cache* in front of it."""
    return cache(ttl=ttl, tags=sorted(tags), scope=scope)(endpoint)


def tables_read(mapper: Mapper[Any], schema: type[BaseModel]) -> set[str]:
    """Return the tables from which *schema* is filled, related ones included."""
    found: set[str] = set()
    waiting: list[tuple[Mapper[Any], type[BaseModel]]] = [(mapper, schema)]
    seen: set[tuple[Mapper[Any], type[BaseModel]]] = set()
    while waiting:
        pair = waiting.pop()
        # Schemas may refer to each other in a circle.
        if pair in seen:
            continue
        seen.add(pair)
        found.update(_names(pair[0].tables))
        for name, field in pair[1].model_fields.items():
            relationship = pair[0].relationships.get(name)
            if relationship is None:
                continue
            found.update(_names([relationship.secondary]))
            found.update(_names(relationship.mapper.tables))
            nested = _models_in(field.annotation)
            waiting.extend((relationship.mapper, model) for model in nested)
    return found


def _names(tables: Iterable[Any]) -> Iterator[str]:
    return (table.fullname for table in tables if isinstance(table, Table))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
