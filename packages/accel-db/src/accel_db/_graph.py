"""Nested data, checked against the models before anything is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Mapper, RelationshipProperty

from accel_db._errors import InvalidPayload
from accel_db._payload import as_mapping, column_value
from accel_db._plan import Plan
from accel_db._values import key_of, key_part

# Reading and writing recurse, and data that nobody checked may be as deep as it likes.
_MOST_LEVELS = 100


@dataclass(slots=True, eq=False)
class Node:
    """The data of one row, and of the rows around it."""

    mapper: Mapper[Any]
    path: str
    columns: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    """What a schema would add if the row had to be created."""
    relations: dict[RelationshipProperty[Any], list["Node"] | None] = field(
        default_factory=dict
    )
    key: tuple[Any, ...] | None = None
    """The primary key, if all of it was given."""
    instance: object | None = None
    """An object that was given instead of data."""

    @property
    def is_link(self) -> bool:
        """Tell whether nothing but a key was given."""
        return not self.columns and not self.relations and self.instance is None

    def walk(self) -> Iterator["Node"]:
        """Iterate over this node and all below it."""
        yield self
        for nodes in self.relations.values():
            for node in nodes or ():
                yield from node.walk()


def parse(
    mapper: Mapper[Any], data: Any, plan: Plan | None, path: str, level: int = 1
) -> Node:
    """Return *data* as a node.

    Raises:
        InvalidPayload: a name is unknown, a value is of the wrong type, or a nested
            value is not covered by *plan*, or too deep.
    """
    if level > _MOST_LEVELS:
        raise InvalidPayload(path, f"it is more than {_MOST_LEVELS} levels deep")
    if isinstance(data, mapper.class_):
        return Node(mapper, path, instance=data)
    if not has_fields(data):
        return Node(mapper, path, key=key_of(mapper, data))
    # What is given is written; defaults of a schema only count if the row is new.
    given = as_mapping(data, path=path, partial=True)
    everything = as_mapping(data, path=path, partial=False)
    node = Node(_concrete(mapper, everything), path)
    _parse_fields(node, given, plan, level)
    for name, value in everything.items():
        if name not in given and name in node.mapper.column_attrs:
            node.defaults[name] = column_value(node.mapper, name, value, path=path)
    node.key = _complete_key(node.mapper, node.columns)
    return node


def _parse_fields(
    node: Node, given: Mapping[str, Any], plan: Plan | None, level: int
) -> None:
    covered = {} if plan is None else {r.key: p for r, p in plan.children(node.mapper)}
    for name, value in given.items():
        relationship = node.mapper.relationships.get(name)
        if relationship is None:
            node.columns[name] = column_value(node.mapper, name, value, path=node.path)
            continue
        here = f"{node.path}.{name}"
        if name not in covered:
            raise InvalidPayload(here, "`deep=` does not cover this relationship")
        if relationship.viewonly:
            raise InvalidPayload(here, "the relationship is read-only")
        node.relations[relationship] = _parse_nested(
            relationship, value, covered[name], here, level + 1
        )


def _parse_nested(
    relationship: RelationshipProperty[Any],
    value: Any,
    plan: Plan,
    path: str,
    level: int,
) -> list[Node] | None:
    target = relationship.mapper
    if value is None:
        return [] if relationship.uselist else None
    if not relationship.uselist:
        return [parse(target, value, plan, path, level)]
    if isinstance(value, Mapping):
        # A collection that is keyed by an attribute.
        value = list(value.values())
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise InvalidPayload(path, "it must be a list")
    return [parse(target, x, plan, f"{path}[{i}]", level) for i, x in enumerate(value)]


def has_fields(data: Any) -> bool:
    """Tell whether *data* describes a row, and does not merely name one."""
    return (
        isinstance(data, Mapping)
        or hasattr(type(data), "model_fields")
        or hasattr(type(data), "__dataclass_fields__")
    )


def _concrete(mapper: Mapper[Any], values: Mapping[str, Any]) -> Mapper[Any]:
    """Return the subclass that the discriminator in *values* names."""
    if mapper.polymorphic_on is None:
        return mapper
    attribute = mapper.get_property_by_column(mapper.polymorphic_on).key
    return mapper.polymorphic_map.get(values.get(attribute), mapper)


def _complete_key(
    mapper: Mapper[Any], columns: Mapping[str, Any]
) -> tuple[Any, ...] | None:
    names = [mapper.get_property_by_column(c).key for c in mapper.primary_key]
    given = [columns.get(name) for name in names]
    pairs = zip(given, mapper.primary_key, names, strict=True)
    key = tuple(key_part(value, column.type, name) for value, column, name in pairs)
    return None if None in given else key
