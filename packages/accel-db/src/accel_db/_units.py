"""Units of work: what is committed together, and rolled back together."""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapper, Session, SessionTransactionOrigin

from accel_db import _lane as lane
from accel_db._errors import Unavailable
from accel_db._naming import naming
from accel_db._rollback import end_reading, roll_back
from accel_db._translation import reached, translated

R = TypeVar("R")

_HELD = "accel_orm_transaction"

# The objects, by id, that an earlier transaction left in the session.
Stale = dict[int, object]


class UnitsOfWork:
    """The units of one session: a call by itself, or all calls of a transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def _open(self) -> bool:
        """Whether `transaction()` holds the session, through whichever ORM object."""
        held = self.session.info.get(_HELD)
        # A transaction that somebody ended meanwhile holds nothing any more.
        return held is not None and held is self.session.get_transaction()

    @_open.setter
    def _open(self, value: bool) -> None:
        self.session.info[_HELD] = self.session.get_transaction() if value else None

    def _end_of(self, transaction: sa.orm.SessionTransaction) -> Callable[[bool], None]:
        def end(succeeded: bool) -> None:
            if not transaction.nested:
                self._open = False
            if succeeded:
                try:
                    with translated(self.session):
                        transaction.commit()
                except BaseException:
                    roll_back(self.session)
                    raise
            elif transaction.nested:
                transaction.rollback()
            else:
                roll_back(self.session)

        return end

    def _in_explicit_transaction(self) -> bool:
        if self._open:
            return True
        transaction = self.session.get_transaction()
        if transaction is None:
            return False
        begun = transaction.origin is not SessionTransactionOrigin.AUTOBEGIN
        return begun or self.session.in_nested_transaction()

    def _read(self, work: Callable[[Stale], R], clause: Any, *, single: bool) -> R:
        """Call *work* with the objects that an earlier transaction left behind."""
        session = self.session
        if session.in_transaction():
            with reached(session):
                return work({})
        stale = {id(x): x for x in session.identity_map.values()}
        try:
            return self._read_alone(lambda: work(stale), clause, single=single)
        except Unavailable as exc:
            cause = exc.__cause__
            if not isinstance(cause, DBAPIError) or not cause.connection_invalidated:
                raise
            # The server was restarted while the connection lay in the pool. All of
            # its like are gone now, and a read may be repeated.
            return self._read_alone(lambda: work(stale), clause, single=single)

    def _read_alone(self, work: Callable[[], R], clause: Any, *, single: bool) -> R:
        session = self.session
        try:
            with reached(session):
                lane.enter(session, clause, single=single)
                result = work()
                session.commit()
        except BaseException:
            end_reading(session)
            raise
        return result

    def _write(
        self,
        work: Callable[[], R],
        *,
        single: bool = False,
        mapper: Mapper[Any] | None = None,
        data: Any = None,
    ) -> R:
        """Call *work*, which writes *data* to the tables of *mapper*."""
        session = self.session
        if self._in_explicit_transaction():
            with naming(session, mapper, data), reached(session):
                return work()
        try:
            with naming(session, mapper, data), reached(session):
                if single and not session.in_transaction():
                    lane.enter(session, None, single=True)
                result = work()
                session.commit()
        except BaseException:
            roll_back(session)
            raise
        return result
