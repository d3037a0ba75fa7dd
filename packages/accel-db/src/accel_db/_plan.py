"""What `deep=` means: which relationships to follow, and how far."""

import typing
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from sqlalchemy.orm import Mapper, QueryableAttribute, RelationshipProperty

from accel_db._errors import InvalidPayload

Deep: TypeAlias = "bool | int | Sequence[Any] | type[Any]"
"""`True` for all, a depth, paths like `["posts.tags", Author.books]`, or a schema."""

# Their collections are queries: there is nothing to fill in.
_NEVER_LOADED = frozenset({"dynamic", "write_only", "noload"})


class Plan(Protocol):
    """Says which relationships of a mapper to follow, and how to go on there."""

    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], "Plan"]]:
        """Iterate over the relationships to follow from *mapper*."""
        ...


def plan_for(deep: Deep, mapper: Mapper[Any] | None = None) -> Plan | None:
    """Return the plan that *deep* describes, or None if nothing is to be followed.

    Paths are checked against *mapper* at once, so that a typo does not load nothing.
    """
    if deep is True:
        return _EVERYTHING
    if deep is False or deep is None:
        return None
    # After `True`, which is an int, too.
    if isinstance(deep, int):
        return _Depth(deep) if deep > 0 else None
    if isinstance(deep, type):
        return _Schema(deep)
    names = [deep] if isinstance(deep, (str, QueryableAttribute)) else deep
    tree = _Tree.of(_path(name) for name in names)
    if mapper is not None:
        tree.check(mapper, mapper.class_.__name__)
    return tree


@dataclass(frozen=True)
class _Everything:
    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        for relationship in _relationships(mapper):
            yield relationship, self


_EVERYTHING = _Everything()


@dataclass(frozen=True)
class _Depth:
    left: int

    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        if self.left > 0:
            for relationship in _relationships(mapper):
                yield relationship, _Depth(self.left - 1)


class _Tree:
    def __init__(self) -> None:
        self.branches: dict[str, _Tree] = {}

    @classmethod
    def of(cls, paths: Iterable[Sequence[str]]) -> "_Tree":
        root = cls()
        for path in paths:
            node = root
            for name in path:
                node = node.branches.setdefault(name, cls())
        return root

    def check(self, mapper: Mapper[Any], path: str) -> None:
        known = {r.key: r for m in mapper.self_and_descendants for r in m.relationships}
        for name, branch in self.branches.items():
            if name not in known:
                raise InvalidPayload(f"{path}.{name}", "there is no such relationship")
            branch.check(known[name].mapper, f"{path}.{name}")

    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        for name, branch in self.branches.items():
            if name in mapper.relationships:
                yield mapper.relationships[name], branch


@dataclass(frozen=True)
class _Schema:
    """Follows what a pydantic model (anything with `model_fields`) would read."""

    model: Any

    def children(
        self, mapper: Mapper[Any]
    ) -> Iterator[tuple[RelationshipProperty[Any], Plan]]:
        for names, nested in _nested_models(self.model):
            for name in names:
                if name in mapper.relationships:
                    plan = _Schema(nested) if nested is not None else _Depth(0)
                    yield mapper.relationships[name], plan


def _relationships(mapper: Mapper[Any]) -> Iterator[RelationshipProperty[Any]]:
    return (r for r in mapper.relationships if r.lazy not in _NEVER_LOADED)


def _path(name: Any) -> list[str]:
    if isinstance(name, QueryableAttribute):
        return [name.key]
    return str(name).split(".")


@lru_cache(maxsize=256)
def _nested_models(model: Hashable) -> list[tuple[list[str], type[Any] | None]]:
    """List the names under which a field reads its attribute, and its nested model."""
    fields: Mapping[str, Any] | None = getattr(model, "model_fields", None)
    if fields is None:
        raise InvalidPayload("deep", f"{model!r} is no pydantic model")
    found = []
    for name, field in fields.items():
        # With `from_attributes` pydantic reads the attribute that an alias names.
        aliases = [field.validation_alias, field.alias]
        names = [name, *(x for x in aliases if isinstance(x, str))]
        nested = next(_models_in(field.annotation), None)
        found.append((list(dict.fromkeys(names)), nested))
    return found


def _models_in(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models_in(part)
