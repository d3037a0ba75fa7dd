"""Related objects, loaded in waves."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.orm import (
    Mapper,
    RelationshipDirection,
    RelationshipProperty,
    Session,
    aliased,
    object_mapper,
)
from sqlalchemy.orm.attributes import set_committed_value

from accel_db._plan import Plan

# Drivers bind a limited number of values per statement.
_CHUNK = 1000


def load_deep(
    session: Session,
    roots: Iterable[object],
    plan: Plan,
    *,
    stale: Collection[int] = (),
) -> None:
    """Fill in the relationships of *roots* that *plan* names.

    Each wave costs one SELECT per relationship, however many objects it holds, and an
    object is visited once, so that cycles end. Objects whose id is
    in *stale* are read again.
    """
    loader = _Loader(session, set(stale))
    visited: set[tuple[int, Plan]] = set()
    wave = {plan: list(roots)}
    while wave:
        followed = [
            (objects, relationship, below)
            for plan, everything in wave.items()
            for mapper, objects in _by_mapper(everything)
            for relationship, below in plan.children(mapper)
        ]
        loader.load_all(followed)
        wave = _next_wave(followed, visited)


def _by_mapper(objects: Iterable[object]) -> Iterable[tuple[Mapper[Any], list[object]]]:
    groups: dict[Mapper[Any], list[object]] = {}
    for instance in objects:
        groups.setdefault(object_mapper(instance), []).append(instance)
    return groups.items()


_Followed = tuple[list[object], RelationshipProperty[Any], Plan]


def _next_wave(
    followed: Sequence[_Followed], visited: set[tuple[int, Plan]]
) -> dict[Plan, list[object]]:
    wave: dict[Plan, list[object]] = {}
    for objects, relationship, below in followed:
        for instance in objects:
            for target in related(instance, relationship):
                if (id(target), below) not in visited:
                    visited.add((id(target), below))
                    wave.setdefault(below, []).append(target)
    return wave


def related(
    instance: object, relationship: RelationshipProperty[Any]
) -> Iterable[object]:
    """Return what *relationship* of *instance* holds by now, without loading."""
    value = instance.__dict__.get(relationship.key)
    if value is None:
        return ()
    if not relationship.uselist:
        return (value,)
    return list(value.values() if isinstance(value, dict) else value)


@dataclass(frozen=True, slots=True)
class _Shape:
    """The columns by which the usual kinds of relationship find their targets."""

    kind: str
    local: tuple[str, ...] = ()
    remote: tuple[Any, ...] = ()
    remote_names: tuple[str, ...] = ()
    back: str | None = None
    join: Any = None


_GENERAL = _Shape("general")


def _shape(relationship: RelationshipProperty[Any]) -> _Shape:
    shape: _Shape | None = relationship.info.get(_Shape)
    if shape is None:
        shape = relationship.info[_Shape] = _find_shape(relationship)
    return shape


def _find_shape(r: RelationshipProperty[Any]) -> _Shape:
    if not isinstance(r.entity, Mapper):
        return _GENERAL
    try:
        return _direct_shape(r) if r.secondary is None else _many_to_many_shape(r)
    except sa.exc.InvalidRequestError:
        # A column of the join is not mapped to an attribute.
        return _GENERAL


def _direct_shape(r: RelationshipProperty[Any]) -> _Shape:
    pairs = list(r.local_remote_pairs or ())
    if not pairs or not _joins_only(r, pairs):
        return _GENERAL
    local = tuple(r.parent.get_property_by_column(left).key for left, _ in pairs)
    names = tuple(r.mapper.get_property_by_column(right).key for _, right in pairs)
    remote = tuple(right for _, right in pairs)
    if r.direction is RelationshipDirection.ONETOMANY:
        return _Shape("one-to-many", local, remote, names, _back(r))
    # A join on another unique column cannot be answered by the identity map.
    if set(remote) != set(r.mapper.primary_key):
        return _GENERAL
    # The identity map wants the parts in the order of the primary key.
    order = [remote.index(column) for column in r.mapper.primary_key]
    ordered = tuple(local[i] for i in order)
    return _Shape("many-to-one", ordered, r.mapper.primary_key)


def _joins_only(r: RelationshipProperty[Any], pairs: list[tuple[Any, Any]]) -> bool:
    """Tell whether the join compares *pairs*, and asks for nothing else."""
    plain = sa.and_(*(left == right for left, right in pairs))
    reverse = sa.and_(*(right == left for left, right in pairs))
    return r.primaryjoin.compare(plain) or r.primaryjoin.compare(reverse)


def _back(r: RelationshipProperty[Any]) -> str | None:
    """Return the scalar attribute that leads back, if it compares the same columns."""
    if r.back_populates is None:
        return None
    other = r.mapper.relationships.get(r.back_populates)
    if other is None or _shape(other).kind != "many-to-one":
        return None
    same = {(b, a) for a, b in other.local_remote_pairs or ()}
    return other.key if same == set(r.local_remote_pairs or ()) else None


def _many_to_many_shape(r: RelationshipProperty[Any]) -> _Shape:
    left, right = r.synchronize_pairs, r.secondary_synchronize_pairs or []
    first = sa.and_(*(a == b for a, b in left))
    second = sa.and_(*(a == b for a, b in right))
    if r.secondaryjoin is None or not (
        r.primaryjoin.compare(first) and r.secondaryjoin.compare(second)
    ):
        return _GENERAL
    local = tuple(r.parent.get_property_by_column(a).key for a, _ in left)
    remote = tuple(b for _, b in left)
    return _Shape("many-to-many", local, remote, join=second)


class _Loader:
    def __init__(self, session: Session, stale: set[int]) -> None:
        self._session = session
        self._stale = stale

    def load_all(self, followed: Iterable[_Followed]) -> None:
        missing: dict[RelationshipProperty[Any], dict[int, object]] = {}
        for objects, relationship, _ in followed:
            for instance in objects:
                if relationship.key not in instance.__dict__:
                    missing.setdefault(relationship, {})[id(instance)] = instance
        for relationship, instances in missing.items():
            self._load(relationship, list(instances.values()))

    def _load(self, r: RelationshipProperty[Any], objects: list[object]) -> None:
        shape = _shape(r)
        if shape.kind == "many-to-one":
            self._many_to_one(r, shape, objects)
        elif shape.kind == "one-to-many":
            self._one_to_many(r, shape, objects)
        elif shape.kind == "many-to-many":
            self._many_to_many(r, shape, objects)
        else:
            self._general(r, objects)

    def _many_to_one(
        self, r: RelationshipProperty[Any], shape: _Shape, objects: list[object]
    ) -> None:
        keys = [tuple(getattr(x, name) for name in shape.local) for x in objects]
        wanted = {key for key in keys if None not in key}
        found: dict[tuple[Any, ...], object] = {}
        known = self._session.identity_map
        for key in wanted:
            instance = known.get(r.mapper.identity_key_from_primary_key(key))
            if instance is not None and not self._must_read(instance):
                found[key] = instance
        query = _ordered(select(r.entity), r)
        for chunk in chunks(wanted - found.keys()):
            where = is_in(shape.remote, chunk)
            for instance in self._read(query.where(where)):
                found[tuple(r.mapper.primary_key_from_instance(instance))] = instance
        for instance, key in zip(objects, keys, strict=True):
            set_committed_value(instance, r.key, found.get(key))

    def _must_read(self, instance: object) -> bool:
        return id(instance) in self._stale or bool(sa.inspect(instance).expired)

    def _one_to_many(
        self, r: RelationshipProperty[Any], shape: _Shape, objects: list[object]
    ) -> None:
        parents = {tuple(getattr(x, n) for n in shape.local): x for x in objects}
        groups: dict[tuple[Any, ...], list[object]] = {key: [] for key in parents}
        query = _ordered(select(r.entity), r)
        for chunk in chunks(parents):
            for target in self._read(query.where(is_in(shape.remote, chunk))):
                key = tuple(getattr(target, name) for name in shape.remote_names)
                # A pending change of the key may have moved the target already.
                if key in groups:
                    groups[key].append(target)
                    if shape.back is not None:
                        set_committed_value(target, shape.back, parents[key])
        for key, instance in parents.items():
            _fill(instance, r, groups[key])

    def _many_to_many(
        self, r: RelationshipProperty[Any], shape: _Shape, objects: list[object]
    ) -> None:
        parents = {tuple(getattr(x, n) for n in shape.local): x for x in objects}
        secondary: Any = r.secondary
        query = select(*shape.remote, r.entity).join_from(
            r.entity, secondary, shape.join
        )
        self._fill_from_rows(r, parents, _ordered(query, r), shape.remote)

    def _general(self, r: RelationshipProperty[Any], objects: list[object]) -> None:
        """Load any other relationship by joining it to its parents."""
        parent = aliased(r.parent.class_)
        names = [
            r.parent.get_property_by_column(column).key
            for column in r.parent.primary_key
        ]
        columns = tuple(getattr(parent, name) for name in names)
        parents = {tuple(getattr(x, name) for name in names): x for x in objects}
        query = select(*columns, r.entity).select_from(parent)
        query = query.join(r.entity.entity, getattr(parent, r.key))
        self._fill_from_rows(r, parents, _ordered(query, r), columns)

    def _fill_from_rows(
        self,
        r: RelationshipProperty[Any],
        parents: dict[tuple[Any, ...], object],
        query: Select[Any],
        columns: tuple[Any, ...],
    ) -> None:
        groups: dict[tuple[Any, ...], list[object]] = {key: [] for key in parents}
        for chunk in chunks(parents):
            rows = self._session.execute(query.where(is_in(columns, chunk)))
            for row in rows.unique():
                groups[tuple(row[:-1])].append(row[-1])
        self._freshen(x for targets in groups.values() for x in targets)
        for key, instance in parents.items():
            _fill(instance, r, groups[key])

    def _read(self, query: Select[Any]) -> Sequence[Any]:
        targets = self._session.scalars(query).unique().all()
        self._freshen(targets)
        return targets

    def _freshen(self, objects: Iterable[Any]) -> None:
        """Read objects again that an earlier transaction left in the session."""
        old = {id(x): x for x in objects if id(x) in self._stale}
        if not old:
            return
        # Once is enough: what is fresh may be met again in a later wave.
        self._stale.difference_update(old)
        for mapper, group in _by_mapper(old.values()):
            for chunk in chunks(mapper.primary_key_from_instance(x) for x in group):
                where = is_in(mapper.primary_key, map(tuple, chunk))
                query = select(mapper).where(where)
                self._session.scalars(
                    query, execution_options={"populate_existing": True}
                ).unique().all()


def _fill(
    instance: object, r: RelationshipProperty[Any], targets: list[object]
) -> None:
    if r.uselist:
        set_committed_value(instance, r.key, targets)
    else:
        set_committed_value(instance, r.key, targets[0] if targets else None)


def _ordered(query: Select[Any], r: RelationshipProperty[Any]) -> Select[Any]:
    return query.order_by(*(r.order_by or r.mapper.primary_key))


def is_in(columns: Sequence[Any], keys: Iterable[Any]) -> ColumnElement[bool]:
    """Return the condition that *columns* hold one of *keys*."""
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])  # type: ignore[no-any-return]
    return tuple_(*columns).in_(list(keys))


def chunks(keys: Iterable[Any]) -> Iterator[list[Any]]:
    """Split *keys* into lists that a driver can bind at once."""
    iterator = iter(keys)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
