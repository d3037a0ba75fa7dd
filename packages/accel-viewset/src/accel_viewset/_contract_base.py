"""What the tests of a contract share: settings, requests, and what they say."""

# ruff: noqa: S101  # these are tests

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, TypeVar

from accel_db import MainDatabaseManager
from accel_viewset._keys import python_type, text_of

F = TypeVar("F", bound=Callable[..., Any])
_NEEDS = "__accel_needs__"
_LONGEST = 500
# What can be done with one row, by the method of HTTP that asks for it.
_OF_ONE_ROW = {
    "GET": "retrieve",
    "PUT": "update",
    "PATCH": "partial_update",
    "DELETE": "delete",
}
# Keys that no row of a test has.
_UNUSED: dict[Any, object] = {
    int: 2147483647,
    str: "no-such-key",
    uuid.UUID: uuid.UUID(int=0),
    dt.date: dt.date(1, 1, 1),
    dt.datetime: dt.datetime(1, 1, 1, tzinfo=dt.UTC),
}


def needs(*actions: str, setting: str = "") -> Callable[[F], F]:
    """Say which actions, and which *setting*, give this test a meaning."""

    def mark(test: F) -> F:
        setattr(test, _NEEDS, (frozenset(actions), setting))
        return test

    return mark


def expect(answer: Any, *statuses: int) -> Any:
    """Assert the status of *answer*, and return the answer.

    The message is complete, since pytest explains only the `assert` of test files.
    """
    wanted = " or ".join(str(int(status)) for status in statuses)
    request = answer.request
    assert answer.status_code in statuses, (
        f"{request.method} {request.url.path} answered {answer.status_code} instead of "
        f"{wanted}: {answer.text[:_LONGEST]}"
    )
    return answer


class ContractBase:
    """One view set under test."""

    view: Any
    url: str
    valid: Callable[[], Mapping[str, Any]]
    replacement: Callable[[], Mapping[str, Any]]
    invalid: tuple[Mapping[str, Any], ...]
    headers: Mapping[str, str]
    forbidden: Mapping[str, str]
    unrelated: Mapping[str, str]
    public: frozenset[str]
    manager: MainDatabaseManager | None
    max_queries: int

    @classmethod
    def applies(cls, test: object) -> bool:
        """Tell whether *test* has a meaning for this view set."""
        actions, setting = getattr(test, _NEEDS, (frozenset(), ""))
        if actions - cls.view.router.actions:
            return False
        return not setting or bool(
            getattr(cls, setting, None) or getattr(cls.view, setting, None)
        )

    def offers(self, *actions: str) -> bool:
        """Tell whether the view set has all of *actions*."""
        return not set(actions) - self.view.router.actions

    def ask(self, client: Any, method: str, path: str = "", **options: Any) -> Any:
        """Send a request, with the credentials of somebody who may do everything."""
        options.setdefault("headers", self.headers)
        return client.request(method, f"{self.url}{path}", **options)

    def about_one_row(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Iterate over the requests about one row: their methods, and payloads."""
        for method, action in _OF_ONE_ROW.items():
            if self.offers(action):
                yield method, {"json": self.replacing()} if method[0] == "P" else {}

    def change(self, client: Any, method: str, path: str, **options: Any) -> Any:
        """Send a request that changes the row at *path*, knowing its state."""
        known = dict(self.headers)
        if self.view.etag and self.offers("retrieve"):
            seen = expect(self.ask(client, "GET", path), HTTPStatus.OK)
            known["If-Match"] = seen.headers["etag"]
        return self.ask(client, method, path, headers=known, **options)

    def create(
        self, client: Any, payload: Mapping[str, Any] | None = None
    ) -> tuple[str, Any]:
        """Create a row; return its path below the view set, and its body."""
        body = dict(self.valid() if payload is None else payload)
        headers = {**self.headers, **self.once()}
        answer = self.ask(client, "POST", json=body, headers=headers)
        expect(answer, HTTPStatus.CREATED)
        # Without a route for one row there is no address of one.
        location = answer.headers.get("location", self.url)
        return location[location.index(self.url) + len(self.url) :], answer.json()

    def once(self) -> dict[str, str]:
        """Return a header that makes a creation unlike all others, where asked for."""
        if not self.view.idempotent_create:
            return {}
        return {"Idempotency-Key": uuid.uuid4().hex}

    def list(self, client: Any, **options: Any) -> list[Any]:
        """Return the rows of the first page."""
        body = expect(self.ask(client, "GET", **options), HTTPStatus.OK).json()
        items: list[Any] = body if isinstance(body, list) else body["items"]
        return items

    def replacing(self) -> dict[str, Any]:
        """Return a payload that replaces a row."""
        fields = self.view.update_schema.model_fields
        known = {f.validation_alias or f.alias or name for name, f in fields.items()}
        # A schema that forbids extra fields takes no key, which the path names.
        return {n: v for n, v in self.replacement().items() if n in known | set(fields)}

    def check_fields(self, item: Mapping[str, Any]) -> None:
        """Assert that *item* shows no more than the schema names."""
        fields = self.view.pydantic_model.model_fields
        shown = {f.serialization_alias or name for name, f in fields.items()}
        shown |= set(self.view.pydantic_model.model_computed_fields)
        hidden = sorted(set(item) - shown)
        assert not hidden, f"Fields are shown that the schema does not name: {hidden}"

    def unused_key(self) -> str | None:
        """Return how a path names a row that does not exist; None if unknown."""
        columns = self.view.db_model.__mapper__.primary_key
        kinds = [python_type(column) for column in columns]
        if len(kinds) == 1:
            kinds = [self.view.type_item_id]
        if any(kind not in _UNUSED for kind in kinds):
            return None
        return text_of([_UNUSED[kind] for kind in kinds])

    def budget(
        self, client: Any, max_count: int | None = None
    ) -> AbstractContextManager[Any]:
        """Count the queries of the block, and allow *max_count* of them."""
        state = getattr(getattr(client, "app", None), "state", None)
        manager = self.manager or self.view.database_manager
        manager = manager or getattr(state, "DATABASE_MANAGER", None)
        if manager is None:
            return nullcontext()
        # It needs pytest, which these tests run in, but an application does not have.
        from accel_db.testing import track_queries

        limit = self.max_queries if max_count is None else max_count
        return track_queries(manager, max_count=limit)
