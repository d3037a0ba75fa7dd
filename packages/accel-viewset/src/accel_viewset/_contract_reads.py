"""The tests that reading must pass."""

# ruff: noqa: S101  # these are tests

from http import HTTPStatus
from typing import Any

from accel_viewset._contract_base import ContractBase, expect, needs

_NONSENSE = dict.fromkeys(("page", "size", "skip", "limit", "offset", "cursor"), "?")


class Reads(ContractBase):
    """Lists and rows."""

    @needs("list")
    def test_list_shows_what_the_schema_names(self, client: Any) -> None:
        """A list answers, within its budget of queries, and hides what is hidden."""
        if self.offers("create"):
            self.create(client)

        with self.budget(client):
            items = self.list(client)

        assert items or not self.offers("create"), "A row was created, but not listed."
        for item in items:
            self.check_fields(item)

    @needs("list", "create")
    def test_more_rows_cost_no_more_queries(self, client: Any) -> None:
        """A list of many rows takes as many statements as a list of one."""
        self.create(client)
        with self.budget(client, max_count=self.max_queries) as one:
            self.list(client)
        if one is None:
            return

        for _ in range(3):
            self.create(client)

        with self.budget(client, max_count=max(one.count, 1)):
            self.list(client)

    @needs("list")
    def test_nonsense_in_the_query_is_no_error_of_the_server(self, client: Any) -> None:
        """Where a list reads its query, what cannot be read is a 422."""
        answer = self.ask(client, "GET", params=_NONSENSE)

        expect(answer, HTTPStatus.OK, HTTPStatus.UNPROCESSABLE_ENTITY)

    @needs("create", "retrieve")
    def test_created_is_what_is_read(self, client: Any) -> None:
        """What was created can be read where its `Location` says, within the budget."""
        path, created = self.create(client)

        with self.budget(client):
            answer = self.ask(client, "GET", path)

        read = expect(answer, HTTPStatus.OK).json()
        assert read == created, f"created: {created}, but read: {read}"
        self.check_fields(created)

    @needs()
    def test_missing_is_404(self, client: Any) -> None:
        """A key that no row has is a 404, whatever is to be done with the row."""
        if (key := self.unused_key()) is None:
            return
        for method, body in self.about_one_row():
            answer = self.ask(client, method, f"/{key}", **body)

            expect(answer, HTTPStatus.NOT_FOUND)

    @needs("retrieve")
    def test_malformed_is_422(self, client: Any) -> None:
        """A key that no row can have is a 422; any text is a key where keys are text."""
        if self.view.type_item_id is str or self.unused_key() is None:
            return

        answer = self.ask(client, "GET", "/no-key")

        expect(answer, HTTPStatus.UNPROCESSABLE_ENTITY)

    @needs("create", "retrieve", setting="etag")
    def test_unchanged_is_304(self, client: Any) -> None:
        """Who has the state of a row already is not sent it again."""
        path, _ = self.create(client)
        seen = expect(self.ask(client, "GET", path), HTTPStatus.OK)

        headers = {**self.headers, "If-None-Match": seen.headers["etag"]}
        answer = self.ask(client, "GET", path, headers=headers)

        expect(answer, HTTPStatus.NOT_MODIFIED)
