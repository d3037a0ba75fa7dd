"""Form fields for the values of columns."""

import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any

from flask_admin.form import JSONField
from flask_admin.model.fields import AjaxSelectField
from wtforms import DecimalField, SelectField, StringField, ValidationError
from wtforms.fields import DateTimeLocalField

# Every JSON library recurses, and the stack of a page is deep already.
_DEEPEST = 100


class UuidField(StringField):  # type: ignore[misc]  # WTForms is not typed
    """A field whose data is a UUID."""

    data: Any

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the UUID."""
        text = valuelist[0].strip() if valuelist else ""
        self.data = None
        try:
            self.data = uuid.UUID(text) if text else None
        except ValueError as exc:
            raise ValueError("This is no valid UUID.") from exc


class EnumField(SelectField):  # type: ignore[misc]  # WTForms is not typed
    """A choice of the members of an enum, by name."""

    def __init__(
        self, *args: Any, members: dict[str, Any], optional: bool, **kwargs: Any
    ) -> None:
        names = list(members)
        super().__init__(*args, choices=["", *names] if optional else names, **kwargs)
        self._members = members

    def process_data(self, value: Any) -> None:
        """Show a member by its name."""
        self.data = value.name if isinstance(value, enum.Enum) else (value or "")

    def process_formdata(self, valuelist: list[str]) -> None:
        """Take the name that was chosen."""
        if valuelist:
            self.data = valuelist[0]

    def populate_obj(self, obj: Any, name: str) -> None:
        """Write the member, or None."""
        setattr(obj, name, self._members[self.data] if self.data else None)


class NumberField(DecimalField):  # type: ignore[misc]  # WTForms is not typed
    """A finite decimal number."""

    data: Any

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the number; there is no column for infinity."""
        super().process_formdata(valuelist)
        if isinstance(self.data, decimal.Decimal) and not self.data.is_finite():
            self.data = None
            raise ValueError("This is no finite number.")


class JsonField(JSONField):  # type: ignore[misc]  # Flask-Admin is not typed
    """JSON, of which nothing but an empty field is None."""

    data: Any

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        # Flask-Admin shows whatever is false as `{}`, which the next save would store.
        return "" if self.data is None else json.dumps(self.data, ensure_ascii=False)

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the JSON, unless it is so deep that nobody could read it back."""
        try:
            super().process_formdata(valuelist)
            too_deep = _depth(self.data) > _DEEPEST
        except RecursionError:
            too_deep = True
        if too_deep:
            self.data = None
            raise ValueError(f"This is nested more than {_DEEPEST} levels deep.")
        if _has_half(self.data):
            self.data = None
            raise ValueError(
                "This holds half of a character, such as `\\ud800` alone. Write the "
                "whole character."
            )


def _has_half(value: Any) -> bool:
    """Tell whether a text in *value* is half of a surrogate pair, or holds one."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _depth(value: Any) -> int:
    """Return how many levels of lists and objects *value* has."""
    depth, level = 0, [value]
    while level := [x for x in level if isinstance(x, (dict, list))]:
        depth += 1
        level = [y for x in level for y in (x.values() if isinstance(x, dict) else x)]
    return depth


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


class RelationField(AjaxSelectField):  # type: ignore[misc]  # Flask-Admin is not typed
    """Another row; a key that names none is an error and not an empty field."""

    def pre_validate(self, form: Any) -> None:
        """Refuse a key that names no row."""
        if self.raw_data and self.raw_data[0] and self.data is None:
            raise ValidationError("Not a valid choice")
        super().pre_validate(form)
