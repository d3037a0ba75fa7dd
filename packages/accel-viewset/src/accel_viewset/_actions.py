"""Endpoints beyond create, read, update and delete."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__accel_action__"


@dataclass(frozen=True, slots=True)
class Action:
    """How a method becomes an endpoint."""

    name: str
    path: str
    detail: bool
    methods: tuple[str, ...]
    options: dict[str, Any]

    @property
    def route(self) -> str:
        """Return the path below the prefix."""
        return f"/{{item_id}}/{self.path}" if self.detail else f"/{self.path}"


def action(
    *,
    detail: bool,
    methods: Sequence[str] = ("GET",),
    path: str | None = None,
    **options: Any,
) -> Callable[[F], F]:
    """Make a method an endpoint of its view set, with everything that guards it.

    Args:
        detail: Whether it is about one row, below `/{item_id}`, or about the list.
        methods: HTTP methods.
        path: The last part of the path; by default the name of the method.
        options: Those of `router.add_api_route`: `status_code`, `summary`, ….
    """

    def mark(function: F) -> F:
        name = function.__name__
        made = Action(name, path or name, detail, tuple(methods), options)
        setattr(function, _MARK, made)
        return function

    return mark


def is_action(method: object) -> bool:
    """Tell whether *method* is marked as an endpoint of its own."""
    return isinstance(getattr(method, _MARK, None), Action)


def actions_of(cls: type[Any]) -> Iterator[Action]:
    """Iterate over the actions of *cls*, those about the list first.

    So `/top` is found although `/{item_id}` would match it, too.
    """
    # By name, so that a method which overrides an action without a mark ends it.
    names = dict.fromkeys(name for base in cls.__mro__ for name in vars(base))
    found = [getattr(getattr(cls, name, None), _MARK, None) for name in names]
    actions = [a for a in found if isinstance(a, Action)]
    yield from sorted(actions, key=lambda a: a.detail)
