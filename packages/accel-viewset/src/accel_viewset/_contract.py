"""The tests that every view set must pass."""

# ruff: noqa: S101  # these are tests

import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any, TypeVar

from accel_db import MainDatabaseManager
from accel_viewset._generic import GenericViewSet

F = TypeVar("F", bound=Callable[..., Any])
_NEEDS = "__accel_needs__"
_REFUSED = {401, 403}
_UNUSED: dict[type[Any], str] = {int: "2147483647", uuid.UUID: str(uuid.UUID(int=0))}


def _needs(*actions: str) -> Callable[[F], F]:
    """Say which actions a view set must offer for this test to make sense."""

    def mark(test: F) -> F:
        setattr(test, _NEEDS, frozenset(actions))
        return test

    return mark


class Contract:
    """One view set under test; `viewset_contract` picks the tests that apply."""

    view: Any
    url: str
    valid: Callable[[], Mapping[str, Any]]
    invalid: tuple[Mapping[str, Any], ...]
    headers: Mapping[str, str]
    manager: MainDatabaseManager | None
    max_queries: int

    def _ask(self, client: Any, method: str, path: str = "", **options: Any) -> Any:
        options.setdefault("headers", self.headers)
        return client.request(method, f"{self.url}{path}", **options)

    def _create(self, client: Any) -> tuple[str, Any]:
        """Create a row; return its path below the view set, and its body."""
        answer = self._ask(client, "POST", json=dict(self.valid()))
        assert answer.status_code == HTTPStatus.CREATED, answer.text
        location = answer.headers["location"]
        return location[location.index(self.url) + len(self.url) :], answer.json()

    def _check_fields(self, item: Mapping[str, Any]) -> None:
        fields = self.view.pydantic_model.model_fields
        shown = {f.serialization_alias or name for name, f in fields.items()}
        shown |= set(self.view.pydantic_model.model_computed_fields)
        assert set(item) <= shown, f"hidden fields are shown: {set(item) - shown}"

    @_needs("list")
    def test_list_shows_what_the_schema_names(self, client: Any) -> None:
        """A list answers, within its budget of queries, and hides what is hidden."""
        if "create" in self.view.router.actions:
            self._create(client)

        with self._budget():
            answer = self._ask(client, "GET")

        assert answer.status_code == HTTPStatus.OK, answer.text
        body = answer.json()
        for item in body if isinstance(body, list) else body["items"]:
            self._check_fields(item)

    def _budget(self) -> Any:
        if self.manager is None:
            return nullcontext()
        from accel_db.testing import track_queries

        return track_queries(self.manager, max_count=self.max_queries)

    @_needs("create", "retrieve")
    def test_created_is_what_is_read(self, client: Any) -> None:
        """What was created can be read where its `Location` says."""
        path, created = self._create(client)

        answer = self._ask(client, "GET", path)

        assert answer.status_code == HTTPStatus.OK, answer.text
        assert answer.json() == created
        self._check_fields(created)

    @_needs("create")
    def test_invalid_is_refused(self, client: Any) -> None:
        """An invalid payload is a 422, whatever is wrong with it."""
        for payload in ([], *self.invalid):
            answer = self._ask(client, "POST", json=payload)

            assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, (
                payload,
                answer.text,
            )

    @_needs("retrieve")
    def test_missing_is_404(self, client: Any) -> None:
        """A key that no row has is a 404."""
        unused = _UNUSED.get(self.view.type_item_id)
        if unused is not None:
            assert (
                self._ask(client, "GET", f"/{unused}").status_code
                == HTTPStatus.NOT_FOUND
            )

    @_needs("retrieve")
    def test_malformed_is_422(self, client: Any) -> None:
        """A key that no row can have is a 422."""
        if self.view.type_item_id in _UNUSED:
            assert (
                self._ask(client, "GET", "/no-key").status_code
                == HTTPStatus.UNPROCESSABLE_ENTITY
            )

    @_needs("create", "partial_update")
    def test_empty_change_changes_nothing(self, client: Any) -> None:
        """`PATCH {}` answers with the row as it is."""
        path, created = self._create(client)

        answer = self._ask(client, "PATCH", path, json={})

        assert answer.status_code == HTTPStatus.OK, answer.text
        assert answer.json() == created

    @_needs("create", "delete")
    def test_deleted_is_gone(self, client: Any) -> None:
        """A row can be deleted once."""
        path, _ = self._create(client)

        statuses = [self._ask(client, "DELETE", path).status_code for _ in range(2)]

        assert statuses == [204, 404]

    @_needs()
    def test_strangers_are_refused(self, client: Any) -> None:
        """Without credentials no route answers, if credentials are needed at all."""
        if not self.headers:
            return
        unused = _UNUSED.get(self.view.type_item_id, "1")
        for route in self.view.router.routes:
            below = route.path.removeprefix(self.view.prefix)
            path = below.replace("{item_id}", unused)
            for method in route.methods:
                answer = self._ask(client, method, path, headers={}, json={})

                assert answer.status_code in _REFUSED, (method, path, answer.text)


def contract_of(
    view: GenericViewSet,
    url: str,
    valid: Callable[[], Mapping[str, Any]],
    **settings: Any,
) -> type[Any]:
    """Return the class of the tests that make sense for *view*."""
    dropped = {
        name: None
        for name, test in vars(Contract).items()
        if getattr(test, _NEEDS, frozenset()) - view.router.actions
    }
    own = {"view": view, "url": url, "valid": staticmethod(valid), **settings}
    return type("ViewSetContract", (Contract,), {**own, **dropped})
