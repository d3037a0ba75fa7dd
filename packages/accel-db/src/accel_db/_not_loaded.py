"""Attributes that say what is missing, instead of failing somewhere in a driver."""

from typing import Any

from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm.exc import DetachedInstanceError

from accel_db._errors import NotLoaded


class LoudAttribute(InstrumentedAttribute[Any]):
    """An attribute that raises `NotLoaded` where it would have to wait for a query."""

    __slots__ = ()
    inherit_cache = True

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the value; whatever is loaded costs no more than before."""
        if instance is None:
            return self
        try:
            return super().__get__(instance, owner)
        except (MissingGreenlet, DetachedInstanceError) as exc:
            raise NotLoaded(f"{type(instance).__name__}.{self.key}") from exc


def make_loud(_class: type[Any], _key: str, attribute: Any) -> None:
    """Let *attribute* raise `NotLoaded`; listens to SQLAlchemy's `attribute_instrument`."""
    if type(attribute) is InstrumentedAttribute:
        # The attribute is in use already, so it changes its class instead of its place.
        attribute.__class__ = LoudAttribute
