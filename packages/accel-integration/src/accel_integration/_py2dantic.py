"""Pydantic models from examples of data."""

import datetime as dt
import decimal
import keyword
import re
import unicodedata
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

__all__ = ["generate_pydantic_models"]

# What a field must not be called: it would hide a part of BaseModel, or a name that
# the annotations after it need.
TAKEN = frozenset(dir(BaseModel)) | {
    *("bool", "bytes", "dict", "float", "int", "list", "str", "tuple"),
    *("Any", "Decimal", "Field"),
}
PROTECTED = re.compile(r"^model_")

# Standard types beyond those of JSON, and how to import them. An underscore keeps them
# apart from fields, which are often called "date" and never begin with one.
IMPORTS: dict[type, tuple[str, str]] = {
    dt.datetime: ("datetime", "datetime as _datetime"),
    dt.date: ("datetime", "date as _date"),
    dt.time: ("datetime", "time as _time"),
    dt.timedelta: ("datetime", "timedelta as _timedelta"),
    decimal.Decimal: ("decimal", "Decimal"),
    uuid.UUID: ("uuid", "UUID as _UUID"),
}
# What strings may stand for. The forms are those of ISO 8601 that Pydantic writes.
DATE, TIME = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d:\d\d(\.\d+)?"
FORMS: dict[type, re.Pattern[str]] = {
    dt.date: re.compile(DATE, re.ASCII),
    dt.datetime: re.compile(rf"{DATE}T{TIME}(Z|[+-]\d\d:\d\d)?", re.ASCII),
    dt.time: re.compile(TIME, re.ASCII),
    uuid.UUID: re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII),
}
ADAPTERS: dict[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in FORMS}
# Python reads no more than about a hundred brackets within each other.
MOST_BRACKETS = 50
PLAIN = (bool, int, float, str, bytes)


def generate_pydantic_models(
    data: Any,
    depth: int = 10,
    prfix_class_name: str = "RootModel",
    parent_class: str = "BaseModel",
    *,
    more: Sequence[Any] = (),
) -> str:
    """Return the source of a module with Pydantic models for *data*.

    All items of a list are looked at: what some of them lack becomes optional. Keys
    that are no names, such as `90` or `class`, get an alias. Strings become dates, times
    or UUIDs where every example is one, and none would be written back as another.

    Args:
        data: What to describe: a dict, a list, or anything that JSON has.
        depth: How many levels of dicts become models; deeper ones stay dicts.
        prfix_class_name: What the outermost model is called, and the names of all
            others begin with.
        parent_class: The parent of the models; `package.module.Name` is imported.
        more: Further examples; what some of them lack becomes optional.

    Raises:
        ValueError: A name is not one that Python allows.
    """
    for name in (prfix_class_name, *parent_class.split(".")):
        if not name.isidentifier() or keyword.iskeyword(name):
            msg = f"Cannot call a class {name!r}: that is not a name in Python."
            raise ValueError(msg)
    return Generator(parent_class, depth).module([data, *more], prfix_class_name)


class Generator:
    """A module being written: its imports, and its classes in the order of need."""

    def __init__(self, parent_class: str, depth: int) -> None:
        self._depth = depth
        module, _, self._parent = parent_class.rpartition(".")
        home = module or ("pydantic" if self._parent == "BaseModel" else "")
        self._imports: set[tuple[str, str]] = {(home, self._parent)} if home else set()
        self._classes: list[str] = []
        self._names: set[str] = {self._parent}
        # No class may be called like a field, which would hide it in its own class.
        self._fields: set[str] = set()

    def module(self, samples: Sequence[Any], name: str) -> str:
        """Return the whole module."""
        records = [item for item in samples if isinstance(item, dict)]
        is_model = len(records) == len(samples) and all(map(_is_record, records))
        if is_model and self._depth > 0:
            self._model(records, name, 1)
        else:
            self._names.add(name)
            kind = self._type(samples, f"{name}Item", 1)
            self._classes.append(f"{name} = {kind}\n")
        return "\n\n".join([*self._import_lines(), "\n\n".join(self._classes)])

    def _import_lines(self) -> list[str]:
        if not self._imports:
            return []
        homes: dict[str, list[str]] = {}
        for home, name in sorted(self._imports):
            homes.setdefault(home, []).append(name)
        lines = [
            f"from {home} import {', '.join(names)}" for home, names in homes.items()
        ]
        return ["\n".join(lines) + "\n"]

    def _model(
        self, records: Sequence[Mapping[str, Any]], name: str, level: int
    ) -> str:
        """Write a model that fits all *records*; return its name."""
        name = _free(name, self._names | self._fields)
        self._names.add(name)
        keys = dict.fromkeys(key for record in records for key in record)
        used: set[str] = set()
        lines = []
        for key in keys:
            # A field called like a class would hide the class in annotations below.
            field = _free(_field_name(key), used | self._names)
            used.add(field)
            self._fields.add(field)
            values = [record[key] for record in records if key in record]
            lines.append(self._field(key, field, values, name, level, len(records)))
        body = "\n".join(f"    {line}" for line in lines or ["pass"])
        self._classes.append(f"class {name}({self._parent}):\n{body}\n")
        return name

    def _field(  # noqa: PLR0913, PLR0917 - one line of a model, and all that it shows
        self,
        key: str,
        field: str,
        values: list[Any],
        owner: str,
        level: int,
        total: int,
    ) -> str:
        kind = self._type(values, f"{owner}_{_class_part(key)}", level + 1)
        is_optional = len(values) < total
        # Some items lack the key, so that its absence is valid as well.
        if is_optional and "None" not in kind.split(" | ") and kind != "Any":
            kind += " | None"
        if key == field:
            return f"{field}: {kind}{' = None' if is_optional else ''}"
        self._imports.add(("pydantic", "Field"))
        default = "default=None, " if is_optional else ""
        return f"{field}: {kind} = Field({default}alias={_literal(key)})"

    def _type(self, values: Iterable[Any], name: str, level: int) -> str:
        """Return the type that fits all *values*, models written as needed."""
        # Asked several questions, and it may be a generator.
        values = list(values)
        parts: dict[str, None] = {}
        dicts = [value for value in values if isinstance(value, dict)]
        lists = [value for value in values if isinstance(value, list)]
        if dicts:
            parts[self._dict_type(dicts, name, level)] = None
        if lists:
            parts[self._list_type(lists, name, level)] = None
        plain = [v for v in values if v is not None and not isinstance(v, dict | list)]
        if plain and (meaning := _meaning(plain)) is not None:
            parts[self._imported(meaning)] = None
        else:
            parts.update(dict.fromkeys(map(self._plain_type, plain)))
        if not parts or "Any" in parts:
            self._imports.add(("typing", "Any"))
            return "Any"
        if any(value is None for value in values):
            parts["None"] = None
        return " | ".join(parts)

    def _dict_type(self, dicts: list[dict[Any, Any]], name: str, level: int) -> str:
        if not all(_is_record(item) for item in dicts):
            keys = self._type((k for d in dicts for k in d), name, level)
            items = self._type((v for d in dicts for v in d.values()), name, level + 1)
            return f"dict[{keys}, {items}]"
        # Nothing is known of the keys of dicts that are all empty.
        if level > self._depth or not any(dicts):
            self._imports.add(("typing", "Any"))
            return "dict[str, Any]"
        return self._model(dicts, name, level)

    def _list_type(self, lists: list[list[Any]], name: str, level: int) -> str:
        items = [item for items in lists for item in items]
        suffix = "" if name.endswith("Item") else "Item"
        kind = self._type(items, name + suffix, level)
        if kind.count("[") >= MOST_BRACKETS:
            self._imports.add(("typing", "Any"))
            kind = "Any"
        return f"list[{kind}]"

    def _plain_type(self, value: Any) -> str:
        kind = type(value)
        if kind in PLAIN and (kind is not str or _is_whole(value)):
            return kind.__name__
        return self._imported(kind) if kind in IMPORTS else "Any"

    def _imported(self, kind: type) -> str:
        self._imports.add(IMPORTS[kind])
        return IMPORTS[kind][1].rpartition(" ")[2]


def _meaning(values: list[Any]) -> type | None:
    """Return what *values* all stand for, if they are all strings of one such kind."""
    for kind in FORMS:
        if all(type(value) is str and _is_text_of(kind, value) for value in values):
            return kind
    return None


def _is_text_of(kind: type, text: str) -> bool:
    """Tell whether *text* is a *kind*, and still says the same when written back."""
    if not FORMS[kind].fullmatch(text):
        return False
    adapter = ADAPTERS[kind]
    try:
        written = adapter.dump_python(adapter.validate_python(text), mode="json")
    except ValidationError:
        return False
    # Digits beyond the microsecond would be lost.
    return _without_padding(written) == _without_padding(text)


def _without_padding(text: str) -> str:
    """Return *text* without zeros at the end of a fraction, and with Z for UTC."""
    text = text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
    return re.sub(r"\.(\d*?)0*(?=[^\d]|$)", r".\1", text).replace(".Z", "Z").rstrip(".")


def _is_record(value: dict[Any, Any]) -> bool:
    return all(isinstance(key, str) and _is_whole(key) for key in value)


def _is_whole(text: str) -> bool:
    """Tell whether *text* has no half of a surrogate pair, which Pydantic refuses."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _field_name(key: str) -> str:
    """Return a name for a field that stands for *key*."""
    # Python reads names in this form, so that other keys need an alias.
    name = unicodedata.normalize("NFKC", key)
    name = re.sub(r"\W", "_", name).lstrip("_")
    if not name.isascii() and not name.isidentifier():
        name = ""
    if not name or name[0].isdigit():
        name = f"field_{name}".rstrip("_")
    if name in TAKEN or keyword.iskeyword(name) or PROTECTED.match(name):
        name += "_" if not PROTECTED.match(name) else ""
        name = f"field_{name}" if PROTECTED.match(name) else name
    return name


def _class_part(key: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", key)
    return "".join(word.capitalize() for word in words) or "Value"


def _free(name: str, taken: set[str]) -> str:
    """Return *name*, with a number if it is taken."""
    number, free = 2, name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free


def _literal(key: str) -> str:
    """Return *key* as a string literal in double quotes where it can be."""
    text = ascii(key)
    return text if '"' in text or "\\" in text else f'"{text[1:-1]}"'
