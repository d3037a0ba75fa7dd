"""Creating, editing and deleting rows."""

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask import flash
from flask_admin.contrib.sqla import ModelView as FlaskAdminModelView
from sqlalchemy.exc import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import StaleDataError

from accel_admin._derived import secret_columns
from accel_admin._keys import encode_key
from accel_admin._labels import encodable, plain
from accel_db import DatabaseError, SoftDeleteMixin, acting_as

logger = logging.getLogger("accel_admin")

_REFUSALS = (SQLAlchemyError, DatabaseError, ValueError, OverflowError)
_HIDDEN = "***"
_LONGEST = 200

Changes = tuple[tuple[str, str, str], ...]


class AuditedWrites(FlaskAdminModelView):  # type: ignore[misc]  # Flask-Admin is not typed
    """Writes through the session of the request, and tells who did it."""

    mapper: Mapper[Any]

    def create_model(self, form: Any) -> Any:
        """Create a row from *form*; return it, or False."""
        row = self.build_new_instance()

        def change() -> None:
            form.populate_obj(row)
            self.session.add(row)
            self._on_model_change(form, row, True)  # Flask-Admin's call

        if not self._write("create", [row], change):
            return False
        self.after_model_change(form, row, True)  # Flask-Admin's call
        return row

    def update_model(self, form: Any, model: Any) -> bool:
        """Change a row as *form* says; tell whether that worked."""

        def change() -> None:
            form.populate_obj(model)
            self._on_model_change(form, model, False)  # Flask-Admin's call

        if not self._write("edit", [model], change):
            return False
        self.after_model_change(form, model, False)  # Flask-Admin's call
        return True

    def delete_model(self, model: Any) -> bool:
        """Delete a row; tell whether that worked."""
        return self.delete_rows([model])

    def delete_rows(self, rows: list[Any]) -> bool:
        """Delete all of *rows*, or none; tell whether that worked."""

        def change() -> None:
            for row in rows:
                self.on_model_delete(row)
                self._delete(row)

        if not self._write("delete", rows, change):
            return False
        for row in rows:
            self.after_model_delete(row)
        return True

    def _delete(self, row: Any) -> None:
        if isinstance(row, SoftDeleteMixin):
            row.deleted_at = dt.datetime.now(dt.UTC)
        else:
            self.session.delete(row)

    def _write(self, name: str, rows: list[Any], change: Callable[[], None]) -> bool:
        actor = self.admin.current_account.username
        try:
            with acting_as(actor), self.session.no_autoflush:
                change()
                written = [*((name, row) for row in rows), *self._others(rows)]
                # A flush forgets what changed, but only then a new row has a key.
                told = [differences(row) for _, row in written]
                self.session.flush()
                keys = [key_of(row) for _, row in written]
                self.session.commit()
        except (OperationalError, InterfaceError):
            self.session.rollback()
            raise
        except _REFUSALS as exc:
            self.session.rollback()
            flash(explain(exc), "error")
            return False
        for (what, row), key, changes in zip(written, keys, told, strict=True):
            self.admin.audit.tell(what, actor, type(row).__name__, key, changes)
        return True

    def _others(self, rows: list[Any]) -> list[tuple[str, Any]]:
        """Return what changes beside *rows*: children inline, and those of cascades."""
        session, told = self.session, set(map(id, rows))
        # A parent whose collection alone changes is not written.
        edited = (x for x in session.dirty if session.is_modified(x, False))
        found = [
            *(("create", x) for x in session.new),
            *(("edit", x) for x in edited),
            *(("delete", x) for x in session.deleted),
        ]
        return [(name, x) for name, x in found if id(x) not in told]

    def get_pk_value(self, model: Any) -> str:
        """Return the primary key of a row as it stands in URLs."""
        return key_of(model)


def key_of(row: Any) -> str:
    """Return the primary key of *row* as it stands in URLs."""
    return encode_key(sa.inspect(row).mapper.primary_key_from_instance(row))


def differences(row: Any) -> Changes:
    """Return what is about to change in *row*, without the values of secrets."""
    state = sa.inspect(row)
    secrets = secret_columns(state.mapper)
    found = []
    for attribute in state.attrs:
        history, name = attribute.history, attribute.key
        if not history.has_changes():
            continue
        told = (_HIDDEN, _HIDDEN)
        if name not in secrets:
            told = (_text(history.deleted), _text(history.added))
        found.append((name, *told))
    return tuple(found)


def _text(values: Any) -> str:
    text = ", ".join(str(plain(value)) for value in values or ())
    return encodable(text[:_LONGEST])


def explain(exc: Exception) -> str:
    """Say what is wrong without the statement and its parameters."""
    # SQLite names columns only, and psycopg has a message without the values.
    if isinstance(exc, IntegrityError):
        diagnosis = getattr(exc.orig, "diag", None)
        reason = getattr(diagnosis, "message_primary", None) or exc.orig
        return f"The database refuses this: {reason}."
    if isinstance(exc, StaleDataError):
        return "Somebody else changed this record. Reload it, and try again."
    if isinstance(exc, DatabaseError):
        return str(exc)
    logger.warning("A write was refused: %s.", type(exc).__name__)
    return "The database cannot store one of these values."
