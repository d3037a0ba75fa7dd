"""The fast lane: one statement, without BEGIN and COMMIT around it.

A single statement is atomic by itself. On an AUTOCOMMIT connection it saves up to two
round trips. An operation decides up front whether it is one statement; whatever could
add another one (listeners, inheritance, cascades) sends it down the safe lane.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper, Session, object_mapper

from accel_db._session import ManagedSession

_STATEMENT_LOADERS = frozenset(
    {"select", "selectin", "raise", "raise_on_sql", "write_only", "dynamic", "noload"}
)


def enter(session: Session, clause: Any, *, single: bool) -> None:
    """Check a connection out that skips the transaction, where that is possible."""
    if isinstance(session, ManagedSession):
        options = session.manager.lane(single=single, write=clause is None)
        if options is not None:
            arguments = {} if clause is None else {"clause": clause}
            session.connection(bind_arguments=arguments, execution_options=options)


def may_insert(session: Session, instance: object) -> bool:
    """Tell whether adding *instance* is one INSERT and nothing else."""
    mapper = object_mapper(instance)
    return (
        len(mapper.tables) == 1
        and not _listens(session, mapper, "insert")
        and not any(instance.__dict__.get(r.key) for r in mapper.relationships)
    )


def may_update(session: Session, mapper: Mapper[Any], names: Iterable[str]) -> bool:
    """Tell whether setting *names* is one UPDATE that no listener must see."""
    # With joined inheritance one row is one statement per table.
    if len(mapper.tables) != 1 or mapper.polymorphic_on is not None:
        return False
    # A lock compares with the row as it was read, and validators need an object.
    if mapper.version_id_col is not None or mapper.validators:
        return False
    if _listens(session, mapper, "update"):
        return False
    if any(r.lazy not in _STATEMENT_LOADERS for r in mapper.relationships):
        return False
    return all(_is_plain(mapper, name) for name in names)


def may_delete(session: Session, mapper: Mapper[Any]) -> bool:
    """Tell whether deleting a row is one DELETE: no children, no links, no version."""
    return (
        len(mapper.tables) == 1
        and mapper.version_id_col is None
        and not _listens(session, mapper, "delete")
        # Children and links need statements of their own, or cascades in Python.
        and all(r.direction.name == "MANYTOONE" for r in mapper.relationships)
    )


def _is_plain(mapper: Mapper[Any], name: str) -> bool:
    attribute = mapper.column_attrs.get(name)
    return (
        attribute is not None
        and isinstance(attribute.columns[0], Column)
        and not attribute.columns[0].primary_key
        and not mapper.class_manager[name].dispatch.set
    )


def _listens(session: Session, mapper: Mapper[Any], action: str) -> bool:
    """Tell whether somebody wants to take part in a flush."""
    flush: Any = session.dispatch
    rows: Any = mapper.dispatch
    return bool(
        flush.before_flush
        or getattr(rows, f"before_{action}")
        or getattr(rows, f"after_{action}")
    )
