"""The feed of committed changes."""

import asyncio
import inspect
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Table, event
from sqlalchemy.orm import (
    Mapper,
    ORMExecuteState,
    Session,
    SessionTransaction,
    object_mapper,
)
from sqlalchemy.util import await_only

logger = logging.getLogger("accel_db")

Key: TypeAlias = tuple[str, tuple[object, ...]]
_PENDING = "accel_pending_changes"


@dataclass(frozen=True, slots=True)
class Change:
    """What one committed transaction wrote."""

    tables: frozenset[str]
    keys: frozenset[Key]
    """Tables and primary keys, where they are known: a bulk statement names none."""
    name: str = "db.change"

    @property
    def tags(self) -> frozenset[str]:
        """Return `table` and `table:pk` for everything that was written."""
        rows = (f"{table}:{','.join(map(str, key))}" for table, key in self.keys)
        return frozenset([*self.tables, *rows])


ChangeCallback: TypeAlias = Callable[[Change], object]
CommitCallback: TypeAlias = Callable[[], object]


@dataclass(slots=True)
class _Entry:
    transaction: SessionTransaction | None
    tables: set[str] = field(default_factory=set)
    keys: set[Key] = field(default_factory=set)
    callbacks: list[CommitCallback] = field(default_factory=list)


@dataclass(slots=True)
class _Pending:
    entries: list[_Entry] = field(default_factory=list)
    committed: list[SessionTransaction] = field(default_factory=list)

    def entry(self, session: Session) -> _Entry:
        """Return where the changes of the innermost open transaction are kept."""
        # None stands for the transaction that is about to begin. To begin it here would
        # make it explicit, and an ORM's calls would leave the commit to somebody else.
        current = session.get_nested_transaction() or session.get_transaction()
        for entry in self.entries:
            if entry.transaction is current:
                return entry
        self.entries.append(_Entry(current))
        return self.entries[-1]


class ChangeFeed:
    """Collects what sessions write, and announces it after their commit.

    It listens to sessions from its first subscriber on.
    """

    def __init__(self, session_class: type[Session]) -> None:
        self._session_class = session_class
        self._subscribers: list[ChangeCallback] = []
        self._listening = False
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    @property
    def active(self) -> bool:
        """Tell whether anybody wants to know of changes."""
        return bool(self._subscribers)

    def remember_loop(self) -> None:
        """Let sync sessions of worker threads call async callbacks on this loop."""
        try:
            self._loop = weakref.ref(asyncio.get_running_loop())
        except RuntimeError:
            return

    def on_change(self, callback: ChangeCallback) -> Callable[[], None]:
        """Call *callback* after each commit that wrote; return how to end it."""
        self._listen()
        self.remember_loop()
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def on_commit(self, session: Session, callback: CommitCallback) -> None:
        """Call *callback* once, after the current transaction of *session*."""
        self._listen()
        self._pending(session).entry(session).callbacks.append(callback)

    def record(
        self, session: Session, tables: Iterable[str], keys: Iterable[Key] = ()
    ) -> None:
        """Note that the open transaction of *session* wrote."""
        if not self._subscribers:
            return
        entry = self._pending(session).entry(session)
        entry.tables.update(tables)
        entry.keys.update(keys)

    def _listen(self) -> None:
        if self._listening:
            return
        self._listening = True
        for name, listener in (
            ("after_flush", self._after_flush),
            ("do_orm_execute", self._on_execute),
            ("after_commit", self._after_commit),
            ("after_transaction_end", self._after_end),
        ):
            event.listen(self._session_class, name, listener)

    @staticmethod
    def _pending(session: Session) -> _Pending:
        pending = session.info.get(_PENDING)
        if pending is None:
            pending = session.info[_PENDING] = _Pending()
        return pending

    # Collecting

    def _after_flush(self, session: Session, _context: object) -> None:
        if not self._subscribers:
            return
        tables: set[str] = set()
        keys: set[Key] = set()
        changed = [x for x in session.dirty if session.is_modified(x)]
        for instance in [*session.new, *changed, *session.deleted]:
            gone = instance in session.deleted
            mapper = object_mapper(instance)
            tables.update(table_names(mapper))
            tables.update(linked_tables(mapper, instance, gone=gone))
            keys.update(row_keys(mapper, mapper.primary_key_from_instance(instance)))
            if gone:
                tables.update(cascade_tables(mapper))
        self.record(session, tables, keys)

    def _on_execute(self, state: ORMExecuteState) -> None:
        if not self._subscribers:
            return
        if not (state.is_insert or state.is_update or state.is_delete):
            return
        mapper = state.bind_mapper
        statement: Any = state.statement
        tables = {statement.table.fullname}
        if mapper is not None:
            tables.update(table_names(mapper))
            if state.is_delete:
                tables.update(cascade_tables(mapper))
        self.record(state.session, tables)

    # Announcing

    @staticmethod
    def _after_commit(session: Session) -> None:
        current = session.get_nested_transaction() or session.get_transaction()
        if current is not None and _PENDING in session.info:
            session.info[_PENDING].committed.append(current)

    def _after_end(self, session: Session, ended: SessionTransaction) -> None:
        pending: _Pending | None = session.info.get(_PENDING)
        if pending is None:
            return
        if ended.parent is None:
            session.info.pop(_PENDING)
            if ended in pending.committed:
                self._announce(session, pending.entries)
            return
        own = [entry for entry in pending.entries if entry.transaction is ended]
        for entry in own:
            # A released savepoint hands its changes to the transaction around it.
            entry.transaction = ended.parent
            if ended not in pending.committed:
                pending.entries.remove(entry)

    def _announce(self, session: Session, entries: list[_Entry]) -> None:
        for entry in entries:
            for callback in entry.callbacks:
                self._call(session, callback)
        tables = frozenset(table for entry in entries for table in entry.tables)
        if not tables:
            return
        change = Change(tables, frozenset(key for x in entries for key in x.keys))
        for subscriber in list(self._subscribers):
            self._call(session, subscriber, change)

    def _call(
        self, session: Session, callback: Callable[..., object], *args: object
    ) -> None:
        try:
            result = callback(*args)
            if inspect.isawaitable(result):
                self._wait(session, result)
        except Exception:
            logger.exception("A callback failed after a commit.")

    def _wait(self, session: Session, awaitable: Awaitable[object]) -> None:
        if getattr(session, "asynchronous", False):
            await_only(_finish(awaitable))
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._wait_in_thread(awaitable)
        else:
            task = loop.create_task(_logged(awaitable))
            _TASKS.add(task)
            task.add_done_callback(_TASKS.discard)

    def _wait_in_thread(self, awaitable: Awaitable[object]) -> None:
        loop = self._loop() if self._loop is not None else None
        if loop is None or not loop.is_running():
            # A script: nobody else is there to run it.
            asyncio.run(_finish(awaitable))
            return
        asyncio.run_coroutine_threadsafe(_finish(awaitable), loop).result()


# The loop keeps only weak references to its tasks.
_TASKS: set[asyncio.Task[object]] = set()


async def _finish(awaitable: Awaitable[object]) -> object:
    return await awaitable


async def _logged(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except Exception:
        logger.exception("A callback failed after a commit.")
        return None


def table_names(mapper: Mapper[Any]) -> Iterator[str]:
    """Iterate over the names of the tables that hold rows of *mapper*."""
    return (t.fullname for t in mapper.tables if isinstance(t, Table))


def row_keys(mapper: Mapper[Any], key: Iterable[object]) -> Iterator[Key]:
    """Iterate over the key of one row in each of its tables."""
    values = tuple(key)
    return ((name, values) for name in table_names(mapper))


def linked_tables(
    mapper: Mapper[Any], instance: object, *, gone: bool
) -> Iterator[str]:
    """Iterate over the association tables whose rows change with *instance*."""
    state = sa.inspect(instance, raiseerr=True)
    for relationship in mapper.relationships:
        table = relationship.secondary
        if isinstance(table, Table) and (
            gone or state.attrs[relationship.key].history.has_changes()
        ):
            yield table.fullname


def cascade_tables(mapper: Mapper[Any]) -> set[str]:
    """Return the tables that the database changes when a row of *mapper* goes."""
    found: set[str] = set()
    waiting = [table for table in mapper.tables if isinstance(table, Table)]
    while waiting:
        target = waiting.pop()
        for table in target.metadata.tables.values():
            if table.fullname not in found and _refers(table, target):
                found.add(table.fullname)
                waiting.append(table)
    return found


def _refers(table: Table, target: Table) -> bool:
    return any(
        key.ondelete and key.column.table is target
        for key in table.foreign_keys
        if key.ondelete
    )
