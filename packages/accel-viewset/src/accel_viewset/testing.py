"""What tests of view sets need.

Counting queries needs the extra `testing` (`pip install "accel-viewset[testing]"`).
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from difflib import unified_diff
from typing import Any, Protocol

from accel_db import MainDatabaseManager
from accel_viewset._contract import Headers, contract_of
from accel_viewset._generic import GenericViewSet

__all__ = ["check_response_json", "rm_key_from_deep_dict", "viewset_contract"]


class JsonResponse(Protocol):
    """A response of httpx, or of any client like it."""

    @property
    def status_code(self) -> int:
        """Return the status."""
        ...

    @property
    def text(self) -> str:
        """Return the body."""
        ...

    def json(self) -> Any:
        """Return the body, read as JSON."""
        ...


def check_response_json(
    response: JsonResponse,
    exp_status_code: int,
    exp_json: Any,
    exclude_list: Iterable[str] | None = None,
) -> bool:
    """Assert the status and the JSON of *response*; return True.

    The keys of *exclude_list* are left out at any depth, on both sides. What differs is
    shown line by line.
    """
    status = response.status_code
    assert status == exp_status_code, (
        f"The status is {status}, expected {exp_status_code}: {response.text}"
    )
    keys = list(exclude_list or ())
    found = rm_key_from_deep_dict(response.json(), keys)
    expected = rm_key_from_deep_dict(deepcopy(exp_json), keys)
    assert found == expected, f"The JSON differs:\n{_diff(expected, found)}"
    return True


def _diff(expected: Any, found: Any) -> str:
    # By itself: pytest explains only the `assert` of test files.
    before, after = _lines(expected), _lines(found)
    lines = unified_diff(before, after, "expected", "found", lineterm="")
    # Python tells a tuple from a list, and JSON does not.
    return "\n".join(lines) or f"expected {expected!r}, found {found!r}"


def _lines(data: Any) -> list[str]:
    # What is no JSON, such as a UUID that was expected by mistake, shows as such.
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, default=repr)
    return text.splitlines()


def rm_key_from_deep_dict(data: Any, keys: Iterable[str]) -> Any:
    """Take *keys* out of *data*, at any depth, and return it."""
    names = list(keys)
    if isinstance(data, dict):
        for name in names:
            data.pop(name, None)
    if isinstance(data, (dict, list)):
        for part in data.values() if isinstance(data, dict) else data:
            rm_key_from_deep_dict(part, names)
    return data


def viewset_contract(  # noqa: PLR0913  # each is a fact of its own
    view: GenericViewSet,
    url: str,
    valid: Callable[[], Mapping[str, Any]],
    *,
    replacement: Callable[[], Mapping[str, Any]] | None = None,
    invalid: Iterable[Mapping[str, Any]] = (),
    headers: Headers | None = None,
    forbidden: Headers | None = None,
    unrelated: Headers | None = None,
    public: Collection[str] = (),
    manager: MainDatabaseManager | None = None,
    max_queries: int = 2,
) -> type[Any]:
    """Return the class of tests that every view set must pass.

    `TestUsers = viewset_contract(view, "/api/v1/user", new_user)` is all there is to
    write. The tests use the fixture `client`, a test client of the application. They
    cover list, read, create, replace, change and delete, with the statuses 404, 409, 412
    and 422, the number of queries, and what a stranger gets; those of actions that the
    view set does not offer are left out. A test that does not suit yours is overridden
    in a subclass.

    Args:
        view: the mounted view set.
        url: where it is mounted.
        valid: makes a payload that can be created, another one each time.
        replacement: makes a payload that can replace a row; *valid* by default.
        invalid: payloads that must be refused, beside those that lack a required field.
        headers: the credentials of somebody who may do everything. With them the tests
            also try every route without. A function, sync or async, is asked when a
            test runs: `lambda: auth_headers(app, "ann")` may need rows that an import
            does not find. The same holds for *forbidden* and *unrelated*.
        forbidden: the credentials of somebody who may do nothing: every route must
            answer 403.
        unrelated: the credentials of somebody who may do everything, but in whose scope
            (`scope_query`) is no row of the first: for them it must not exist.
        public: the actions that anybody may do, such as `{"list", "retrieve"}`.
        manager: the database, whose queries are counted; by default that of the view
            set, or of the application.
        max_queries: how many statements a list, or the reading of a row, may cost. That
            more rows cost no more is checked as well.
    """
    return contract_of(
        view,
        url,
        valid,
        replacement or valid,
        invalid=tuple(invalid),
        headers=headers or {},
        forbidden=forbidden or {},
        unrelated=unrelated or {},
        public=frozenset(public),
        manager=manager,
        max_queries=max_queries,
    )
