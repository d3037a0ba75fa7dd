"""Rows edited in the form of their parent."""

from typing import Any

import sqlalchemy as sa
from flask_admin.contrib.sqla.fields import InlineModelFormList
from flask_admin.contrib.sqla.form import InlineModelConverter

from accel_admin._derived import (
    key_columns,
    secret_columns,
    server_columns,
    to_one,
)
from accel_admin._keys import encode_key
from accel_admin._relations import RelationLoader


class InlineRows(InlineModelFormList):  # type: ignore[misc]  # Flask-Admin is not typed
    """A list of forms, each for a child; keys of every type work."""

    def populate_obj(self, obj: Any, name: str) -> None:
        """Write the forms to the children of *obj*: new, changed and deleted ones."""
        children = getattr(obj, name)
        mapper = sa.inspect(self.model)
        known = {
            encode_key(mapper.primary_key_from_instance(child)): child
            for child in children
        }
        for entry in self.entries:
            # A key that is not one of ours makes a new child: it moves no other row.
            child = known.get(_key(entry, mapper))
            if child is not None and self.should_delete(entry):
                children.remove(child)
                self.session.delete(child)
                continue
            is_new = child is None
            if child is None:
                child = self.model()
                children.append(child)
            _fill(entry, child, mapper)
            self.inline_view._on_model_change(entry, child, is_new)  # noqa: SLF001  # as Flask-Admin calls it


class InlineConverter(InlineModelConverter):  # type: ignore[misc]  # Flask-Admin is not typed
    """Makes inline forms without secrets and server columns, with searched relations."""

    inline_field_list_type = InlineRows

    def get_info(self, p: Any) -> Any:
        """Return what an inline form shows."""
        info = super().get_info(p)
        mapper = sa.inspect(info.model)
        many = [r.key for r in mapper.relationships if r.key not in to_one(mapper)]
        given = info.form_excluded_columns or ()
        hidden = [*secret_columns(mapper), *server_columns(mapper)]
        info.form_excluded_columns = [*given, *hidden, *many]
        info.form_ajax_refs = getattr(info, "form_ajax_refs", None) or {
            name: RelationLoader(name, self.session, mapper.relationships[name].mapper)
            for name in to_one(mapper)
        }
        # Flask-Admin did this before we named the relations, so it must be done again.
        info._form_ajax_refs = self.process_ajax_refs(info)  # noqa: SLF001  # as Flask-Admin does
        return info


def _key(entry: Any, mapper: Any) -> str:
    parts = [entry.form[name].data for name in key_columns(mapper)]
    return encode_key(parts) if all(parts) else ""


def _fill(entry: Any, child: Any, mapper: Any) -> None:
    keys = key_columns(mapper)
    for name, field in entry.form._fields.items():  # WTForms has no other way
        if name not in keys:
            field.populate_obj(child, name)
