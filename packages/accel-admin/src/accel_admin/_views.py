"""Pages for one model."""

from typing import Any

import sqlalchemy as sa
from flask import abort, flash
from flask_admin.actions import action
from flask_admin.contrib.sqla import ModelView as FlaskAdminModelView
from sqlalchemy.exc import DataError, IntegrityError, StatementError
from sqlalchemy.orm import Mapper

from accel_admin._convert import Converter, PanelForm
from accel_admin._keys import decode_key, encode_key
from accel_admin._relations import RelationLoader
from accel_admin._secrets import looks_secret

_LAST_PAGE = 2**31


class ModelView(FlaskAdminModelView):  # type: ignore[misc]  # Flask-Admin is not typed
    """Lists, shows, creates, edits, deletes and exports the rows of one model.

    Everything is derived from the model. Derive a class to change it, with the
    attributes of Flask-Admin, and pass it in `views=`.
    """

    can_view_details = True
    can_export = True
    can_set_page_size = True
    column_display_pk = True
    column_list: Any = None
    column_details_list: Any = None
    column_export_list: Any = None
    column_sortable_list: Any = None
    column_searchable_list: Any = None
    form_columns: Any = None
    export_max_rows = 10_000
    form_base_class = PanelForm
    model_form_converter = Converter

    def __init__(self, model: type[Any], session: Any, **kwargs: Any) -> None:
        self.mapper: Mapper[Any] = sa.inspect(model)
        self._derive()
        super().__init__(model, session, **kwargs)

    def _derive(self) -> None:
        columns = list(_columns(self.mapper))
        relations = list(_relations(self.mapper))
        if self.column_list is None:
            self.column_list = [*columns, *_many_to_one(self.mapper)]
        if self.column_details_list is None:
            self.column_details_list = [*columns, *relations]
        if self.column_export_list is None:
            self.column_export_list = [*columns]
        if self.column_sortable_list is None:
            self.column_sortable_list = list(columns)
        if self.column_searchable_list is None:
            self.column_searchable_list = list(_texts(self.mapper))
        if self.form_columns is None:
            self.form_columns = [*_editable(self.mapper), *relations]

    def _process_ajax_references(self) -> dict[str, Any]:
        given: dict[str, Any] = super()._process_ajax_references()
        for name in self.form_columns:
            if name in self.mapper.relationships and name not in given:
                given[name] = RelationLoader(
                    name, self.session, self.mapper.relationships[name].mapper
                )
        return given

    # Keys

    def get_pk_value(self, model: Any) -> str:
        """Return the primary key of a row as it stands in URLs."""
        return encode_key(self.mapper.primary_key_from_instance(model))

    def get_one(self, id: Any) -> Any:  # noqa: A002  # the name of Flask-Admin
        """Return the row with that key, or answer 404."""
        try:
            row = self.session.get(self.model, decode_key(self.mapper, id))
        except (ValueError, AttributeError, DataError, StatementError):
            self.session.rollback()
            row = None
        return row if row is not None else abort(404)

    def get_list(self, page: Any, *args: Any, **kwargs: Any) -> Any:
        """Return a page of rows, and how many there are."""
        return super().get_list(min(page or 0, _LAST_PAGE), *args, **kwargs)

    @action("delete", "Delete", "Delete the selected records?")  # type: ignore[untyped-decorator]  # Flask-Admin is not typed
    def action_delete(self, ids: list[str]) -> None:
        """Delete the rows with these keys."""
        rows = [self.get_one(key) for key in ids]
        deleted = sum(self.delete_model(row) for row in rows)
        flash(f"{deleted} deleted.", "success")

    # Failures

    def handle_view_exception(self, exc: Exception) -> bool:
        """Tell what is wrong without telling the statement and its parameters."""
        if not isinstance(exc, IntegrityError):
            return bool(super().handle_view_exception(exc))
        diagnosis = getattr(exc.orig, "diag", None)
        reason = getattr(diagnosis, "message_primary", None) or exc.orig
        flash(f"The database refuses this: {reason}", "error")
        return True


def _columns(mapper: Mapper[Any]) -> Any:
    return (
        attribute.key
        for attribute in mapper.column_attrs
        if not looks_secret(attribute.key) and not _is_plumbing(mapper, attribute)
    )


def _is_plumbing(mapper: Mapper[Any], attribute: Any) -> bool:
    """Tell whether a relation shows this foreign key better."""
    column = attribute.columns[0]
    return not column.primary_key and any(
        column in relation.local_columns
        for relation in mapper.relationships
        if relation.direction.name == "MANYTOONE"
    )


def _many_to_one(mapper: Mapper[Any]) -> Any:
    return (r.key for r in mapper.relationships if r.direction.name == "MANYTOONE")


def _relations(mapper: Mapper[Any]) -> Any:
    return (
        relation.key
        for relation in mapper.relationships
        if not relation.viewonly and relation.direction.name != "ONETOMANY"
    )


def _texts(mapper: Mapper[Any]) -> Any:
    return (
        attribute.key
        for attribute in mapper.column_attrs
        if not looks_secret(attribute.key)
        and isinstance(attribute.columns[0].type, sa.String)
        and not isinstance(attribute.columns[0].type, sa.Enum)
    )


def _editable(mapper: Mapper[Any]) -> Any:
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if looks_secret(attribute.key) or _is_plumbing(mapper, attribute):
            continue
        if isinstance(column, sa.Column) and not _is_made_by_database(column):
            yield attribute.key


def _is_made_by_database(column: sa.Column[Any]) -> bool:
    if column.computed is not None:
        return True
    generated = column.default is not None or column.server_default is not None
    alone = column.table.autoincrement_column is column
    return column.primary_key and (generated or alone)
