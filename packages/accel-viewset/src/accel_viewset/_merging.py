"""Whether a part of a row may be changed, as far as the whole of it decides that."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)
from pydantic.fields import FieldInfo
from sqlalchemy import inspect

_MODES: dict[str, Callable[[Any], Any]] = {
    "after": AfterValidator,
    "before": BeforeValidator,
    "wrap": WrapValidator,
}


class WholeCheck:
    """Runs the `model_validator`s of a schema on a row as a change will leave it.

    What was sent has been checked. What was not is nobody's mistake: it is read as its
    field reads it if that is possible, and as it is if the field refuses it by now.
    """

    def __init__(self, schema: type[BaseModel]) -> None:
        self._schema = schema
        self._readers = {
            name: _reader(field) for name, field in schema.model_fields.items()
        }
        # The last of an annotation that comes before the value is asked first.
        order = sorted(_validators(schema), key=lambda x: x.info.mode != "after")
        marks = [_MODES[validator.info.mode](validator.func) for validator in order]
        whole: Any = Annotated[(Any, AfterValidator(self._whole), *marks)]
        self._adapter = TypeAdapter[Any](whole)

    @classmethod
    def of(cls, schema: type[BaseModel]) -> "WholeCheck | None":
        """Return what checks rows by *schema*, if it looks at more than its fields."""
        return cls(schema) if _validators(schema) else None

    def unread(self, row: object) -> bool:
        """Tell whether the schema has a related row that was not loaded."""
        return bool(_unloaded(row) & self._schema.model_fields.keys())

    def check(self, row: object, change: BaseModel) -> None:
        """Raise unless *row* will be valid once *change* is made to it.

        Raises:
            RequestValidationError: fields contradict each other.
        """
        merged = dict(self._present(row, change))
        try:
            self._adapter.validate_python(merged)
        except ValidationError as exc:
            errors = exc.errors(include_url=False, include_context=False)
            own = [{**error, "loc": ("body", *error["loc"])} for error in errors]
            raise RequestValidationError(own) from exc

    def _present(self, row: object, change: BaseModel) -> Iterator[tuple[str, Any]]:
        unloaded = _unloaded(row)
        for name in self._schema.model_fields:
            if name in change.model_fields_set:
                yield name, getattr(change, name)
            elif name not in unloaded and hasattr(row, name):
                yield name, self._read(name, getattr(row, name))

    def _read(self, name: str, value: Any) -> Any:
        try:
            return self._readers[name].validate_python(value, from_attributes=True)
        except ValidationError:
            return value

    def _whole(self, merged: Mapping[str, Any]) -> BaseModel:
        # Not as arguments, which a schema with aliases would take by these.
        whole = self._schema.model_construct()
        absent = self._schema.model_fields.keys() - whole.__dict__.keys()
        whole.__dict__.update({**dict.fromkeys(absent), **merged})
        return whole


def _validators(schema: type[BaseModel]) -> list[Any]:
    return list(schema.__pydantic_decorators__.model_validators.values())


def _reader(field: FieldInfo) -> TypeAdapter[Any]:
    kind: Any = Annotated[(field.annotation, Field(), *field.metadata)]
    return TypeAdapter(kind)


def _unloaded(row: object) -> set[str]:
    state = inspect(row, raiseerr=False)
    return set() if state is None else set(state.unloaded)
