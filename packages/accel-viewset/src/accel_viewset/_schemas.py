"""The schemas of requests, derived from the schema of responses."""

import copy
import datetime as dt
import types
from collections.abc import Callable, Iterator, Set as AbstractSet
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from sqlalchemy import Column, Enum, String
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipProperty

from accel_db import AuditMixin, SoftDeleteMixin, TimestampMixin, UtcDateTime
from accel_viewset._nested import (
    NestedSchemas,
    home,
    is_partner,
    key_names,
    remote_names,
)
from accel_viewset._types import type_of

# What a double can hold, which SQLite makes of it.
_FLOAT_DIGITS = 308
_MIXINS = (AuditMixin, SoftDeleteMixin, TimestampMixin)


class Partial(BaseModel):
    """The base of schemas whose fields may all be left out."""


def create_schema(
    model: type[BaseModel], mapper: Mapper[Any], hidden: AbstractSet[str]
) -> type[BaseModel]:
    """Derive what a client sends to create a row: no generated key, no server column.

    A key that nothing generates must be sent, of course; a *hidden* column is not.
    """
    keys = _generated(mapper)
    return _root(model, mapper, keys | hidden, "Create")


def update_schema(
    model: type[BaseModel], mapper: Mapper[Any], hidden: AbstractSet[str]
) -> type[BaseModel]:
    """Derive what a client sends to replace a row: the URL names the key."""
    return _root(model, mapper, {*key_names(mapper), *hidden}, "Update")


def patch_schema(update: type[BaseModel], name: str) -> type[BaseModel]:
    """Derive what a client sends to change some fields: each may be left out."""
    fields: dict[str, Any] = {}
    for field_name, field in update.model_fields.items():
        optional = copy.copy(field)
        if field.is_required():
            optional.default = None
        fields[field_name] = (field.annotation, optional)
    # A validator of the whole cannot judge a part; `WholeCheck` does it later.
    return _model(f"{name}Patch", update, fields, base=Partial, whole=False)


def related_names(model: type[BaseModel], mapper: Mapper[Any]) -> list[str]:
    """Return the fields of *model* that are relationships."""
    return [name for name in model.model_fields if name in mapper.relationships]


def _is_generated(column: Any, mapper: Mapper[Any]) -> bool:
    table: Any = mapper.local_table
    if column.default is not None or column.server_default is not None:
        return True
    return column is getattr(table, "autoincrement_column", None)


def _generated(mapper: Mapper[Any]) -> set[str]:
    """Return the parts of the key that a client does not choose."""
    return {
        mapper.get_property_by_column(column).key
        for column in mapper.primary_key
        if _is_generated(column, mapper)
    }


def _root(
    model: type[BaseModel], mapper: Mapper[Any], hidden: AbstractSet[str], suffix: str
) -> type[BaseModel]:
    name = f"{model.__name__}{suffix}"
    nested = NestedSchemas(name, _related)
    fields, dropped = _sent(model, lambda _: mapper, nested, hidden=hidden)
    nested.finish()
    return _whole(name, model, fields, dropped)


def _related(
    name: str,
    model: type[BaseModel],
    relationship: RelationshipProperty[Any],
    nested: NestedSchemas,
) -> type[BaseModel]:
    """Derive what a client sends of a related row, which may have a key already."""
    mapper = relationship.mapper
    keys = key_names(mapper)
    if is_partner(relationship):
        known = [model.model_fields.get(key) for key in keys]
        if all(field is not None and field.is_required() for field in known):
            return _link(name, model, keys)
        optional = _generated(mapper)
    else:
        # Where a child stands in the data says whose it is.
        optional = _generated(mapper) | remote_names(relationship)
    find = partial(home, mapper)
    fields, dropped = _sent(model, find, nested, kept=frozenset(keys))
    for key in optional & fields.keys():
        annotation, field = fields[key]
        if field.is_required():
            field.default = None
            fields[key] = (annotation | None, field)
    return _whole(name, model, fields, dropped)


def _link(name: str, model: type[BaseModel], keys: list[str]) -> type[BaseModel]:
    """Derive what names a row: whatever is sent beside its key changes nothing."""
    fields = {
        key: (model.model_fields[key].annotation, model.model_fields[key])
        for key in keys
    }
    base = type("Sent", (BaseModel,), {"__module__": __name__})
    return _model(name, model, fields, base=base, whole=False, extra="ignore")


def _sent(
    model: type[BaseModel],
    find: Callable[[str], Mapper[Any]],
    nested: NestedSchemas,
    *,
    hidden: AbstractSet[str] = frozenset(),
    kept: AbstractSet[str] = frozenset(),
) -> tuple[dict[str, Any], dict[str, None]]:
    """Return the fields of *model* that a client sends, and the names of the others."""
    fields: dict[str, Any] = {}
    dropped: dict[str, None] = {}
    for name, field in model.model_fields.items():
        mapper = find(name)
        servers = name not in kept and _is_the_servers(name, field, mapper)
        if name in hidden or servers:
            dropped[name] = None
            continue
        annotation, relationship = field.annotation, mapper.relationships.get(name)
        if relationship is not None:
            annotation = nested.annotation(annotation, relationship)
        fields[name] = (annotation, _bounded(field, mapper.attrs.get(name)))
    return fields, dropped


def _whole(
    name: str,
    model: type[BaseModel],
    fields: dict[str, Any],
    dropped: dict[str, None],
) -> type[BaseModel]:
    # A validator of the whole may look at a field that a client cannot send.
    base = type("Sent", (BaseModel,), _class_attributes(dropped))
    return _model(name, model, fields, base=base, whole=True)


def _bounded(field: FieldInfo, attribute: Any) -> FieldInfo:
    """Return a copy of *field* that refuses what the column cannot hold.

    SQLite would hold it, so that a client would learn of it on PostgreSQL only.
    """
    copied = copy.copy(field)
    if isinstance(attribute, ColumnProperty):
        limits = _limits(attribute.columns[0], field)
        copied.metadata = [*field.metadata, *limits]
    return copied


def _limits(column: Any, field: FieldInfo) -> list[Any]:
    kind = type_of(column)
    if kind is Decimal:
        # SQLite would store infinity, which no schema lets out again.
        digits = (column.type.precision or _FLOAT_DIGITS) - (column.type.scale or 0)
        limit = Decimal(10) ** digits
        return _metadata(gt=-limit, lt=limit)
    if not _is_of(field.annotation, kind):
        return []
    if isinstance(column.type, UtcDateTime):
        return [AfterValidator(_aware)]
    if kind is float:
        # A response would have to say null.
        return _metadata(allow_inf_nan=False)
    # A type of the user's own may store another text than the one that is sent. And an
    # Enum is a String to SQLAlchemy, but its values are no texts, which have a length.
    is_text = isinstance(column.type, String) and not isinstance(column.type, Enum)
    if not is_text or column.type.length is None:
        return []
    return _metadata(max_length=column.type.length)


def _aware(moment: dt.datetime | None) -> dt.datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a time without a zone names no moment; add one, such as `Z`")
    return moment


def _is_of(annotation: Any, kind: type[Any] | None) -> bool:
    """Tell whether *annotation* is *kind*, or that or None."""
    if get_origin(annotation) not in {Union, types.UnionType}:
        return annotation is kind
    return set(get_args(annotation)) == {kind, type(None)}


def _metadata(**constraints: Any) -> list[Any]:
    field: FieldInfo = Field(**constraints)
    return field.metadata


def _class_attributes(names: dict[str, None]) -> dict[str, Any]:
    hints = dict.fromkeys(names, ClassVar[Any])
    return {**names, "__annotations__": hints, "__module__": __name__}


def _is_the_servers(name: str, field: FieldInfo, mapper: Mapper[Any]) -> bool:
    if name in mapper.relationships:
        return mapper.relationships[name].viewonly
    attribute = mapper.attrs.get(name)
    if not isinstance(attribute, ColumnProperty):
        return True
    column = attribute.columns[0]
    if not isinstance(column, Column) or column is mapper.version_id_col:
        return True
    if any(issubclass(mapper.class_, m) and hasattr(m, name) for m in _MIXINS):
        return True
    return _is_filled_in(column, required=field.is_required())


def _is_filled_in(column: Column[Any], *, required: bool) -> bool:
    """Tell whether *column* is given its value, not by a client."""
    if column.computed or column.identity or column.onupdate or column.server_onupdate:
        return True
    # A response always has it, but a client cannot know it before.
    if column.server_default is not None and required:
        return True
    has_default = column.default is not None or column.server_default is not None
    return has_default and _is_time(column)


def _is_time(column: Column[Any]) -> bool:
    found = type_of(column)
    return found is not None and issubclass(found, (dt.date, dt.time))


def _model(
    name: str,
    source: type[BaseModel],
    fields: dict[str, Any],
    *,
    base: type[BaseModel],
    whole: bool,
    **settings: Any,
) -> type[BaseModel]:
    """Build a model from *fields* that checks them as *source* does."""
    # OpenAPI would show a title of the response above the request.
    config = {k: v for k, v in source.model_config.items() if k != "title"}
    config |= settings
    with_config = type(
        base.__name__, (base,), {"model_config": config, "__module__": __name__}
    )
    validators = dict(_field_validators(source, fields))
    if whole:
        validators |= _model_validators(source)
    return create_model(
        name,
        __base__=with_config,
        __doc__=source.__doc__,
        __module__=source.__module__,
        __validators__=validators,
        **fields,
    )


def _field_validators(
    source: type[BaseModel], fields: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    for name, decorator in source.__pydantic_decorators__.field_validators.items():
        wanted = [f for f in decorator.info.fields if f == "*" or f in fields]
        if wanted:
            check = field_validator(*wanted, mode=decorator.info.mode)
            yield name, check(_function(source, decorator.cls_var_name))


def _model_validators(source: type[BaseModel]) -> dict[str, Any]:
    return {
        name: model_validator(mode=decorator.info.mode)(
            _function(source, decorator.cls_var_name)
        )
        for name, decorator in source.__pydantic_decorators__.model_validators.items()
    }


def _function(source: type[BaseModel], name: str) -> Any:
    """Return what was decorated, as it was written in the class body."""
    for cls in source.__mro__:
        if name in vars(cls):
            found = vars(cls)[name]
            return getattr(found, "wrapped", found)
    return getattr(source, name)
