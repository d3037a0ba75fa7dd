"""Many rows in few statements."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, Session

from accel_db._errors import InvalidPayload
from accel_db._payload import as_mapping, check_object, column_values

_READ_BACK = {"populate_existing": True}
# How many keys one statement asks for: databases bound the number of values.
_AT_ONCE = 500


def insert_rows(
    session: Session, mapper: Mapper[Any], rows: Sequence[Any], batch: int
) -> list[Any]:
    """Insert *rows* and return them in their order, as objects."""
    created: list[Any] = []
    for part in _batches(rows, batch):
        if all(isinstance(row, mapper.class_) for row in part):
            for row in part:
                check_object(row)
            session.add_all(part)
            session.flush()
            created += part
        else:
            created += _insert(session, mapper, part)
    return created


def _batches(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    if size < 1:
        raise ValueError(f'"batch" must be >= 1: {size}')
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _insert(session: Session, mapper: Mapper[Any], rows: Sequence[Any]) -> list[Any]:
    values = _values(mapper, rows, partial=False)
    statement = sa.insert(mapper).returning(mapper, sort_by_parameter_order=True)
    return list(session.scalars(statement, values, execution_options=_READ_BACK))


def upsert_rows(
    session: Session,
    mapper: Mapper[Any],
    rows: Sequence[Any],
    on: Sequence[str],
    update: Sequence[str] | None,
) -> list[Any]:
    """Insert *rows*, or update those that collide on the names *on*."""
    if not rows:
        return []
    values = _values(mapper, rows, partial=True)
    names = list(values[0])
    _check_alike(mapper, values)
    keys = list(on) or [
        mapper.get_property_by_column(c).key for c in mapper.primary_key
    ]
    setting = [n for n in names if n not in keys] if update is None else list(update)
    given = _given_keys(mapper, values, keys)
    statement: Any = _insert_of(session)(mapper)
    target = [_column(mapper, name) for name in keys]
    if setting:
        fresh = {
            _column(mapper, n): statement.excluded[_column(mapper, n).key]
            for n in setting
        }
        # ON CONFLICT runs no `onupdate=`, and counts no version.
        fresh |= _on_update(mapper, fresh)
        statement = statement.on_conflict_do_update(index_elements=target, set_=fresh)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=target)
    result = session.scalars(
        statement.returning(mapper), values, execution_options=_READ_BACK
    )
    written = list(result.unique())
    return (
        written
        if setting
        else written + _others(session, mapper, target, given, written)
    )


def _given_keys(
    mapper: Mapper[Any], values: list[dict[str, Any]], names: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return the keys that *values* name; PostgreSQL writes no row twice at once."""
    found: dict[tuple[Any, ...], int] = {}
    for position, row in enumerate(values):
        key = tuple(row.get(name) for name in names)
        # Rows whose keys the database makes, or whose keys are NULL, never collide.
        if None in key:
            continue
        path = f"{mapper.class_.__name__}[{position}]"
        try:
            first = found.setdefault(key, position)
        except TypeError:
            # Such as JSON, in which a client may send anything.
            reason = f"a list or an object names no row, by {', '.join(names)}"
            raise InvalidPayload(path, reason) from None
        if first != position:
            raise InvalidPayload(
                path,
                f"it is the row that [{first}] is, by {', '.join(names)}; name each "
                "row once",
            )
    return list(found)


def _others(
    session: Session,
    mapper: Mapper[Any],
    target: list[Any],
    keys: list[tuple[Any, ...]],
    known: list[Any],
) -> list[Any]:
    """Return the rows of *keys* that are not *known*: those that were there before."""
    seen = set(map(id, known))
    rows: list[Any] = []
    for part in _batches(keys, _AT_ONCE):
        wanted = sa.select(mapper).where(sa.tuple_(*target).in_(part))
        rows += session.scalars(wanted, execution_options=_READ_BACK).unique()
    return [row for row in rows if id(row) not in seen]


def _check_alike(mapper: Mapper[Any], values: list[dict[str, Any]]) -> None:
    """Refuse rows with other names than the first: the statement would erase those."""
    for position, row in enumerate(values):
        if row.keys() != values[0].keys():
            raise InvalidPayload(
                f"{mapper.class_.__name__}[{position}]",
                "it names other columns than the first row; write those that differ "
                "by a call of their own",
            )


def _on_update(mapper: Mapper[Any], setting: dict[Any, Any]) -> dict[Any, Any]:
    """Return the `onupdate=` values, which ON CONFLICT does not apply by itself."""
    extra: dict[Any, Any] = {}
    for column in mapper.local_table.columns:
        default = column.onupdate
        if column in setting or default is None:
            continue
        if default.is_clause_element or default.is_scalar:
            extra[column] = default.arg
        elif default.is_callable:
            extra[column] = default.arg(None)
    if (version := mapper.version_id_col) is not None and version not in setting:
        extra[version] = version + 1
    return extra


def _values(
    mapper: Mapper[Any], rows: Sequence[Any], *, partial: bool
) -> list[dict[str, Any]]:
    path = mapper.class_.__name__
    values = []
    for position, row in enumerate(rows):
        here = f"{path}[{position}]"
        data = as_mapping(row, path=here, partial=partial)
        values.append(column_values(mapper, data, path=here))
    return values


def _insert_of(session: Session) -> Any:
    if session.connection().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        return postgres_insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert


def _column(mapper: Mapper[Any], name: str) -> Any:
    if name not in mapper.column_attrs:
        raise InvalidPayload(
            f"{mapper.class_.__name__}.{name}", "there is no such attribute"
        )
    return mapper.column_attrs[name].columns[0]
