"""The tests that every view set must pass."""

from collections.abc import Callable, Mapping
from typing import Any

from accel_viewset._contract_access import Access
from accel_viewset._contract_reads import Reads
from accel_viewset._contract_writes import Writes
from accel_viewset._generic import GenericViewSet


class Contract(Reads, Writes, Access):
    """One view set under test; `contract_of` picks the tests that apply."""


def contract_of(
    view: GenericViewSet,
    url: str,
    valid: Callable[[], Mapping[str, Any]],
    replacement: Callable[[], Mapping[str, Any]],
    **settings: Any,
) -> type[Any]:
    """Return the class of the tests that make sense for *view*."""
    own = {
        "view": view,
        "url": url,
        "valid": staticmethod(valid),
        "replacement": staticmethod(replacement),
        **settings,
    }
    made: type[Any] = type("ViewSetContract", (Contract,), own)
    for name in dir(made):
        if not made.applies(getattr(made, name)):
            # pytest collects no test that is None.
            setattr(made, name, None)
    return made
