"""Ends of transactions that leave alone what these did not change."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value


def roll_back(session: Session) -> None:
    """Roll *session* back, and keep the values of objects that it did not write.

    SQLAlchemy expires every object of the session. An async session cannot load them
    again when they are next looked at, so that one conflict would make everything
    unusable that was read before.
    """
    # Before the rollback, which forgets both the values and who was written.
    kept = _untouched(session)
    session.rollback()
    for instance, values in kept:
        for name, value in values.items():
            set_committed_value(instance, name, value)
    for instance in session.identity_map.values():
        _restore_key(instance)


def end_reading(session: Session) -> None:
    """End a transaction that only read; unlike a rollback, leave objects as they are."""
    if (transaction := session.get_transaction()) is None:
        return
    try:
        transaction.close()
    except DBAPIError:
        # The connection died. What was read stands, and what was not was said already.
        transaction.close(invalidate=True)


def _restore_key(instance: Any) -> None:
    """Let a written object tell at least which row it is, as messages want to."""
    state: Any = sa.inspect(instance)
    for column, part in zip(state.mapper.primary_key, state.identity, strict=True):
        name = state.mapper.get_property_by_column(column).key
        if name not in state.dict:
            set_committed_value(instance, name, part)


def _untouched(session: Session) -> list[tuple[Any, dict[str, Any]]]:
    written = _written(session)
    if written is None:
        return []
    states: list[Any] = [sa.inspect(x) for x in session.identity_map.values()]
    return [
        (state.object, {k: v for k, v in state.dict.items() if k in state.attrs})
        for state in states
        if not state.modified and not state.expired and state not in written
    ]


def _written(session: Session) -> Collection[Any] | None:
    """Return the states that the transaction flushed, or None if nobody knows.

    SQLAlchemy keeps them in private attributes of the transaction. Should they ever be
    gone, a rollback expires everything, as SQLAlchemy's own does.
    """
    transaction = session.get_transaction()
    parts = [
        getattr(transaction, name, None) for name in ("_new", "_dirty", "_deleted")
    ]
    if None in parts:
        return None
    return {state for part in parts for state in part or ()}
