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
from accel_admin._labels import plain
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
                told = [differences(row) for row in rows]
                self.session.flush()
                keys = [self.get_pk_value(row) for row in rows]
                self.session.commit()
        except (OperationalError, InterfaceError):
            self.session.rollback()
            raise
        except _REFUSALS as exc:
            self.session.rollback()
            flash(explain(exc), "error")
            return False
        for key, changes in zip(keys, told, strict=True):
            self.admin.audit.tell(name, actor, self.model.__name__, key, changes)
        return True

    def get_pk_value(self, model: Any) -> str:
        """Return the primary key of a row as it stands in URLs."""
        return encode_key(self.mapper.primary_key_from_instance(model))


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
    return ", ".join(str(plain(value)) for value in values or ())[:_LONGEST]


def explain(exc: Exception) -> str:
    """Say what is wrong without the statement and its parameters."""
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
