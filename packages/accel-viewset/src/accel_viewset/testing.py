"""What tests of view sets need.

Counting queries needs the extra `testing` (`pip install "accel-viewset[testing]"`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from accel_db import MainDatabaseManager
from accel_viewset._contract import contract_of
from accel_viewset._generic import GenericViewSet

__all__ = ["check_response_json", "rm_key_from_deep_dict", "viewset_contract"]


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


def viewset_contract(  # noqa: PLR0913  # each is a fact of its own
    view: GenericViewSet,
    url: str,
    valid: Callable[[], Mapping[str, Any]],
    *,
    invalid: Iterable[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
    manager: MainDatabaseManager | None = None,
    max_queries: int = 2,
) -> type[Any]:
    """Return the class of tests that every view set must pass.

    `TestUsers = viewset_contract(view, "/api/v1/user", new_user)` is all there is to
    write. The tests use the fixture `client`, a test client of the application.

    Args:
        view: the mounted view set.
        url: where it is mounted.
        valid: makes a payload that can be created, another one each time.
        invalid: payloads that must be refused.
        headers: the credentials of somebody who may do everything. With them the tests
            also try every route without.
        manager: the database, whose queries are counted.
        max_queries: how many a list may cost.
    """
    return contract_of(
        view,
        url,
        valid,
        invalid=tuple(invalid),
        headers=dict(headers or {}),
        manager=manager,
        max_queries=max_queries,
    )
