"""Nested schemas of requests: what a client sends of related rows."""

import inspect
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, ForwardRef, Protocol, Union, get_args, get_origin

from pydantic import BaseModel
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty

_ONE_TO_MANY = RelationshipDirection.ONETOMANY


class Derive(Protocol):
    """Derives the schema of one related row."""

    def __call__(
        self,
        name: str,
        model: type[BaseModel],
        relationship: RelationshipProperty[Any],
        nested: "NestedSchemas",
    ) -> type[BaseModel]:
        """Return *model* as a client sends it through *relationship*."""
        ...


class NestedSchemas:
    """The schemas of the rows around one, each derived once."""

    def __init__(self, root: str, derive: Derive) -> None:
        self._root = root
        self._derive = derive
        self._names: dict[Any, str] = {}
        self._made: dict[str, type[BaseModel]] = {}

    def annotation(self, found: Any, relationship: RelationshipProperty[Any]) -> Any:
        """Return the annotation *found*, with the schemas of requests in it."""
        if inspect.isclass(found) and issubclass(found, BaseModel):
            return self._schema(found, relationship)
        origin, parts = get_origin(found), get_args(found)
        if origin is Annotated:
            return Annotated[(self.annotation(parts[0], relationship), *parts[1:])]
        own = tuple(self.annotation(part, relationship) for part in parts)
        if own == parts:
            return found
        return Union[own] if origin in {Union, UnionType} else origin[own]  # noqa: UP007  # the parts are known at run time

    def _schema(
        self, model: type[BaseModel], relationship: RelationshipProperty[Any]
    ) -> Any:
        key = (model, relationship)
        if (name := self._names.get(key)) is not None:
            # A tree of rows: the schema that is being derived is a part of itself.
            return self._made.get(name) or ForwardRef(name)
        number = sum(known is model for known, _ in self._names) or ""
        # OpenAPI tells schemas apart by their names.
        name = self._names[key] = f"{model.__name__}{number}In{self._root}"
        self._made[name] = self._derive(name, model, relationship, self)
        return self._made[name]

    def finish(self) -> None:
        """Resolve the names of schemas that are parts of themselves."""
        for schema in self._made.values():
            schema.model_rebuild(_types_namespace=self._made)


def home(mapper: Mapper[Any], name: str) -> Mapper[Any]:
    """Return which of *mapper* and its subclasses has the attribute *name*."""
    own = (m for m in mapper.self_and_descendants if name in m.attrs)
    return next(own, mapper)


def key_names(mapper: Mapper[Any]) -> list[str]:
    """Return the attributes that are the primary key."""
    return [mapper.get_property_by_column(c).key for c in mapper.primary_key]


def remote_names(relationship: RelationshipProperty[Any]) -> set[str]:
    """Return the attributes of the related row that name this one."""
    mapper, columns = relationship.mapper, relationship.remote_side
    return {mapper.get_property_by_column(column).key for column in columns}


def is_partner(relationship: RelationshipProperty[Any]) -> bool:
    """Tell whether the related row has a life of its own, and is only linked."""
    return relationship.direction is not _ONE_TO_MANY


def links_only(item: BaseModel, mapper: Mapper[Any]) -> BaseModel:
    """Return *item* so that a partner which it names by its key is linked, no more.

    It may belong to somebody else: what is sent beside its key must not change it.
    """
    changed = {}
    for name in item.model_fields_set.intersection(mapper.relationships.keys()):
        value = getattr(item, name)
        changed[name] = _each(value, mapper.relationships[name])
    return item.model_copy(update=changed) if changed else item


def _each(value: Any, relationship: RelationshipProperty[Any]) -> Any:
    if isinstance(value, BaseModel):
        return _linked(value, relationship)
    if isinstance(value, Mapping):
        return {name: _each(part, relationship) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        # No set, since a copy of a schema need not be hashable.
        return [_each(part, relationship) for part in value]
    return value


def _linked(item: BaseModel, relationship: RelationshipProperty[Any]) -> BaseModel:
    keys = key_names(relationship.mapper)
    named = all(getattr(item, key, None) is not None for key in keys)
    if not (named and is_partner(relationship)):
        return links_only(item, relationship.mapper)
    # What is not set is not written, unless there is no such row yet.
    copied = item.model_copy()
    copied.model_fields_set.intersection_update(keys)
    return copied
