"""CRUD on a sync session; `OrmAsync` calls the same code."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy import Delete, Select, Update, func, select
from sqlalchemy.orm import Mapper, class_mapper, object_mapper

from accel_db import _lane as lane
from accel_db._bulk import insert_rows, upsert_rows
from accel_db._cursors import CursorQuery
from accel_db._deep_delete import delete_deep, delete_flat
from accel_db._deep_read import load_deep
from accel_db._deep_write import create_graph, refresh_touched, update_graph
from accel_db._errors import InvalidCursor, InvalidPayload, InvalidValue, NotFound
from accel_db._mixins import mark_deleted, soft_delete_column
from accel_db._pages import CursorPage, Page, page_count
from accel_db._payload import as_mapping, check_object, column_values
from accel_db._plan import Deep, plan_for
from accel_db._rollback import end_reading
from accel_db._statements import (
    by_key,
    mapper_of,
    model_name,
    next_version,
    objects,
    unchanged,
    written_mapper,
)
from accel_db._streams import stream_plan
from accel_db._translation import reached, translated
from accel_db._units import Stale, UnitsOfWork
from accel_db._values import key_criteria, row_key, with_coerced_binds

M = TypeVar("M")
R = TypeVar("R")

_FRESH = {"populate_existing": True}
# Tells a session that may ask a replica that it may.
_A_READ = select(sa.literal(1))
_RETURNING = {"populate_existing": True, "synchronize_session": False}


class Orm(UnitsOfWork):
    """Reads and writes objects; each call commits by itself.

    Inside `with orm.transaction():`, or in a session that began explicitly, calls only
    flush. Objects stay usable after the session is closed.
    """

    # Transactions

    @contextmanager
    def transaction(self) -> Iterator["Orm"]:
        """Make the calls in the block one transaction; inside another, a savepoint."""
        end = self.begin()
        try:
            yield self
        except BaseException:
            end(False)
            raise
        end(True)

    @contextmanager
    def nested(self) -> Iterator["Orm"]:
        """Make the calls in the block a savepoint, which may fail alone."""
        with translated(self.session), self.session.begin_nested():
            yield self

    def begin(self) -> Callable[[bool], None]:
        """Begin what `transaction()` ends by calling the result: did it succeed?"""
        if self._in_explicit_transaction():
            return self._end_of(self.session.begin_nested())
        transaction = self.session.get_transaction() or self.session.begin()
        self._open = True
        return self._end_of(transaction)

    # Reading

    def get(self, statement: Select[M], *, deep: Deep = False) -> M | None:
        """Return the first object that *statement* finds, or None."""
        first: Select[Any] = with_coerced_binds(statement)
        if isinstance(first, Select):
            first = first.limit(1)
        found = self._find(first, deep, None)
        return found[0] if found else None

    def get_one(self, statement: Select[M], *, deep: Deep = False) -> M:
        """Return the first object that *statement* finds, or raise `NotFound`."""
        if (found := self.get(statement, deep=deep)) is None:
            raise NotFound(model_name(statement))
        return found

    def get_list(
        self,
        statement: Select[M],
        *,
        deep: Deep = False,
        db_model: type[Any] | None = None,
    ) -> list[M]:
        """Return every object that *statement* finds.

        A LIMIT counts these objects, whatever *deep* loads beside them. *db_model* is
        only needed where the statement does not tell it.
        """
        return self._find(with_coerced_binds(statement), deep, db_model)

    def _find(
        self,
        statement: Select[Any],
        deep: Deep,
        db_model: type[Any] | None,
        of: Callable[[Any, Any], list[Any]] = objects,
    ) -> list[Any]:
        plan = plan_for(deep, mapper_of(statement, db_model)) if deep else None

        def work(stale: Stale) -> list[Any]:
            options = _FRESH if stale else {}
            result = self.session.execute(statement, execution_options=options)
            found = of(statement, result)
            if plan is not None:
                rest = stale.keys() - set(map(id, found))
                load_deep(self.session, found, plan, stale=rest)
            return found

        return self._read(work, statement, single=plan is None)

    def rows(
        self, statement: Select[Any], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Return the rows of columns that *statement* finds.

        *parameters* are the values of its `bindparam`s, of the types of their columns.
        A statement that is built once and kept spares most of what a short query costs.
        """
        return self._read(
            lambda _: self.session.execute(statement, parameters).all(),
            statement,
            single=True,
        )

    def reading(self, work: Callable[["Orm"], R]) -> R:
        """Return what *work* does with this object; its reads share a connection.

        To take one from the pool costs as much as a short query. Each statement is
        atomic by itself; one view of the data for all of them needs a `transaction()`.
        """
        return self._read(lambda _: work(self), _A_READ, single=True)

    def get_item(self, model: type[M], pk: object, *, deep: Deep = False) -> M | None:
        """Return the object with the primary key *pk*, or None.

        *pk* is coerced to the type of its column; a composite key is a tuple.
        """
        mapper = class_mapper(model)
        if (key := self._row_key(mapper, pk)) is None:
            return None
        try:
            plan = plan_for(deep, mapper)
            statement = by_key(mapper)
            parameters = {f"pk_{i}": part for i, part in enumerate(key)}

            def work(stale: Stale) -> M | None:
                options = _FRESH if stale else {}
                found = self.session.scalars(
                    statement, parameters, execution_options=options
                )
                instance = found.unique().one_or_none()
                if plan is not None and instance is not None:
                    rest = stale.keys() - {id(instance)}
                    load_deep(self.session, [instance], plan, stale=rest)
                return instance

            return self._read(work, statement, single=plan is None)
        except InvalidValue:
            # No row can have a key that is no value of its column.
            return None

    def _row_key(self, mapper: Mapper[Any], pk: object) -> tuple[Any, ...] | None:
        manager = getattr(self.session, "manager", None)
        if manager is None:
            return row_key(mapper, pk, self.session.get_bind(mapper).dialect.name)
        return row_key(mapper, pk, manager.backend)

    def get_item_or_raise(self, model: type[M], pk: object, *, deep: Deep = False) -> M:
        """Return the object with the primary key *pk*, or raise `NotFound`."""
        if (found := self.get_item(model, pk, deep=deep)) is None:
            raise NotFound(model.__name__, pk)
        return found

    def count(self, statement: Select[Any]) -> int:
        """Return how many rows *statement* would find."""
        # An order costs a sort, and changes no count.
        rows = with_coerced_binds(statement).order_by(None).subquery()
        query = select(func.count()).select_from(rows)
        return self._read(
            lambda _: self.session.scalars(query).one(), query, single=True
        )

    def exists(self, statement: Select[Any]) -> bool:
        """Tell whether *statement* would find a row."""
        query = select(with_coerced_binds(statement).order_by(None).exists())
        return self._read(
            lambda _: bool(self.session.scalars(query).one()), query, single=True
        )

    def page(
        self,
        statement: Select[M],
        *,
        page: int = 1,
        size: int = 50,
        deep: Deep = False,
    ) -> Page[M]:
        """Return page number *page* of what *statement* finds, and how much there is."""
        page_count(0, page=page, size=size)
        total = self.count(statement)
        part = statement.limit(size).offset((page - 1) * size)
        items = self.get_list(part, deep=deep) if total > (page - 1) * size else []
        return Page(items, total, page, size, page_count(total, page=page, size=size))

    def cursor_page(
        self,
        statement: Select[M],
        *,
        order_by: Sequence[Any] = (),
        cursor: str | None = None,
        size: int = 50,
        deep: Deep = False,
    ) -> CursorPage[M]:
        """Return the *size* objects after *cursor*, at the same cost on every page.

        Rows are ordered by *order_by* and then by primary key, never by the order of
        *statement* itself. New and deleted rows do not shift the pages that follow.
        NULL comes first, and last in a descending order, unless that says otherwise.
        """
        query = CursorQuery(
            with_coerced_binds(statement),
            self.session.get_bind(clause=statement).dialect,
            order_by=order_by,
            cursor=cursor,
            size=size,
        )
        try:
            return query.page(self._find(query.statement, deep, None, query.objects))
        except InvalidValue as exc:
            if not cursor:
                raise
            # Some types are known to the database alone, which read the cursor.
            raise InvalidCursor from exc

    def stream(
        self, statement: Select[M], *, batch: int = 500, deep: Deep = False
    ) -> Iterator[M]:
        """Iterate over what *statement* finds, *batch* objects in memory at a time."""
        query, options, load = stream_plan(self.session, statement, batch, deep)
        try:
            with reached(self.session):
                result = self.session.scalars(query, execution_options=options)
                # A reader may leave early, and the transaction may go on without it.
                with closing(result):
                    for objects in result.partitions():
                        load(objects)
                        yield from objects
        finally:
            self.end_of_stream()

    def end_of_stream(self) -> None:
        """Give the connection back, unless a transaction still needs it."""
        if not self._in_explicit_transaction():
            end_reading(self.session)

    def eager_refresh(self, instance: M, *, deep: Deep = True) -> M:
        """Read *instance* again, with everything that *deep* names."""
        mapper = object_mapper(instance)
        plan = plan_for(deep, mapper)

        def work(_: Stale) -> M:
            session = self.session
            if instance not in session:
                session.add(instance)
            old = [x for x in session.identity_map.values() if x is not instance]
            session.expire(instance, [r.key for r in mapper.relationships])
            session.refresh(instance, [a.key for a in mapper.column_attrs])
            if plan is not None:
                load_deep(session, [instance], plan, stale=set(map(id, old)))
            return instance

        statement = select(mapper)
        return self._read(work, statement, single=False)

    # Writing

    @overload
    def create_item(
        self, item: Mapping[str, Any], db_model: type[M], *, deep: Deep = False
    ) -> M: ...
    @overload
    def create_item(
        self, item: M, db_model: None = None, *, deep: Deep = False
    ) -> M: ...
    @overload
    def create_item(
        self, item: object, db_model: type[M], *, deep: Deep = False
    ) -> M: ...
    def create_item(
        self, item: Any, db_model: type[Any] | None = None, *, deep: Deep = False
    ) -> Any:
        """Create *item*, an object or the data (dict, schema) of a *db_model*.

        Returns the object with what the database filled in. With *deep*, nested data
        creates and links related objects, which are loaded on the result.

        Raises:
            Conflict: the row collides with another one.
            InvalidPayload: the data does not fit the model.
        """
        model = db_model if db_model is not None else type(item)
        mapper = sa.inspect(model, raiseerr=False)
        if not isinstance(mapper, Mapper):
            raise InvalidPayload(
                model.__name__, "data needs its model: `create_item(data, Model)`"
            )
        plan = plan_for(deep, mapper)
        if not isinstance(item, model) and not deep:
            values = as_mapping(item, path=model.__name__, partial=False)
            item = model(**column_values(mapper, values, path=model.__name__))
        elif isinstance(item, model):
            check_object(item)

        def work() -> Any:
            if isinstance(item, model):
                self.session.add(item)
                instance, touched = item, [(item, set(item.__dict__))]
            else:
                instance, touched = create_graph(self.session, mapper, item, deep)
            self.session.flush()
            refresh_touched(self.session, touched)
            if plan is not None:
                load_deep(self.session, [instance], plan)
            return instance

        single = isinstance(item, model) and plan is None
        single = single and lane.may_insert(self.session, item)
        return self._write(work, single=single, mapper=mapper, data=item)

    def update_item(
        self, model: type[M], pk: object, data: Any, *, deep: Deep = False
    ) -> M | None:
        """Set what *data* (dict or schema) names on the object *pk*, or return None.

        With *deep*, related objects follow: an absent name is left alone, None unlinks,
        children are matched by primary key, and a child without a key is created. A
        child that is not in the list is deleted if it cannot live alone (marked, if it
        is soft-deleted), and unlinked otherwise. Many-to-many only links; many-to-one
        updates the same row, or links another one.
        """
        mapper = class_mapper(model)
        if (key := self._row_key(mapper, pk)) is None:
            return None
        values = as_mapping(data, path=model.__name__, partial=True)
        if not deep:
            values = self._own_values(mapper, key, values)
            if not values:
                return self.get_item(model, key)
            if lane.may_update(self.session, mapper, values):
                found: M | None = self._update_row(mapper, key, values)
                return found
        plan = plan_for(deep, mapper)

        def work() -> M | None:
            instance = self._locked(mapper, key)
            if instance is None:
                return None
            touched = update_graph(self.session, mapper, instance, values, deep)
            self.session.flush()
            refresh_touched(self.session, touched)
            if plan is not None:
                load_deep(self.session, [instance], plan)
            return instance  # type: ignore[no-any-return]

        return self._write(work, mapper=mapper, data=values)

    def _own_values(
        self, mapper: Mapper[Any], key: tuple[Any, ...], values: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the values to set, without the key, which must agree."""
        name = mapper.class_.__name__
        values = column_values(mapper, values, path=name)
        for column, part in zip(mapper.primary_key, key, strict=True):
            attribute = mapper.get_property_by_column(column).key
            if attribute in values and values.pop(attribute) != part:
                raise InvalidPayload(f"{name}.{attribute}", "the key cannot change")
        return values

    def _update_row(
        self, mapper: Mapper[Any], key: tuple[Any, ...], values: dict[str, Any]
    ) -> Any:
        statement = (
            sa.update(mapper)
            .where(*key_criteria(mapper, key))
            .values(values)
            .returning(mapper)
        )

        def work() -> Any:
            if self.session.in_transaction() and self.session.autoflush:
                self.session.flush()
            found = self.session.scalars(statement, execution_options=_RETURNING)
            instance = found.unique().one_or_none()
            if instance is not None:
                refresh_touched(self.session, [(instance, set(values))])
                self._record(mapper, key)
            return instance

        return self._write(work, single=True, mapper=mapper, data=values)

    def _record(self, mapper: Mapper[Any], key: tuple[Any, ...]) -> None:
        manager = getattr(self.session, "manager", None)
        if manager is not None:
            manager.record_change(self.session, mapper, key)

    def _locked(self, mapper: Mapper[Any], key: tuple[Any, ...]) -> Any:
        """Return the object, locked so that a concurrent change has to wait."""
        statement = select(mapper).where(*key_criteria(mapper, key))
        statement = statement.with_for_update(of=mapper)
        found = self.session.scalars(statement, execution_options=_FRESH)
        return found.unique().one_or_none()

    def delete_item(self, model: type[Any], pk: object, *, deep: bool = False) -> bool:
        """Delete the object *pk*; return False if there is none.

        With *deep*, its children go first (and theirs), but never a parent and never
        the target of a many-to-many link.
        """
        mapper = class_mapper(model)
        if (key := self._row_key(mapper, pk)) is None:
            return False
        soft = soft_delete_column(mapper)
        if soft is None and not deep and lane.may_delete(self.session, mapper):
            return self._delete_row(mapper, key)

        def work() -> bool:
            instance = self._locked(mapper, key)
            if instance is None:
                return False
            if deep:
                delete_deep(self.session, instance)
            else:
                delete_flat(self.session, instance)
            self.session.flush()
            return True

        return self._write(work)

    def _delete_row(self, mapper: Mapper[Any], key: tuple[Any, ...]) -> bool:
        statement = sa.delete(mapper).where(*key_criteria(mapper, key))

        def work() -> bool:
            # Objects in the session must notice; mostly there are none.
            synchronize = "auto" if self.session.identity_map else False
            result: Any = self.session.execute(
                statement, execution_options={"synchronize_session": synchronize}
            )
            if found := result.rowcount > 0:
                self._record(mapper, key)
            return bool(found)

        return self._write(work, single=True)

    def update(self, statement: Update, data: Mapping[str, Any] | Any) -> Any:
        """Set *data* on the rows of *statement*; return the first of them, or None."""
        found = self.update_list(statement, data)
        return found[0] if found else None

    def update_list(
        self, statement: Update, data: Mapping[str, Any] | Any
    ) -> list[Any]:
        """Set *data* on the rows of *statement*, and return them.

        Raises:
            UnsafeStatement: the statement has no WHERE clause.
        """
        mapper = written_mapper(statement, "update")
        name = mapper.class_.__name__
        values = as_mapping(data, path=name, partial=True)
        values = column_values(mapper, values, path=name)
        setting = values | next_version(mapper) if values else unchanged(mapper)
        statement = with_coerced_binds(statement).values(setting)

        def work() -> list[Any]:
            returning = statement.returning(mapper)
            found = self.session.scalars(returning, execution_options=_RETURNING)
            objects = found.unique().all()
            for instance in objects:
                refresh_touched(self.session, [(instance, set(values))])
                self._record(mapper, tuple(mapper.primary_key_from_instance(instance)))
            return list(objects)

        single = len(mapper.tables) == 1
        return self._write(work, single=single, mapper=mapper, data=values)

    def delete(self, statement: Delete) -> bool:
        """Delete the rows of *statement*; tell whether there were any.

        Rows with a soft-delete column are marked.

        Raises:
            UnsafeStatement: the statement has no WHERE clause.
        """
        mapper = written_mapper(statement, "delete")
        coerced: Any = mark_deleted(with_coerced_binds(statement), mapper)

        def work() -> bool:
            result: Any = self.session.execute(coerced)
            return bool(result.rowcount > 0)

        return self._write(work, single=len(mapper.tables) == 1)

    def bulk_create(
        self, model: type[M], rows: Iterable[Any], *, batch: int = 1000
    ) -> list[M]:
        """Insert *rows* (objects, dicts or schemas), many per statement, all or none."""
        mapper = class_mapper(model)
        data = list(rows)
        return self._write(
            lambda: insert_rows(self.session, mapper, data, batch),
            mapper=mapper,
            data=data,
        )

    def upsert(
        self,
        model: type[M],
        rows: Iterable[Any],
        *,
        on: Sequence[str] = (),
        update: Sequence[str] | None = None,
    ) -> list[M]:
        """Insert *rows*, or update those that exist already, and return them.

        Args:
            model: the class of the rows.
            rows: dicts or schemas, all with the same names.
            on: the names of a unique constraint; by default the primary key.
            update: the names to set on existing rows; by default all others. With none
                an existing row is left as it is, and returned, too.

        Raises:
            InvalidPayload: a row has other names than the first one, or is named twice.
        """
        mapper = class_mapper(model)
        data = list(rows)
        return self._write(
            lambda: upsert_rows(self.session, mapper, data, on, update),
            mapper=mapper,
            data=data,
        )
