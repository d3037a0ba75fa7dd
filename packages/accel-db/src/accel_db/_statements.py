"""What a statement is about."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Delete, Select, Update, bindparam, select
from sqlalchemy.orm import Mapper, class_mapper

from accel_db._errors import InvalidPayload, UnsafeStatement


def by_key(mapper: Mapper[Any]) -> Select[Any]:
    """Return the query for one row by `pk_0`, `pk_1` …, built once per mapper."""
    cache: dict[Any, Any] = mapper.local_table.info  # type: ignore[attr-defined]
    statement = cache.get((by_key, mapper))
    if statement is None:
        columns = enumerate(mapper.primary_key)
        where = [column == bindparam(f"pk_{i}") for i, column in columns]
        statement = cache[by_key, mapper] = select(mapper).where(*where)
    found: Select[Any] = statement
    return found


def objects(statement: Any, result: Any) -> list[Any]:
    """Return objects for one entity, values for one column, and rows for more."""
    descriptions: Any = getattr(statement, "column_descriptions", ())
    if len(descriptions) != 1:
        return list(result.all())
    entity, expression = descriptions[0].get("entity"), descriptions[0]["expr"]
    scalars = result.scalars()
    if entity is not None and entity is expression:
        # Joined eager loading repeats the parent of each child.
        scalars = scalars.unique()
    return list(scalars.all())


def written_mapper(statement: Update | Delete, operation: str) -> Mapper[Any]:
    """Return the mapper that *statement* writes, if it is safe to execute."""
    description: Any = statement.entity_description
    entity = description["entity"]
    found = sa.inspect(entity, raiseerr=False)
    if not isinstance(found, Mapper):
        raise InvalidPayload(operation, "the statement must name a model, not a table")
    if statement.whereclause is None:
        raise UnsafeStatement(operation, found.class_.__name__)
    return found


def next_version(mapper: Mapper[Any]) -> dict[Any, Any]:
    """Return what a statement must set so that optimistic locks notice it."""
    column = mapper.version_id_col
    generator: Any = mapper.version_id_generator
    if column is None or generator is False:
        return {}
    attribute = mapper.get_property_by_column(column).key
    # In SQL, since the statement may reach rows of several versions.
    if isinstance(column.type, sa.Integer):
        return {attribute: column + 1}
    return {attribute: generator(None)}


def unchanged(mapper: Mapper[Any]) -> dict[str, Any]:
    """Return what an UPDATE may set that changes nothing: it must set something."""
    column = mapper.primary_key[0]
    return {mapper.get_property_by_column(column).key: column}


def model_name(statement: Any) -> str:
    """Return the name of the class that *statement* selects."""
    descriptions = statement.column_descriptions
    entity = descriptions[0].get("entity") if descriptions else None
    return getattr(entity, "__name__", "row")


def mapper_of(statement: Any, db_model: type[Any] | None = None) -> Mapper[Any] | None:
    """Return the mapper that *statement* selects, if it is one."""
    if db_model is not None:
        return class_mapper(db_model)
    descriptions = getattr(statement, "column_descriptions", ())
    entity = descriptions[0].get("entity") if descriptions else None
    found = sa.inspect(entity, raiseerr=False)
    return getattr(found, "mapper", None)
