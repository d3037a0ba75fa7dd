"""Forms, and which field a column gets."""

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask_admin.contrib.sqla.form import AdminModelConverter
from flask_admin.form import BaseForm
from wtforms import FloatField, IntegerField
from wtforms.fields import DateField, DateTimeLocalField, TimeField
from wtforms.validators import NumberRange

from accel_admin._fields import (
    EnumField,
    JsonField,
    NumberField,
    RelationField,
    UuidField,
    ZonedDateTimeField,
)
from accel_admin._types import has_zone, python_type, unwrapped

_MOMENTS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S"]
_HOURS = ["%H:%M:%S", "%H:%M"]
# With seconds, which browsers leave out by default.
_SECONDS = {"step": "1"}


class PanelForm(BaseForm):  # type: ignore[misc]  # Flask-Admin is not typed
    """A form whose fields may stand for attributes of another name."""

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


class Converter(AdminModelConverter):  # type: ignore[misc]  # Flask-Admin is not typed
    """Chooses fields by the Python type of a column, with the inputs of the browser."""

    def get_converter(self, column: Any) -> Any:
        """Return the function that makes a field of *column*."""
        kind = python_type(column.type)
        plain = unwrapped(column.type)
        if issubclass(kind, enum.Enum) or isinstance(plain, sa.Enum):
            return _enum
        if isinstance(plain, sa.JSON):
            return _json
        return _MAKERS.get(kind) or super().get_converter(column)

    def _model_select_field(
        self, prop: Any, multiple: Any, remote_model: Any, **kwargs: Any
    ) -> Any:
        loader = getattr(self.view, "_form_ajax_refs", {}).get(prop.key)
        if loader is not None and not multiple:
            return RelationField(loader, **kwargs)
        return super()._model_select_field(prop, multiple, remote_model, **kwargs)


def _enum(column: Any, field_args: Any, **_extra: Any) -> Any:
    kind, plain = python_type(column.type), unwrapped(column.type)
    members: dict[str, Any] = {}
    if issubclass(kind, enum.Enum):
        members = {member.name: member for member in kind}
    elif isinstance(plain, sa.Enum):
        members = {text: text for text in plain.enums}
    return EnumField(members=members, optional=column.nullable, **field_args)


def _json(field_args: Any, **_extra: Any) -> Any:
    return JsonField(**field_args)


def _integer(column: Any, field_args: Any, **_extra: Any) -> Any:
    bits = _bits(unwrapped(column.type))
    limits = NumberRange(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    field_args["validators"].append(limits)
    return IntegerField(**field_args)


def _bits(column_type: Any) -> int:
    if isinstance(column_type, sa.BigInteger):
        return 64
    return 16 if isinstance(column_type, sa.SmallInteger) else 32


def _decimal(column: Any, field_args: Any, **_extra: Any) -> Any:
    number = unwrapped(column.type)
    if isinstance(number, sa.Numeric) and (digits := number.precision) is not None:
        limit = decimal.Decimal(10) ** (digits - (number.scale or 0))
        field_args["validators"].append(NumberRange(-limit, limit))
    return NumberField(places=None, **field_args)


def _moment(column: Any, field_args: Any, **_extra: Any) -> Any:
    field = ZonedDateTimeField if has_zone(column.type) else DateTimeLocalField
    return field(format=_MOMENTS, render_kw=_SECONDS, **field_args)


_MAKERS: dict[type, Callable[..., Any]] = {
    dt.date: lambda field_args, **_extra: DateField(**field_args),
    dt.datetime: _moment,
    dt.time: lambda field_args, **_extra: TimeField(
        format=_HOURS, render_kw=_SECONDS, **field_args
    ),
    decimal.Decimal: _decimal,
    float: lambda field_args, **_extra: FloatField(**field_args),
    int: _integer,
    uuid.UUID: lambda field_args, **_extra: UuidField(**field_args),
}
