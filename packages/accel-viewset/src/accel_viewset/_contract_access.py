"""The tests of who may do what."""

# ruff: noqa: S101  # these are tests

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from accel_viewset._contract_base import ContractBase, expect, needs

_PARAMETER = re.compile(r"{[^}]+}")


class Access(ContractBase):
    """Credentials, permissions and scopes."""

    @needs(setting="headers")
    def test_strangers_are_refused(self, client: Any) -> None:
        """Without credentials no route answers but the public ones."""
        for method, path in self._routes():
            answer = self.ask(client, method, path, headers={}, json={})

            expect(answer, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

    @needs(setting="forbidden")
    def test_the_forbidden_are_refused(self, client: Any) -> None:
        """Who is known, but may do nothing, gets a 403 from all but public routes."""
        for method, path in self._routes():
            answer = self.ask(client, method, path, headers=self.forbidden, json={})

            expect(answer, HTTPStatus.FORBIDDEN)

    @needs(setting="public")
    def test_everybody_may_do_what_is_public(self, client: Any) -> None:
        """Without credentials the public routes do not ask for any."""
        refused = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        for method, path in self._routes(public=True):
            answer = self.ask(client, method, path, headers={}, json={})

            assert answer.status_code not in refused, (
                f"{method} {answer.request.url.path} is public, but answered "
                f"{answer.status_code}."
            )

    def _routes(self, *, public: bool = False) -> Iterator[tuple[str, str]]:
        key = self.unused_key() or "1"
        for route in self.view.router.routes:
            if (route.action in self.public) is not public:
                continue
            below = route.path.removeprefix(self.view.prefix)
            for method in sorted(route.methods):
                yield method, _PARAMETER.sub(key, below)

    @needs("create", setting="unrelated")
    def test_rows_of_others_are_missing(self, client: Any) -> None:
        """For whom a row is out of scope, it is not there: a 404, and not listed."""
        path, created = self.create(client)
        others = {"headers": self.unrelated}

        for method, body in self.about_one_row():
            answer = self.ask(client, method, path, **others, **body)

            expect(answer, HTTPStatus.NOT_FOUND)
        if self.offers("list"):
            listed = self.list(client, **others)
            assert created not in listed, f"Others see {created} in their list."
