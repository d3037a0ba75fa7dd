"""Sessions that ask their manager where to go."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Select
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.orm import Session, SessionTransactionOrigin
from sqlalchemy.util.concurrency import in_greenlet

if TYPE_CHECKING:
    from accel_db._manager import MainDatabaseManager


class ManagedSession(Session):
    """A session whose engine is looked up when a statement needs it.

    So a session belongs to no event loop and to no engine: it follows the running loop,
    an `override()` in tests, and the rules for read replicas.
    """

    def __init__(
        self, *, manager: "MainDatabaseManager", asynchronous: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.manager = manager
        self.asynchronous = asynchronous
        self._wrote = False

    def get_bind(
        self,
        mapper: Any = None,
        *,
        clause: Any = None,
        bind: Engine | Connection | None = None,
        **kwargs: Any,
    ) -> Engine | Connection:
        """Return the engine for *clause*: a replica for reads, else the primary."""
        if bind is not None:
            return bind
        if self.bind is not None:
            return super().get_bind(mapper, clause=clause, **kwargs)
        # `LoudAttribute` makes it a `NotLoaded`, before a connection is taken for nothing.
        if self.asynchronous and not in_greenlet():
            raise MissingGreenlet("The session was used outside of `await`.")
        read = self._may_read_replica(clause)
        return self.manager.bind_for(self, read=read)

    def _may_read_replica(self, clause: Any) -> bool:
        # Once a session wrote, it must see its own writes.
        if self._wrote:
            return False
        plain = isinstance(clause, Select) and clause._for_update_arg is None  # noqa: SLF001  # no public name tells it
        if not plain:
            self._wrote = True
            return False
        transaction = self.get_transaction()
        return (
            transaction is None
            or transaction.origin is SessionTransactionOrigin.AUTOBEGIN
        )
