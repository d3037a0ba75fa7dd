"""Filters, search and order of a list: what is not allowed cannot be asked."""

import datetime as dt
import decimal
import inspect
import re
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, AwareDatetime, Field
from sqlalchemy import Column, String, or_
from sqlalchemy.orm import Mapper

from accel_db import UtcDateTime
from accel_viewset._types import type_of

_ORDERED = (int, float, decimal.Decimal, dt.date, dt.time, dt.timedelta)
_TYPED = (*_ORDERED, str, bool, uuid.UUID, Enum)
# A column of this name is filtered by `size__exact`: `size` is that of a page.
_TAKEN = frozenset(
    {
        "cursor",
        "expand",
        "limit",
        "offset",
        "ordering",
        "page",
        "search",
        "size",
        "skip",
    }
)
_LONGEST_SEARCH = 200
_MOST_VALUES = 100
_LARGEST = 2**63 - 1
_WORD = re.compile(r'"([^"]+)"|([^\s"]+)')


def _escaped(text: str) -> str:
    # `/` comes first, or it would escape the escapes.
    for mark in ("/", "%", "_"):
        text = text.replace(mark, f"/{mark}")
    return text


def _words(text: str) -> list[str]:
    """Split *text* at its spaces, but for what stands in quotes."""
    found = (phrase or word for phrase, word in _WORD.findall(text))
    return list(dict.fromkeys(found))


def _without_nul(text: str) -> str:
    # PostgreSQL refuses it, and SQLite would find every row.
    if "\0" in text:
        raise ValueError("no text has NUL in it")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
"""What a text is compared with."""

_LOOKUPS: dict[str, Callable[[Any, Any], Any]] = {
    "exact": lambda column, value: column == value,
    "ne": lambda column, value: column != value,
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "in": lambda column, value: column.in_(value),
    "isnull": lambda column, value: column.is_(None) if value else column.is_not(None),
    "contains": lambda column, value: column.ilike(f"%{_escaped(value)}%", escape="/"),
    "startswith": lambda column, value: column.ilike(f"{_escaped(value)}%", escape="/"),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The conditions and the order of one request."""

    where: list[Any] = field(default_factory=list)
    order: list[Any] | None = None
    """None means that of the view set."""


class FilterSet:
    """The allow-lists of one view set.

    *filters* are names of columns, each with the look-ups that its type has, or a
    mapping from names to look-ups. *ordering* and *search* are names of columns.
    """

    def __init__(
        self,
        mapper: Mapper[Any],
        filters: Sequence[str] | Mapping[str, Sequence[str]] = (),
        ordering: Sequence[str] = (),
        search: Sequence[str] = (),
        default_ordering: Sequence[str] = (),
    ) -> None:
        self._mapper = mapper
        self._conditions = dict(self._lookups(filters))
        self._filtered = frozenset(filters)
        self._orderable = {name: self._attribute(name) for name in ordering}
        self._searched = [self._text_attribute(name) for name in search]
        self.default_order = [self._clause(name) for name in default_ordering]

    def __bool__(self) -> bool:
        return bool(self._conditions or self._orderable or self._searched)

    # Declaring

    def _lookups(
        self, filters: Sequence[str] | Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, tuple[Any, str, Any]]]:
        for name in filters:
            attribute = self._attribute(name)
            column = self._column(name)
            value_type = _value_type(column)
            chosen = filters[name] if isinstance(filters, Mapping) else None
            if chosen is not None and (isinstance(chosen, str) or not chosen):
                raise ValueError(f"{name!r} needs a list of look-ups, not {chosen!r}")
            for lookup in chosen or _usual_lookups(column, value_type):
                if lookup not in _LOOKUPS:
                    raise ValueError(
                        f"there is no look-up {lookup!r}; use one of {[*_LOOKUPS]}, of "
                        "which `contains` and `startswith` ignore case"
                    )
                bare = lookup == "exact" and name not in _TAKEN
                key = name if bare else f"{name}__{lookup}"
                yield (
                    key,
                    (attribute, lookup, _parameter(lookup, value_type, column.type)),
                )

    def _attribute(self, name: str) -> Any:
        if name not in self._mapper.column_attrs:
            model = self._mapper.class_.__name__
            raise ValueError(f"{model} has no column {name!r}{self._hint(name)}")
        return getattr(self._mapper.class_, name)

    def _hint(self, name: str) -> str:
        """Return what to do about a column of a related row."""
        relation = name.lstrip("-").replace(".", "__").partition("__")[0]
        if relation not in self._mapper.relationships:
            return ""
        return (
            f", and only its own can be asked for. By those of {relation!r}, narrow the "
            "rows in `scope_query`, which may read `request.query_params`"
        )

    def _column(self, name: str) -> Any:
        return self._mapper.column_attrs[name].columns[0]

    def _text_attribute(self, name: str) -> Any:
        attribute = self._attribute(name)
        if not isinstance(self._column(name).type, String):
            raise ValueError(  # noqa: TRY004  # the name is wrong, not its type
                f"{name!r} is no text, which could be searched"
            )
        return attribute

    def _clause(self, name: str) -> Any:
        attribute = self._attribute(name.removeprefix("-"))
        return attribute.desc() if name.startswith("-") else attribute.asc()

    def parameters(self) -> Callable[..., Awaitable[Selection]]:
        """Return the dependency that reads the query, fully typed for OpenAPI."""
        parameters = [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind
            )
            for key, (_, _, kind) in self._conditions.items()
        ]
        parameters += list(self._general_parameters())
        parameters.append(
            inspect.Parameter(
                "request", inspect.Parameter.KEYWORD_ONLY, annotation=Request
            )
        )

        async def selection(request: Request, **given: Any) -> Selection:
            self._refuse_unknown(request)
            return self._selection(given)

        selection.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # FastAPI reads it
        return selection

    def _general_parameters(self) -> Iterator[inspect.Parameter]:
        if self._orderable:
            names = ", ".join(f"`{name}`" for name in self._orderable)
            yield _text_parameter("ordering", f"{names}; `-` in front reverses")
        if self._searched:
            names = ", ".join(f"`{column.key}`" for column in self._searched)
            yield _text_parameter(
                "search", f"Words, or phrases in quotes, all found in {names}"
            )

    # Reading

    def _refuse_unknown(self, request: Request) -> None:
        """Refuse a look-up that there is not, which would find every row.

        Other names may be those of a dependency, so they are left alone.
        """
        for name in request.query_params:
            column, mark, _ = name.partition("__")
            if not (mark or name not in _TAKEN):
                continue
            if column in self._filtered and name not in self._conditions:
                ours = (x for x in self._conditions if x.partition("__")[0] == column)
                message = f"There is no such filter. Use {', '.join(ours)}"
                raise RequestValidationError(
                    [{"type": "enum", "loc": ("query", name), "msg": message}]
                )

    def _selection(self, given: Mapping[str, Any]) -> Selection:
        where = []
        for key, (attribute, lookup, _) in self._conditions.items():
            # There is `isnull` to ask for None.
            if (value := given.get(key)) is not None:
                where.append(_LOOKUPS[lookup](attribute, value))
        where += [self._found(word) for word in _words(given.get("search") or "")]
        return Selection(where, self._order(given.get("ordering")))

    def _found(self, word: str) -> Any:
        pattern = f"%{_escaped(word)}%"
        return or_(*(column.ilike(pattern, escape="/") for column in self._searched))

    def _order(self, text: str | None) -> list[Any] | None:
        names = [name.strip() for name in (text or "").split(",") if name.strip()]
        # An order by a hidden column would tell its values, one comparison at a time.
        unknown = [n for n in names if n.removeprefix("-") not in self._orderable]
        if unknown:
            message = f"Order by {', '.join(self._orderable)}; `-` in front reverses"
            raise RequestValidationError(
                [{"type": "enum", "loc": ("query", "ordering"), "msg": message}]
            )
        return [self._clause(name) for name in dict.fromkeys(names)] or None


def _value_type(column: Column[Any]) -> Any:
    found = type_of(column)
    return found if found is not None and issubclass(found, _TYPED) else str


def _usual_lookups(column: Column[Any], value_type: type[Any]) -> Iterator[str]:
    yield from ("exact", "in")
    if issubclass(value_type, _ORDERED) and not issubclass(value_type, bool):
        yield from ("gt", "gte", "lt", "lte")
    if issubclass(value_type, str) and not issubclass(value_type, Enum):
        yield from ("contains", "startswith")
    if column.nullable:
        yield "isnull"


def _parameter(lookup: str, value_type: Any, column_type: Any) -> Any:
    if lookup == "isnull":
        return Annotated[bool | None, Query()]
    if value_type is int:
        # SQLite's driver fails on a longer integer.
        value_type = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
    if isinstance(column_type, UtcDateTime):
        value_type = AwareDatetime
    elif value_type is str:
        value_type = Text
    if lookup == "in":
        return Annotated[list[value_type] | None, Query(max_length=_MOST_VALUES)]
    if lookup in {"contains", "startswith"}:
        return Annotated[Text | None, Query(max_length=_LONGEST_SEARCH)]
    return Annotated[value_type | None, Query()]


def _text_parameter(name: str, description: str) -> inspect.Parameter:
    query = Query(max_length=_LONGEST_SEARCH, description=description)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Text | None, query],
    )
