"""Keys: what must be equal for two calls to share a value."""

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from string import Formatter
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from accel_cache._errors import CacheConfigurationError

KeyMaker = str | Callable[..., object]
TagMaker = Iterable[str] | Callable[..., Iterable[str]]

_PLAIN = (str, bytes, int, float, bool, type(None), Decimal, UUID, Enum)
_DATES = (datetime, date, time, timedelta)


class UnkeyableArgument(Exception):  # noqa: N818 - turned into "not cached"
    """Raised when an argument has no stable form that could be part of a key."""


def digest(*parts: object) -> str:
    """Hash plain values and containers of them; their `repr` has one reading."""
    data = repr(parts).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(data, digest_size=20, person=b"accel-cache").hexdigest()


def database_of(app: Any) -> str:
    """Return where the database of *app* is; empty if it has none that we know.

    Services made from one template have one title, and the same handlers on the same
    paths: on one server they would read each other's rows.
    """
    manager = getattr(getattr(app, "state", None), "DATABASE_MANAGER", None)
    url = urlsplit(str(getattr(manager, "database_url", "")))
    # Without the password, which is no name: it changes, and nobody may guess at it.
    host, path = url.netloc.rpartition("@")[2], url.path
    if url.scheme.startswith("sqlite"):
        path = str(Path(path.removeprefix("/")).resolve())
    return f"{host}{path}"


def canonical_query(query: bytes) -> tuple[tuple[str, str], ...]:
    """Sort the parameters by name; repeated ones keep their order, for it counts."""
    # Only short queries are remembered: strangers write them.
    return _sorted_query(query) if len(query) <= 256 else _sorted(query)  # noqa: PLR2004 - a bound of memory


@functools.lru_cache(maxsize=1024)
def _sorted_query(query: bytes) -> tuple[tuple[str, str], ...]:
    return _sorted(query)


def _sorted(query: bytes) -> tuple[tuple[str, str], ...]:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def stable(value: object) -> object:
    """Return a form of *value* that is equal in every process.

    Raises:
        UnkeyableArgument: for objects such as sessions, which have none.
    """
    if isinstance(value, _PLAIN + _DATES):
        return (type(value).__qualname__, repr(value))
    if isinstance(value, (list, tuple)):
        return [stable(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return ["set", sorted(repr(stable(item)) for item in value)]
    if isinstance(value, Mapping):
        items = [(repr(stable(k)), stable(v)) for k, v in value.items()]
        return ["map", sorted(items, key=lambda item: item[0])]
    # Pydantic models, without importing Pydantic.
    if callable(dump := getattr(value, "model_dump", None)):
        return [type(value).__qualname__, stable(dump())]
    raise UnkeyableArgument(type(value).__name__)


class Arguments:
    """Turns a call's arguments into names, keys and tags."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._signature = inspect.signature(function)
        self._identity = f"{function.__module__}.{function.__qualname__}"

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return every argument by name, defaults included."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def key(self, named: Mapping[str, Any], maker: KeyMaker | None) -> str:
        """Return the key of a call; *maker* replaces the arguments in it."""
        if maker is not None:
            return digest(self._identity, made(maker, named))
        return digest(self._identity, [(n, stable(v)) for n, v in named.items()])


def made(maker: KeyMaker, named: Mapping[str, Any]) -> str:
    """Fill a template or call a function with the call's arguments."""
    if isinstance(maker, str):
        # One by one: joined, `a:b` and `c` would be what `a` and `b:c` are.
        return repr([_filled(name, part, named) for name, part in _parts(maker)])
    return repr(maker(**_wanted(maker, named)))


@functools.cache
def _parts(template: str) -> list[tuple[str, str]]:
    """Return the fields of *template*, each with the template of it alone."""
    parts = []
    for _, name, form, conversion in Formatter().parse(template):
        if name is not None:
            how = f"!{conversion}" if conversion else ""
            parts.append((name, f"{{{name}{how}{form and f':{form}'}}}"))
    return parts


def _filled(name: str, part: str, named: Mapping[str, Any]) -> str | None:
    # A client may write `None`, which is not what it sends nothing for.
    return None if named.get(name, name) is None else part.format_map(named)


def tags_of(maker: TagMaker, named: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of a call, templates filled in, duplicates removed."""
    if maker == ():
        return ()
    if not callable(maker):
        return tuple(dict.fromkeys(name.format_map(named) for name in maker))
    names = maker(**_wanted(maker, named))
    if isinstance(names, str):
        raise CacheConfigurationError(
            f"`tags` must return a list of strings: {names!r}"
        )
    return tuple(dict.fromkeys(names))


def _wanted(maker: Callable[..., Any], named: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(maker).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(named)
    return {name: named[name] for name in parameters if name in named}
