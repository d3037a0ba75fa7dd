"""Nested data, written to related rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import (
    Mapper,
    RelationshipDirection,
    RelationshipProperty,
    Session,
    object_mapper,
)
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.collections import collection_adapter

from accel_db._deep_delete import delete_deep
from accel_db._deep_read import chunks, is_in, load_deep, related
from accel_db._errors import (
    ForeignChild,
    InvalidPayload,
    StaleVersion,
    UnknownReference,
)
from accel_db._graph import Node, has_fields, parse
from accel_db._mixins import is_soft
from accel_db._plan import Deep, Plan, plan_for

Touched = list[tuple[object, set[str]]]


def create_graph(
    session: Session, mapper: Mapper[Any], data: Any, deep: Deep
) -> tuple[Any, Touched]:
    """Create a row from nested *data*, and the rows that it owns."""
    if not has_fields(data):
        # Elsewhere in the data this would be the key of a row to link.
        raise InvalidPayload(
            mapper.class_.__name__, f"{type(data).__name__} is no mapping and no schema"
        )
    node = parse(mapper, data, plan_for(deep, mapper), mapper.class_.__name__)
    writer = _Writer(session)
    with session.no_autoflush:
        writer.prefetch(node)
        instance = writer.create(node)
        session.add(instance)
    return instance, writer.touched


def update_graph(
    session: Session, mapper: Mapper[Any], instance: Any, data: Any, deep: Deep
) -> Touched:
    """Bring *instance*, and the rows around it, to the state that *data* describes."""
    node = parse(mapper, data, plan_for(deep, mapper), mapper.class_.__name__)
    writer = _Writer(session)
    with session.no_autoflush:
        load_deep(session, [instance], _Mentioned(node))
        writer.prefetch(node)
        writer.update(node, instance)
    return writer.touched


def refresh_touched(session: Session, touched: Touched) -> None:
    """After a flush, read what the database computed, and forget what moved."""
    for instance, names in touched:
        if instance not in session:
            continue
        state: Any = sa.inspect(instance)
        mapper: Mapper[Any] = state.mapper
        computed = state.expired_attributes & set(mapper.column_attrs.keys())
        if computed:
            session.refresh(instance, computed)
        moved = [
            r.key
            for r in mapper.relationships
            if r.key in state.dict and r.key not in names and _is_moved(r, names)
        ]
        if moved:
            session.expire(instance, moved)


def _is_moved(r: RelationshipProperty[Any], names: set[str]) -> bool:
    if r.direction is not RelationshipDirection.MANYTOONE:
        return False
    local = (r.parent.get_property_by_column(column).key for column in r.local_columns)
    return any(name in names for name in local)


class _Mentioned:
    """Follows the relationships that nested data mentions, to load them in waves."""

    def __init__(self, *nodes: Node) -> None:
        self._nodes = nodes

    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        below: dict[RelationshipProperty[Any], list[Node]] = {}
        for node in self._nodes:
            for relationship, nodes in node.relations.items():
                if relationship.key in mapper.relationships:
                    below.setdefault(relationship, []).extend(nodes or ())
        for relationship, nodes in below.items():
            yield relationship, _Mentioned(*nodes)


class _Writer:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[tuple[Mapper[Any], tuple[Any, ...]], object] = {}
        self.touched: Touched = []

    def prefetch(self, root: Node) -> None:
        """Load every row whose key is mentioned, with one SELECT per model."""
        keys: dict[Mapper[Any], set[tuple[Any, ...]]] = {}
        for node in root.walk():
            if node is not root and node.key is not None:
                keys.setdefault(node.mapper.base_mapper, set()).add(node.key)
        for mapper, wanted in keys.items():
            for chunk in chunks(wanted):
                query = select(mapper).where(is_in(mapper.primary_key, chunk))
                for found in self._session.scalars(query).unique():
                    self._known[mapper, _key(found)] = found

    # Rows

    def create(self, node: Node) -> Any:
        """Return a new object for *node*."""
        if node.instance is not None:
            return node.instance
        owners = self._resolve_owners(node, None)
        own = {**node.defaults, **node.columns}
        instance = node.mapper.class_(**own)
        self.touched.append((instance, {*own, *(r.key for r in node.relations)}))
        for relationship, target in owners.items():
            setattr(instance, relationship.key, target)
        self._write_collections(node, instance)
        return instance

    def update(self, node: Node, instance: Any) -> None:
        """Set what *node* mentions on *instance*."""
        if node.instance is not None:
            return
        self._check_key(node, instance)
        self._check_version(node, instance)
        owners = self._resolve_owners(node, instance)
        for name, value in node.columns.items():
            setattr(instance, name, value)
        names = {*node.columns, *(r.key for r in node.relations)}
        self.touched.append((instance, names))
        for relationship, target in owners.items():
            setattr(instance, relationship.key, target)
        self._write_collections(node, instance)

    def _check_key(self, node: Node, instance: Any) -> None:
        for column in node.mapper.primary_key:
            name = node.mapper.get_property_by_column(column).key
            if node.columns.pop(name, None) not in {None, getattr(instance, name)}:
                raise InvalidPayload(f"{node.path}.{name}", "the key cannot change")

    def _check_version(self, node: Node, instance: Any) -> None:
        column = node.mapper.version_id_col
        if column is None:
            return
        name = node.mapper.get_property_by_column(column).key
        version = node.columns.pop(name, None)
        if version is not None and version != getattr(instance, name):
            raise StaleVersion(node.mapper.class_.__name__)

    # Many-to-one

    def _resolve_owners(
        self, node: Node, instance: Any
    ) -> dict[RelationshipProperty[Any], Any]:
        owners = {}
        for r, nodes in node.relations.items():
            if r.direction is not RelationshipDirection.MANYTOONE:
                continue
            current = None if instance is None else getattr(instance, r.key)
            target = self._owner(nodes[0], current) if nodes else None
            self._check_agreement(node, r, target)
            owners[r] = target
        return owners

    def _owner(self, node: Node, current: Any) -> Any:
        if node.key is not None and current is not None and _key(current) == node.key:
            self.update(node, current)
            return current
        return self._linked(node)

    def _check_agreement(
        self, node: Node, r: RelationshipProperty[Any], target: Any
    ) -> None:
        """Let the relationship set the foreign key; data that contradicts is refused."""
        for local, remote in r.local_remote_pairs or ():
            name = node.mapper.get_property_by_column(local).key
            given = node.columns.pop(name, None)
            if given is None:
                continue
            attribute = r.mapper.get_property_by_column(remote).key
            if target is None or getattr(target, attribute) != given:
                raise InvalidPayload(
                    f"{node.path}.{name}", f"it contradicts {r.key!r}; give only one"
                )

    def _linked(self, node: Node) -> Any:
        """Return the row that *node* names, or a new one if it names none."""
        if node.instance is not None or node.key is None:
            return self.create(node)
        found = self._find(node.mapper, node.key)
        if found is not None:
            return found
        if not _takes_key(node):
            name = node.mapper.class_.__name__
            raise UnknownReference(node.path, name, _shown(node.key))
        return self._create_with_key(node, node.key)

    def _create_with_key(self, node: Node, key: tuple[Any, ...]) -> Any:
        created = self.create(node)
        self._known[node.mapper.base_mapper, key] = created
        return created

    def _find(self, mapper: Mapper[Any], key: tuple[Any, ...]) -> Any:
        return self._known.get((mapper.base_mapper, key))

    # Collections

    def _write_collections(self, node: Node, instance: Any) -> None:
        for r, nodes in node.relations.items():
            if r.direction is RelationshipDirection.ONETOMANY:
                self._write_children(r, nodes or [], instance)
            elif r.direction is RelationshipDirection.MANYTOMANY:
                self._write_links(r, nodes or [], instance)

    def _write_links(
        self, r: RelationshipProperty[Any], nodes: Sequence[Node], instance: Any
    ) -> None:
        current = _current(instance, r)
        # Keyed by object, so that a link that is given twice is written once.
        wanted = {id(x): x for x in map(self._linked, nodes)}
        gone = [x for x in current if id(x) not in wanted]
        held = set(map(id, current))
        _replace(instance, r, gone, [x for x in wanted.values() if id(x) not in held])

    def _write_children(
        self, r: RelationshipProperty[Any], nodes: Sequence[Node], instance: Any
    ) -> None:
        current = _current(instance, r)
        matches = _match(r, nodes, instance, {_key(child): child for child in current})
        kept = {id(child) for _, child in matches if child is not None}
        gone = [child for child in current if id(child) not in kept]
        self._remove(r, gone, instance)
        new = []
        for node, child in matches:
            if child is not None:
                self.update(node, child)
            else:
                new.append(self._new_child(node))
        _replace(instance, r, [], new)

    def _remove(
        self, r: RelationshipProperty[Any], gone: list[Any], instance: Any
    ) -> None:
        if not gone or not _cannot_live_alone(r):
            _replace(instance, r, gone, [])
            return
        marked = [x for x in gone if is_soft(x)]
        erased = [x for x in gone if not is_soft(x)]
        # A marked row keeps its parent: the unit of work must not see it leave.
        _forget(instance, r, marked)
        _replace(instance, r, erased, [])
        for part in filter(None, (marked, erased)):
            delete_deep(self._session, *part)
        # Before new rows take the unique values of the old ones.
        self._session.flush()

    def _new_child(self, node: Node) -> Any:
        if node.instance is not None or node.key is None:
            return self.create(node)
        # Also a row of no parent: whoever may change this one need not know of others,
        # not even whether they exist.
        known = self._find(node.mapper, node.key) is not None
        if known or not _takes_key(node):
            name = node.mapper.class_.__name__
            raise ForeignChild(node.path, name, _shown(node.key))
        return self._create_with_key(node, node.key)


def _takes_key(node: Node) -> bool:
    """Tell whether a client may choose the key of a new row: the database does not."""
    table: Any = node.mapper.base_mapper.local_table
    return not node.is_link and table.autoincrement_column is None


def _match(
    r: RelationshipProperty[Any],
    nodes: Sequence[Node],
    parent: Any,
    current: dict[tuple[Any, ...], object],
) -> list[tuple[Node, Any]]:
    """Pair each node with the child of *parent* that it means, or None."""
    matches: list[tuple[Node, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for node in nodes:
        if node.instance is not None:
            held = any(child is node.instance for child in current.values())
            matches.append((node, node.instance if held else None))
            continue
        _claim(r, node, parent)
        if node.key is not None and node.key in seen:
            raise InvalidPayload(node.path, "the same key is given twice")
        if node.key is not None:
            seen.add(node.key)
        matches.append((node, current.get(node.key) if node.key else None))
    return matches


def _claim(r: RelationshipProperty[Any], node: Node, parent: Any) -> None:
    """Take the foreign key out of *node*: its place in the data decides it."""
    for local, remote in r.local_remote_pairs or ():
        value = getattr(parent, r.parent.get_property_by_column(local).key)
        name = node.mapper.get_property_by_column(remote).key
        given = node.columns.pop(name, None)
        node.defaults.pop(name, None)
        if given is not None and given != value:
            model = node.mapper.class_.__name__
            raise ForeignChild(node.path, model, _shown(node.key or (given,)))
        if node.key is None and remote in node.mapper.primary_key:
            node.key = _key_below(node, name, value)


def _key_below(node: Node, name: str, value: Any) -> tuple[Any, ...] | None:
    """Complete a key of which the parent's key is a part."""
    names = [
        node.mapper.get_property_by_column(column).key
        for column in node.mapper.primary_key
    ]
    parts = {**node.columns, name: value}
    key = tuple(parts.get(part) for part in names)
    return None if None in key else key


def _cannot_live_alone(r: RelationshipProperty[Any]) -> bool:
    return bool(
        r.cascade.delete_orphan
        or any(column.primary_key or not column.nullable for column in r.remote_side)
    )


def _current(instance: Any, r: RelationshipProperty[Any]) -> list[Any]:
    # Of a new object this makes the empty collection; others are loaded by now.
    getattr(instance, r.key)
    return list(related(instance, r))


def _replace(
    instance: Any, r: RelationshipProperty[Any], gone: list[Any], new: list[Any]
) -> None:
    if not r.uselist:
        if gone or new:
            setattr(instance, r.key, new[0] if new else None)
        return
    # It knows lists, sets and dicts alike, and tells backrefs of the change.
    adapter: Any = collection_adapter(getattr(instance, r.key))
    for child in gone:
        adapter.remove_with_event(child)
    for child in new:
        adapter.append_with_event(child)


def _forget(instance: Any, r: RelationshipProperty[Any], gone: list[Any]) -> None:
    """Take *gone* out of the loaded relationship, without a change to write."""
    if gone:
        dropped = set(map(id, gone))
        rest = [x for x in _current(instance, r) if id(x) not in dropped]
        set_committed_value(instance, r.key, rest if r.uselist else None)


def _key(instance: Any) -> tuple[Any, ...]:
    return tuple(object_mapper(instance).primary_key_from_instance(instance))


def _shown(key: tuple[Any, ...]) -> Any:
    return key[0] if len(key) == 1 else key
