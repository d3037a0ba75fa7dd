"""What tests of view sets need.

Needs the extra `testing` (`pip install "accel-viewset[testing]"`).
"""

from collections.abc import Iterable
from typing import Any, Protocol

__all__ = ["check_response_json", "rm_key_from_deep_dict"]


class JsonResponse(Protocol):
    """A response of httpx, or of any client like it."""

    @property
    def status_code(self) -> int:
        """Return the status."""
        ...

    def json(self) -> Any:
        """Return the body."""
        ...


def check_response_json(
    response: JsonResponse,
    status: int,
    expected: Any,
    exclude_list: Iterable[str] | None = None,
) -> None:
    """Assert the status and the JSON of *response*.

    The keys of *exclude_list* are left out at any depth, on both sides.
    """
    body = response.json()
    assert response.status_code == status, body
    names = list(exclude_list or ())
    assert rm_key_from_deep_dict(body, names) == rm_key_from_deep_dict(expected, names)


def rm_key_from_deep_dict(data: Any, exclude_list: Iterable[str]) -> Any:
    """Return *data* without the keys of *exclude_list*, at any depth."""
    names = frozenset(exclude_list)
    if isinstance(data, dict):
        return {
            key: rm_key_from_deep_dict(value, names)
            for key, value in data.items()
            if key not in names
        }
    if isinstance(data, list):
        return [rm_key_from_deep_dict(part, names) for part in data]
    return data
