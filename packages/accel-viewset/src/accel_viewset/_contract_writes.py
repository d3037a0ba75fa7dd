"""The tests that writing must pass."""

# ruff: noqa: S101  # these are tests

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from accel_viewset._contract_base import ContractBase, expect, needs


class Writes(ContractBase):
    """Creating, replacing, changing and deleting."""

    @needs("create")
    def test_invalid_is_refused(self, client: Any) -> None:
        """An invalid payload is a 422, whatever is wrong with it."""
        for payload in ([], *self._incomplete(), *self.invalid):
            headers = {**self.headers, **self.once()}
            answer = self.ask(client, "POST", json=payload, headers=headers)

            assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, (
                f"POST of {payload!r} answered {answer.status_code} instead of 422: "
                f"{answer.text}"
            )

    def _incomplete(self) -> Iterator[dict[str, Any]]:
        """Iterate over valid payloads that lack one required field each."""
        for name, field in self.view.create_schema.model_fields.items():
            whole = dict(self.valid())
            sent = {name, field.alias, field.validation_alias} & set(whole)
            if field.is_required() and sent:
                yield {key: whole[key] for key in whole if key not in sent}

    @needs("create", "update")
    def test_invalid_replaces_nothing(self, client: Any) -> None:
        """An invalid payload is a 422, and the row stays as it was."""
        path, created = self.create(client)

        for payload in ([], *self.invalid):
            answer = self.change(client, "PUT", path, json=payload)

            expect(answer, HTTPStatus.UNPROCESSABLE_ENTITY)
        self._check_row(client, path, created)

    def _check_row(self, client: Any, path: str, wanted: Any) -> None:
        if self.offers("retrieve"):
            read = expect(self.ask(client, "GET", path), HTTPStatus.OK).json()
            assert read == wanted, f"the row is {read}, and should be {wanted}"

    @needs("create")
    def test_twice_the_same_is_no_error_of_the_server(self, client: Any) -> None:
        """The same payload again makes another row, or collides."""
        payload = dict(self.valid())
        self.create(client, payload)

        headers = {**self.headers, **self.once()}
        answer = self.ask(client, "POST", json=payload, headers=headers)

        expect(answer, HTTPStatus.CREATED, HTTPStatus.CONFLICT)

    @needs("create")
    def test_a_generated_key_cannot_be_chosen(self, client: Any) -> None:
        """A key that the database makes is not the client's to say."""
        names = self.view.db_model.__mapper__.primary_key
        key, name = self.unused_key(), self.view.name_pk
        if (
            key is None
            or len(names) > 1
            or name in self.view.create_schema.model_fields
        ):
            return

        headers = {**self.headers, **self.once()}
        sent = {**self.valid(), name: key}
        answer = self.ask(client, "POST", json=sent, headers=headers)

        expect(answer, HTTPStatus.CREATED, HTTPStatus.UNPROCESSABLE_ENTITY)
        location = answer.headers.get("location", "")
        assert not location.endswith(f"/{key}"), f"A client chose the key {key}."

    @needs("create", "update")
    def test_replaced_is_what_is_read(self, client: Any) -> None:
        """`PUT` sets what was sent, and answers with what is read afterwards."""
        before = dict(self.valid())
        path, created = self.create(client, before)
        payload = self.replacing()

        answer = self.change(client, "PUT", path, json=payload)

        replaced = expect(answer, HTTPStatus.OK).json()
        self.check_fields(replaced)
        for name in self._differing(before, payload, created):
            assert replaced[name] != created[name], (
                f"{name!r} was sent as {payload[name]!r}, but stayed {created[name]!r}"
            )
        self._check_row(client, path, replaced)

    @staticmethod
    def _differing(
        before: Mapping[str, Any], after: Mapping[str, Any], shown: Mapping[str, Any]
    ) -> list[str]:
        """Return the fields that a client sends otherwise, and can see."""
        both = before.keys() & after.keys() & shown.keys()
        # Nested rows get keys of their own, so they say nothing.
        return sorted(
            name
            for name in both
            if before[name] != after[name] and not isinstance(after[name], (list, dict))
        )

    @needs("create", "partial_update")
    def test_a_change_leaves_the_rest_alone(self, client: Any) -> None:
        """`PATCH` of one field sets it, and no other that a client can set."""
        before = dict(self.valid())
        path, created = self.create(client, before)
        payload = self.replacing()
        for name in self._differing(before, payload, created)[:1]:
            answer = self.change(client, "PATCH", path, json={name: payload[name]})

            changed = expect(answer, HTTPStatus.OK).json()
            assert changed[name] != created[name], f"{name!r} stayed {created[name]!r}"
            others = (before.keys() & created.keys()) - {name}
            moved = sorted(x for x in others if changed[x] != created[x])
            assert not moved, f"A change of {name!r} changed {moved}, too."
            self._check_row(client, path, changed)

    @needs("create", "partial_update")
    def test_empty_change_changes_nothing(self, client: Any) -> None:
        """`PATCH {}` answers with the row as it is."""
        path, created = self.create(client)

        answer = self.change(client, "PATCH", path, json={})

        changed = expect(answer, HTTPStatus.OK).json()
        assert changed == created, f"created: {created}, but changed: {changed}"

    @needs("create", "delete")
    def test_deleted_is_gone(self, client: Any) -> None:
        """A row can be deleted once, and not be read afterwards."""
        path, _ = self.create(client)

        expect(self.change(client, "DELETE", path), HTTPStatus.NO_CONTENT)

        expect(self.ask(client, "DELETE", path), HTTPStatus.NOT_FOUND)
        if self.offers("retrieve"):
            expect(self.ask(client, "GET", path), HTTPStatus.NOT_FOUND)

    @needs("create", "retrieve", "update", setting="etag")
    def test_a_stale_replacement_is_412(self, client: Any) -> None:
        """Who saw another state of a row may not replace it."""
        path, created = self.create(client)

        headers = {**self.headers, "If-Match": '"seen-long-ago"'}
        answer = self.ask(client, "PUT", path, json=self.replacing(), headers=headers)

        expect(answer, HTTPStatus.PRECONDITION_FAILED)
        self._check_row(client, path, created)

    @needs("create", setting="idempotent_create")
    def test_a_repeated_request_creates_once(self, client: Any) -> None:
        """The same `Idempotency-Key` again answers with the row that is there."""
        payload = dict(self.valid())
        headers = {**self.headers, **self.once()}

        first, second = (
            expect(
                self.ask(client, "POST", json=payload, headers=headers),
                HTTPStatus.CREATED,
            )
            for _ in range(2)
        )

        assert first.content == second.content, (
            "The second request with one `Idempotency-Key` created another row."
        )
