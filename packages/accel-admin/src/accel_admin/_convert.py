"""Form fields for columns."""

import datetime as dt
import uuid
from typing import Any

from flask_admin.contrib.sqla.form import AdminModelConverter
from flask_admin.form import BaseForm
from flask_admin.model.form import converts
from wtforms import StringField
from wtforms.fields import DateTimeLocalField

from accel_admin._types import has_zone, python_type


class PanelForm(BaseForm):  # type: ignore[misc]  # Flask-Admin is not typed
    """A form whose fields may have the names of its own attributes."""

    aliases: dict[str, str] = {}  # noqa: RUF012  # each class has its own

    def process(self, formdata: Any = None, obj: Any = None, **kwargs: Any) -> None:
        """Fill the fields, each from the attribute that it stands for."""
        given = {
            name: getattr(obj, attribute)
            for name, attribute in self.aliases.items()
            if obj is not None
        }
        super().process(formdata, obj, **given, **kwargs)

    def populate_obj(self, obj: Any) -> None:
        """Write each field to the attribute that it stands for."""
        for name, field in self._fields.items():
            field.populate_obj(obj, self.aliases.get(name, name))


class UuidField(StringField):  # type: ignore[misc]  # WTForms is not typed
    """A field whose data is a UUID."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the UUID."""
        text = valuelist[0].strip() if valuelist else ""
        try:
            self.data: Any = uuid.UUID(text) if text else None
        except ValueError as exc:
            raise ValueError("This is no valid UUID.") from exc


class ZonedDateTimeField(DateTimeLocalField):  # type: ignore[misc]  # WTForms is not typed
    """A moment, written and read in UTC."""

    data: Any

    def process_data(self, value: Any) -> None:
        """Show the moment in UTC."""
        if isinstance(value, dt.datetime) and value.tzinfo is not None:
            value = value.astimezone(dt.UTC)
        super().process_data(value)

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Read the moment, which is in UTC."""
        super().process_formdata(valuelist)
        if self.data is not None:
            self.data = self.data.replace(tzinfo=dt.UTC)


class Converter(AdminModelConverter):  # type: ignore[misc]  # Flask-Admin is not typed
    """Knows the types that Flask-Admin does not."""

    def get_converter(self, column: Any) -> Any:
        """Return the function that makes a field of *column*."""
        kind = python_type(column.type)
        if kind is uuid.UUID:
            return self.convert_uuid
        if kind is dt.datetime:
            return self.convert_moment
        return super().get_converter(column)

    @converts("Uuid")  # type: ignore[untyped-decorator]  # Flask-Admin is not typed
    def convert_uuid(self, field_args: Any, **_extra: Any) -> UuidField:
        """Make a field for a UUID."""
        return UuidField(**field_args)

    def convert_moment(
        self, column: Any, field_args: Any, **_extra: Any
    ) -> DateTimeLocalField:
        """Make a field for a moment, with or without a zone."""
        field = ZonedDateTimeField if has_zone(column.type) else DateTimeLocalField
        formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"]
        return field(format=formats, render_kw={"step": "1"}, **field_args)
