"""Relations that a client may ask for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, create_model
from sqlalchemy.orm import Mapper

from accel_viewset._schemas import related_names

_LONGEST = 200
Names = frozenset[str]


class Expansion:
    """The allow-list of one view set.

    A relation that was not asked for is neither loaded nor in the response.
    """

    def __init__(
        self,
        model: type[BaseModel],
        mapper: Mapper[Any],
        allowed: Sequence[str],
        *,
        deep: bool,
    ) -> None:
        self.allowed = tuple(allowed)
        self._model = model
        related = related_names(model, mapper)
        for name in allowed:
            if name not in related:
                raise ValueError(f"{name!r} is no relationship in {model.__name__!r}")
            if model.model_fields[name].is_required():
                raise ValueError(f"{name!r} needs a default: it may be left out")
        self._always = [n for n in related if n not in allowed] if deep else []
        self._own = [n for n in model.model_fields if n not in allowed]
        # To make a model takes longer than to load what it names.
        self.plan = cache(self._plan)

    def __bool__(self) -> bool:
        return bool(self.allowed)

    def parameters(self) -> Callable[..., Awaitable[Names]]:
        """Return the dependency that reads `?expand=`."""
        names = ", ".join(f"`{name}`" for name in self.allowed)

        async def expansion(
            expand: Annotated[
                str | None, Query(max_length=_LONGEST, description=names)
            ] = None,
        ) -> Names:
            return self._read(expand)

        return expansion

    def _read(self, text: str | None) -> Names:
        wanted = {name.strip() for name in (text or "").split(",") if name.strip()}
        if not wanted <= set(self.allowed):
            message = f"Expand {', '.join(self.allowed)}"
            raise RequestValidationError(
                [{"type": "enum", "loc": ("query", "expand"), "msg": message}]
            )
        return frozenset(wanted)

    def _plan(self, names: Names) -> Any:
        """Return what `deep=` must be to load *names*."""
        followed = [*self._always, *names]
        if not followed:
            return False
        fields = self._model.model_fields
        chosen: dict[str, Any] = {n: (fields[n].annotation, None) for n in followed}
        return create_model("Expanded", **chosen)

    def view(self, item: Any, names: Names) -> Any:
        """Return what the schema may see of *item*."""
        if not self.allowed:
            return item
        # Validation reads every attribute, and a relation that was not loaded is an error.
        wanted = [*self._own, *names]
        if isinstance(item, Mapping):
            return {name: item[name] for name in wanted if name in item}
        return {name: getattr(item, name) for name in wanted}

    def hidden(self, names: Names) -> set[str] | None:
        """Return what must not be in the response."""
        return set(self.allowed) - names or None
