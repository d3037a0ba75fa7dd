"""Forms for one model."""

from typing import Any

from flask_admin.contrib.sqla import ModelView as FlaskAdminModelView
from flask_admin.contrib.sqla.form import get_form
from sqlalchemy.orm import Mapper
from wtforms import Form

from accel_admin import _derived as derived
from accel_admin._relations import RelationLoader

_PREFIX = "column_"
# A field with the name of one of these would replace a part of the form itself, or be
# taken for its token or its return address.
_TAKEN = {*dir(Form), "meta", "data", "errors", "form_errors", "csrf_token", "url"}


class _Fields:
    """Receives the fields that Flask-Admin derives, in place of a form."""

    made: dict[str, Any]

    def __init_subclass__(cls) -> None:
        cls.made = {k: v for k, v in vars(cls).items() if not k.startswith("__")}


class EditableForms(FlaskAdminModelView):  # type: ignore[misc]  # Flask-Admin is not typed
    """Makes forms from the model."""

    mapper: Mapper[Any]
    form_columns: Any = None

    def _process_ajax_references(self) -> dict[str, Any]:
        found: dict[str, Any] = super()._process_ajax_references()
        for name in self.form_columns:
            if name in self.mapper.relationships and name not in found:
                remote = self.mapper.relationships[name].mapper
                found[name] = RelationLoader(name, self.session, remote)
        return found

    def scaffold_form(self) -> Any:
        """Return the form; a column named like a part of a form gets another name."""
        converter = self.model_form_converter(self.session, self)
        fields = get_form(
            self.model,
            converter,
            base_class=_Fields,
            only=self.form_columns,
            field_args=self.form_args,
            ignore_hidden=self.ignore_hidden,
            extra_fields=self.form_extra_fields,
        ).made
        aliases = {f"{_PREFIX}{name}": name for name in fields if name in _TAKEN}
        names = {name: alias for alias, name in aliases.items()}
        body = {names.get(name, name): field for name, field in fields.items()}
        form = type(
            f"{self.model.__name__}Form",
            (self.form_base_class,),
            {**body, "aliases": aliases},
        )
        return self.scaffold_inline_form_models(form) if self.inline_models else form

    def get_edit_form(self) -> Any:
        """Return the form to edit a row, whose key stays as it is."""
        form = super().get_edit_form()
        fixed = derived.key_columns(self.mapper) + derived.key_relations(self.mapper)
        for name in fixed:
            if hasattr(form, name):
                setattr(form, name, None)
        return form

    def create_form(self, obj: Any = None) -> Any:
        """Return the form to create a row, without what may not be created."""
        return self._without_forbidden(super().create_form(obj))

    def edit_form(self, obj: Any = None) -> Any:
        """Return the form to edit *obj*, without what may not be edited."""
        return self._without_forbidden(super().edit_form(obj))

    def _without_forbidden(self, form: Any) -> Any:
        for name in [
            name for name in form._fields if self._is_forbidden(name)
        ]:  # WTForms has no other way
            del form[name]
        return form

    def _is_forbidden(self, name: str) -> bool:
        relation = self.mapper.relationships.get(name)
        if relation is None or relation.direction.name != "ONETOMANY":
            return False
        child = relation.mapper.class_
        needed = ("read", "create", "edit", "delete")
        return not all(self.admin.may(child, action) for action in needed)
