"""Alternatives: the schemas that an answer may have, and how well it fits each."""

import re
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticSchemaGenerationError,
    TypeAdapter,
)

__all__ = ["Alternative", "Fit", "adapter_for", "fit_of"]

STATUS_NAME = re.compile(r"^http_?([1-5]\d\d)(?!\d)", re.IGNORECASE)


def adapter_for(annotation: Any) -> TypeAdapter[Any]:
    """Return what validates *annotation*; unknown classes are checked by instance."""
    try:
        return TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        lenient = ConfigDict(arbitrary_types_allowed=True)
        return TypeAdapter(annotation, config=lenient)


class Fit(NamedTuple):
    """How well data fits a schema: more keys known, fewer unknown is better."""

    known: int
    unknown: int

    @property
    def rank(self) -> tuple[int, int]:
        return self.known, -self.unknown


def fit_of(value: object, data: object) -> Fit:
    """Return how well *data* fits what was made of it."""
    if isinstance(value, BaseModel) and isinstance(data, dict):
        return _fit_of_model(value, data)
    if isinstance(value, list) and isinstance(data, list):
        fits = [fit_of(item, raw) for item, raw in zip(value, data, strict=False)]
        return Fit(sum(f.known for f in fits), sum(f.unknown for f in fits))
    return Fit(0, 0)


def _fit_of_model(model: BaseModel, data: dict[Any, Any]) -> Fit:
    known, unknown = 0, len(data)
    # Only what was in the data counts: defaults fit everything.
    for name in model.model_fields_set & type(model).model_fields.keys():
        inner = fit_of(getattr(model, name), data.get(name))
        known += 1 + inner.known
        unknown += inner.unknown - 1
    return Fit(known, max(0, unknown))


class Alternative:
    """One member of the declared union.

    Its *status* comes from its name, or from that of its items: `http400` is 400.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.adapter = adapter_for(annotation)
        items = get_args(annotation) if get_origin(annotation) is list else ()
        kind = items[0] if items else annotation
        match = STATUS_NAME.match(getattr(kind, "__name__", ""))
        self.status = int(match[1]) if match else None
        self.takes_all = annotation in (Any, object)
