"""One manager per name."""

import inspect
import sys
import threading
import weakref
from typing import Any, TypeVar

from sqlalchemy.engine import URL

from accel_db._errors import ManagerConflict

T = TypeVar("T")

# Upstream's conftest builds the manager of the test database first, and expects that
# the application, which is imported later, gets that one.
_TEST_KITS = ("accel_db.testing", "fastapi_accelerator.testutils")


class OnePerName(type):
    """Makes a class return the same instance for the same `name=`.

    Instances are kept weakly: a manager that nobody holds is forgotten. Subclasses have
    names of their own.
    """

    def __init__(cls, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cls._lock = threading.Lock()
        cls._known: weakref.WeakValueDictionary[str, Any] = (
            weakref.WeakValueDictionary()
        )
        cls._configurations: dict[str, dict[str, Any]] = {}

    def instances(cls: "type[T]") -> list[T]:
        """Return the instances that somebody holds by now."""
        registry: Any = cls
        return list(registry._known.values())  # noqa: SLF001  # the metaclass owns it

    def __call__(cls: "type[T]", *args: Any, **kwargs: Any) -> T:
        """Return the instance called `name`, or build it."""
        registry: Any = cls
        configuration = _configuration(cls, args, kwargs)
        name = configuration.pop("name")
        with registry._lock:  # noqa: SLF001  # the metaclass owns it
            known: T | None = registry._known.get(name)  # noqa: SLF001
            if known is None:
                known = super().__call__(*args, **kwargs)  # type: ignore[misc]
                registry._known[name] = known  # noqa: SLF001
                registry._configurations[name] = configuration  # noqa: SLF001
                return known
            before = registry._configurations[name]  # noqa: SLF001
        differing = [key for key in before if before[key] != configuration[key]]
        if differing and not any(kit in sys.modules for kit in _TEST_KITS):
            raise ManagerConflict(name, differing)
        return known


def _configuration(
    cls: type[object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    del arguments["self"]
    url = arguments["url"]
    if isinstance(url, URL):
        arguments["url"] = url.render_as_string(hide_password=False)
    return arguments
