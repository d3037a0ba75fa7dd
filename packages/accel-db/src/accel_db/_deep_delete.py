"""Objects, deleted with their children."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import (
    Mapper,
    RelationshipDirection,
    RelationshipProperty,
    Session,
    object_mapper,
)

from accel_db._deep_read import load_deep, related
from accel_db._mixins import mark, soft_delete_column
from accel_db._plan import Plan


class _Children:
    """Follows relationships downwards only: to children, never to a parent."""

    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        for relationship in mapper.relationships:
            if is_children(relationship):
                yield relationship, self


class _Links:
    """Loads many-to-many collections, so that a flush deletes the links alone."""

    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        for relationship in mapper.relationships:
            if relationship.secondary is not None and not relationship.viewonly:
                yield relationship, _NOTHING


class _Nothing:
    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        del mapper
        return iter(())


_CHILDREN, _LINKS, _NOTHING = _Children(), _Links(), _Nothing()


def is_children(relationship: RelationshipProperty[Any]) -> bool:
    """Tell whether the other side of *relationship* holds the foreign key."""
    return (
        relationship.direction is RelationshipDirection.ONETOMANY
        and not relationship.viewonly
        and relationship.lazy not in {"dynamic", "write_only", "noload"}
    )


def delete_flat(session: Session, instance: object) -> None:
    """Delete *instance* alone: links go with it, children as its cascades say."""
    _delete(session, [instance])


def delete_deep(session: Session, *instances: object) -> None:
    """Delete *instances* and everything below them, in one flush."""
    load_deep(session, instances, _CHILDREN)
    everything = _with_descendants(instances)
    _delete(session, everything)


def _with_descendants(roots: Iterable[object]) -> list[object]:
    found: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        instance = waiting.pop()
        if id(instance) in found:
            continue
        found[id(instance)] = instance
        for relationship in object_mapper(instance).relationships:
            if is_children(relationship):
                waiting.extend(related(instance, relationship))
    return list(found.values())


def _delete(session: Session, instances: list[object]) -> None:
    soft = [x for x in instances if soft_delete_column(object_mapper(x)) is not None]
    for instance in soft:
        mark(instance)
    if soft and instances[0] in soft:
        # A marked row still refers to its children, so they stay.
        return
    hard = [x for x in instances if x not in soft]
    load_deep(session, hard, _LINKS)
    _cut_circles(session, hard)
    for instance in hard:
        session.delete(instance)


def _cut_circles(session: Session, instances: list[object]) -> None:
    """Set nullable references within one table to NULL, where rows refer in a circle."""
    doomed = set(map(id, instances))
    for instance in instances:
        for relationship in object_mapper(instance).relationships:
            if relationship.direction is not RelationshipDirection.MANYTOONE:
                continue
            if relationship.viewonly or not _self_referential(relationship):
                continue
            if _reaches_itself(instance, relationship, doomed):
                setattr(instance, relationship.key, None)
                session.flush()


def _self_referential(relationship: RelationshipProperty[Any]) -> bool:
    nullable = all(column.nullable for column in relationship.local_columns)
    return nullable and relationship.mapper.common_parent(relationship.parent)


def _reaches_itself(
    instance: object, relationship: RelationshipProperty[Any], doomed: set[int]
) -> bool:
    seen: set[int] = set()
    current: Any = instance.__dict__.get(relationship.key)
    while current is not None and id(current) in doomed and id(current) not in seen:
        if current is instance:
            return True
        seen.add(id(current))
        current = current.__dict__.get(relationship.key)
    return False
