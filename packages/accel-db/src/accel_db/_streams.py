"""Results that are read in batches."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from accel_db._deep_read import load_deep
from accel_db._plan import Deep, plan_for
from accel_db._statements import mapper_of
from accel_db._values import with_coerced_binds


def stream_plan(
    session: Session, statement: Select[Any], batch: int, deep: Deep
) -> tuple[Select[Any], dict[str, Any], Callable[[Sequence[Any]], None]]:
    """Return the query of a stream, its options, and what completes each batch."""
    plan = plan_for(deep, mapper_of(statement)) if deep else None

    def load(objects: Sequence[Any]) -> None:
        if plan is not None:
            load_deep(session, objects, plan)

    # `yield_per` makes the drivers use a cursor of the server.
    return with_coerced_binds(statement), {"yield_per": batch}, load
