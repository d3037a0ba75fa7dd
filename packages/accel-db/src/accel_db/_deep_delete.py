"""Objects, deleted with their children."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import (
    Mapper,
    RelationshipDirection,
    RelationshipProperty,
    Session,
    object_mapper,
)
from sqlalchemy.orm.attributes import set_committed_value

from accel_db._deep_read import load_deep, related
from accel_db._errors import Conflict, ConstraintViolation, ForeignKeyConflict
from accel_db._mixins import is_soft, mark
from accel_db._plan import Plan
from accel_db._translation import translated
from accel_db._values import key_criteria


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
    """Delete *instance* alone: links go with it, children as its cascades say.

    Raises:
        ForeignKeyConflict: children need it, and nobody asked to delete them.
    """
    _delete(session, [instance])
    try:
        with translated(session):
            session.flush()
    except Conflict:
        raise
    except ConstraintViolation as exc:
        # By default SQLAlchemy sets the foreign key of children to NULL.
        raise ForeignKeyConflict(
            None, table=exc.table, columns=exc.columns, kind="foreign key"
        ) from exc


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
    soft = {id(x): x for x in instances if is_soft(x)}
    for instance in soft.values():
        mark(instance)
    if id(instances[0]) in soft:
        # A marked row still refers to its children, so they stay.
        return
    hard = [x for x in instances if id(x) not in soft]
    # An unloaded collection of links would be loaded row by row, in the flush.
    load_deep(session, hard, _LINKS)
    _cut_circles(session, hard)
    for instance in hard:
        session.delete(instance)


def _cut_circles(session: Session, roots: Iterable[object]) -> None:
    """Unlink the children that are also ancestors: no order could delete them."""
    done: set[int] = set()
    for root in roots:
        if id(root) in done:
            continue
        path = {id(root)}
        stack = [(root, iter(_edges(root)))]
        while stack:
            parent, edges = stack[-1]
            edge = next(edges, None)
            if edge is None:
                stack.pop()
                path.discard(id(parent))
                done.add(id(parent))
                continue
            relationship, child = edge
            if id(child) in path:
                _unlink(session, parent, relationship, child)
            elif id(child) not in done:
                path.add(id(child))
                stack.append((child, iter(_edges(child))))


def _edges(parent: object) -> list[tuple[RelationshipProperty[Any], object]]:
    return [
        (relationship, child)
        for relationship in object_mapper(parent).relationships
        if is_children(relationship)
        for child in related(parent, relationship)
    ]


def _unlink(
    session: Session,
    parent: object,
    relationship: RelationshipProperty[Any],
    child: object,
) -> None:
    """Set the foreign key of *child* to NULL, behind the back of the unit of work."""
    mapper = object_mapper(child)
    names = [mapper.get_property_by_column(c).key for c in relationship.remote_side]
    key = tuple(mapper.primary_key_from_instance(child))
    session.execute(
        update(mapper)
        .where(*key_criteria(mapper, key))
        .values(dict.fromkeys(names))
        .execution_options(synchronize_session=False)
    )
    for name in names:
        set_committed_value(child, name, None)
    if relationship.back_populates is not None:
        set_committed_value(child, relationship.back_populates, None)
    rest = [x for x in related(parent, relationship) if x is not child]
    value = rest if relationship.uselist else None
    set_committed_value(parent, relationship.key, value)
