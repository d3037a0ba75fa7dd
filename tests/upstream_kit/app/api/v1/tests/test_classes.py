"""Tests that are methods."""

from typing import Callable, NamedTuple

import pytest
from fastapi.testclient import TestClient

from app.fixture.items_v1 import export_fixture_file, export_fixture_task
from fastapi_accelerator.db.dbsession import MainDatabaseManager
from fastapi_accelerator.testutils import apply_fixture_db
from fastapi_accelerator.testutils.fixture_auth import client_auth_jwt
from fastapi_accelerator.testutils.fixture_base import BasePytest
from fastapi_accelerator.testutils.fixture_db.trace_sql import track_queries
from fastapi_accelerator.testutils.utils import BaseAuthJwtPytest, check_response_json

BASE_URL_V1 = "/api/v1/"


class TestFiles(BasePytest):
    @apply_fixture_db(export_fixture_file)
    def setUp(self, fixtures: NamedTuple):
        self.url = BASE_URL_V1 + "file"
        self.fixtures = fixtures

    def test_list(self, client: TestClient):
        uids = [item["uid"] for item in client.get(self.url).json()["items"]]

        assert uids == [str(self.fixtures.letter.uid)]

    def test_list_again(self, client: TestClient):
        self.test_list(client)

    def test_one(self, client: TestClient, url_path_for: Callable):
        check_response_json(
            client.get(url_path_for("file_by_name", name="letter.txt")),
            200,
            {
                "uid": str(self.fixtures.letter.uid),
                "filename": "letter.txt",
                "size": 10,
            },
        )

    @client_auth_jwt()
    def test_logged_in_by_class(self, client: TestClient):
        assert self.TEST_USER["username"] == "test"
        assert client.headers["authorization"].startswith("Bearer ")

    @apply_fixture_db(export_fixture_task)
    def test_method_has_rows(self, client: TestClient, fixtures: NamedTuple):
        assert [user.name for user in fixtures[:2]] == ["Anna", "Boris"]


class TestTaskExecutions(BaseAuthJwtPytest):
    @apply_fixture_db(export_fixture_task)
    def setUp(self, fixtures: NamedTuple):
        self.url = BASE_URL_V1 + "taskexecution"
        self.fixtures = fixtures

    def test_list(self, client: TestClient, db_manager: MainDatabaseManager):
        with track_queries(db_manager, expected_count=3):
            response = client.get(self.url)

        check_response_json(
            response,
            200,
            {"page": 1, "size": 10, "count": 1, "total": 1, "pages": 1},
            exclude_list=["items"],
        )

    def test_a_change_of_headers_is_not_lasting(self, client: TestClient):
        client.headers["x-other"] = "1"
        assert client.headers["authorization"].startswith("Bearer ")

    def test_headers_are_as_they_were(self, client: TestClient):
        assert "x-other" not in client.headers


class TestLifeCycle(BasePytest):
    seen: list[str] = []

    @classmethod
    def setUpClass(cls):
        cls.seen.append("class")

    def setUp(self):
        self.seen.append("test")

    def tearDown(self):
        self.seen.append("end")

    @pytest.mark.parametrize("number", [0, 1])
    def test_in_order(self, number):
        assert self.seen == ["class", *["test", "end"] * number, "test"]
