"""Pages for one model."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import sqlalchemy as sa
from flask import abort, flash, request
from flask_admin import expose
from flask_admin.actions import action
from flask_admin.model.template import (
    DeleteRowAction,
    EditRowAction,
    ViewRowAction,
)
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.orm import Mapper

from accel_admin import _derived as derived
from accel_admin._convert import Converter, PanelForm
from accel_admin._export import harmless
from accel_admin._filters import Filters
from accel_admin._forms import EditableForms
from accel_admin._inline import InlineConverter
from accel_admin._keys import decode_key, encode_key, scalar
from accel_admin._labels import encodable, in_details, in_export, in_list
from accel_admin._permissions import action_of
from accel_admin._problems import show_problems
from accel_admin._secrets import looks_secret
from accel_admin._writes import AuditedWrites
from accel_db import acting_as

_LAST_PAGE = 2**31
_MOST_WORDS = 50
# Flask's `url_for` takes these for itself, as whatever begins with an underscore.
_ARGUMENTS_OF_LINKS = {"self", "endpoint"}
_BUTTONS = {ViewRowAction: "read", EditRowAction: "edit", DeleteRowAction: "delete"}


class ModelView(EditableForms, AuditedWrites):
    """Lists, shows, creates, edits, deletes and exports the rows of one model.

    Everything is derived from the model. Derive a class to change it, with the
    attributes of Flask-Admin, and pass it in `views=`. A column that looks like a
    secret is shown only if you name it yourself, as in `column_list`.

    An action gets keys of the type of their column; a composite key is a tuple.
    """

    can_view_details = True
    can_export = True
    can_set_page_size = True
    column_display_pk = True
    export_max_rows = 10_000
    page_size_options = (20, 50, 100)
    column_list: Any = None
    column_details_list: Any = None
    column_export_list: Any = None
    column_sortable_list: Any = None
    column_searchable_list: Any = None
    column_filters: Any = None
    column_default_order: Any = None
    column_type_formatters = {object: in_list}  # noqa: RUF012  # as Flask-Admin has it
    column_type_formatters_detail = {object: in_details}  # noqa: RUF012
    column_type_formatters_export = {object: in_export}  # noqa: RUF012
    filter_converter = Filters()
    form_base_class = PanelForm
    model_form_converter = Converter
    inline_model_form_converter = InlineConverter
    _actions_data: dict[str, tuple[Any, ...]]

    def __init__(self, model: type[Any], session: Any, **kwargs: Any) -> None:
        self.mapper: Mapper[Any] = sa.inspect(model)
        self._derive()
        super().__init__(model, session, **kwargs)

    def _derive(self) -> None:
        columns = derived.shown_columns(self.mapper)
        to_one, linked = derived.to_one(self.mapper), derived.linked(self.mapper)
        defaults = {
            "column_list": [*columns, *to_one],
            "column_details_list": [*columns, *linked],
            "column_export_list": [*columns, *to_one],
            "column_sortable_list": columns,
            "column_searchable_list": derived.text_columns(self.mapper),
            "column_filters": self._filterable(),
            "form_columns": [*derived.form_columns(self.mapper), *linked],
        }
        excluded = set(self.form_excluded_columns or ())
        for name, value in defaults.items():
            if getattr(self, name) is None:
                kept = [v for v in value if name[0] != "f" or v not in excluded]
                setattr(self, name, kept)

    def _filterable(self) -> list[str]:
        return [
            name
            for name in derived.filter_columns(self.mapper)
            if self.filter_converter.convert(
                "", self.mapper.column_attrs[name].columns[0], name
            )
        ]

    def create_blueprint(self, admin: Any) -> Any:
        """Return the blueprint, whose errors are pages, too."""
        blueprint = super().create_blueprint(admin)
        show_problems(blueprint, admin.name, f"{admin.endpoint}.index")
        return blueprint

    def render(self, template: str, **kwargs: Any) -> str:
        """Return a page, which shows whatever the database holds."""
        return encodable(super().render(template, **kwargs))

    # Permissions

    def may(self, name: str) -> bool:
        """Tell whether who is logged in may do *name* here."""
        switched_on = bool(getattr(self, f"can_{name}", True))
        return switched_on and bool(self.admin.may(self.model, name))

    def is_accessible(self) -> bool:
        """Tell whether the model appears at all."""
        return bool(self.admin.may(self.model, "read"))

    def _handle_view(self, name: str, **_kwargs: Any) -> None:
        if not self.may(action_of(name)):
            abort(403)
        if name == "ajax_lookup" and not self._may_look_up():
            abort(403)

    def is_action_allowed(self, name: str) -> bool:
        """Tell whether the action called *name* is offered."""
        return self.may(name) and name not in self.action_disallowed_list

    def get_list_row_actions(self) -> list[Any]:
        """Return the buttons of a row."""
        buttons = super().get_list_row_actions()
        return [b for b in buttons if self.may(_BUTTONS.get(type(b), "read"))]

    def _run_view(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._run_view(fn, *args, **kwargs)
        except (OperationalError, InterfaceError):
            abort(503, "The database cannot be reached.")
        except (DataError, OverflowError):
            abort(400, "The database cannot read one of these values.")

    # Actions

    def init_actions(self) -> None:
        """Collect the actions, which get keys of the type of their columns."""
        super().init_actions()
        self._actions_data = {
            name: (self._with_keys(name, data[0]), *data[1:])
            for name, data in self._actions_data.items()
        }

    def _with_keys(
        self, name: str, run: Callable[[list[Any]], Any]
    ) -> Callable[[list[str]], Any]:
        # PostgreSQL compares no number with a text, which the form sends.
        @wraps(run)
        def with_keys(ids: list[str]) -> Any:
            keys = [self._key(text) for text in ids]
            actor = self.admin.current_account.username
            with acting_as(actor):
                answer = run([scalar(key) for key in keys])
            # Who deletes tells of each row by itself, if it could be deleted.
            if name != "delete":
                for key in keys:
                    self.admin.audit.tell(
                        name, actor, self.model.__name__, encode_key(key)
                    )
            return answer

        return with_keys

    def _key(self, given: object) -> tuple[Any, ...]:
        try:
            return decode_key(self.mapper, given)
        except ValueError:
            abort(404)

    # Reading

    def get_one(self, id: Any) -> Any:  # noqa: A002  # the name of Flask-Admin
        """Return the row with that key, as text or as an action gets it, or answer 404.

        Only rows of `get_query` are found: no page reaches what the list leaves out.
        """
        columns = (getattr(self.model, n) for n in derived.key_columns(self.mapper))
        is_row = (c == v for c, v in zip(columns, self._key(id), strict=True))
        try:
            row = self.get_query().filter(*is_row).first()
        except (DataError, OverflowError):
            row = None
        return row if row is not None else abort(404)

    def get_list(  # as Flask-Admin calls it
        self,
        page: Any,
        sort_column: Any,
        sort_desc: Any,
        search: Any,
        filters: Any,
        **kwargs: Any,
    ) -> Any:
        """Return a page of rows, and how many there are."""
        page = min(max(page or 0, 0), _LAST_PAGE)
        search = (search or "").replace("\x00", "")
        # Each word is a condition of its own, and SQLite nests them.
        if len(search.split()) > _MOST_WORDS:
            abort(400, f"Search for at most {_MOST_WORDS} words.")
        return super().get_list(page, sort_column, sort_desc, search, filters, **kwargs)

    def _get_list_extra_args(self) -> Any:
        found = super()._get_list_extra_args()
        found.extra_args = linkable(found.extra_args)
        return found

    def export_url(self, kind: str) -> str:
        """Return the address of what the list shows, as a file of that *kind*."""
        arguments = {**linkable(request.args), "export_type": kind}
        return str(self.get_url(".export", **arguments))

    def _apply_sorting(self, query: Any, *args: Any) -> Any:
        query, joins = super()._apply_sorting(query, *args)
        # Without a last word, rows that compare equal could appear on two pages.
        names = derived.key_columns(self.mapper)
        return query.order_by(*(getattr(self.model, n) for n in names)), joins

    def scaffold_filters(self, name: Any) -> Any:
        """Return the filters for a column or relation, but none for secrets."""
        found = super().scaffold_filters(name) or []
        return [f for f in found if not looks_secret(str(f.column.key))]

    def get_export_value(self, model: Any, name: Any) -> Any:
        """Return a value for a spreadsheet, which must not take it for a formula."""
        return harmless(super().get_export_value(model, name))

    # Flask-Admin collects pages by their decorator, so an override repeats it.

    @expose("/ajax/lookup/")  # type: ignore[untyped-decorator]  # Flask-Admin is not typed
    def ajax_lookup(self) -> Any:
        """Answer a search for the other end of a relation, as JSON."""
        return super().ajax_lookup()

    @expose("/export/<export_type>/")  # type: ignore[untyped-decorator]  # as above
    def export(self, export_type: str) -> Any:
        """Send what the list shows as a file, up to `export_max_rows` rows."""
        return super().export(export_type)

    def _export_data(self) -> Any:
        self.admin.audit.tell(
            "export", self.admin.current_account.username, self.model.__name__
        )
        return super()._export_data()

    @action("delete", "Delete", "Delete the selected records?")  # type: ignore[untyped-decorator]  # Flask-Admin is not typed
    def action_delete(self, ids: list[Any]) -> None:
        """Delete the rows with these keys: all of them, or none."""
        rows = [self.get_one(key) for key in ids]
        if self.delete_rows(rows):
            flash(f"{len(rows)} deleted.", "success")

    def _may_look_up(self) -> bool:
        loader = self._form_ajax_refs.get(request.args.get("name"))
        model = getattr(loader, "model", None)
        return model is None or bool(self.admin.may_see(model))


def linkable(query: Mapping[str, str]) -> dict[str, str]:
    """Return of *query* what a link to a page may repeat as it came."""
    return {
        name: value
        for name, value in query.items()
        if name not in _ARGUMENTS_OF_LINKS and not name.startswith("_")
    }
