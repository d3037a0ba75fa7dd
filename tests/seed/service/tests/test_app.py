import uuid

from app.core.useintegration import gtapi
from app.integration.google_translate.endpoint import GoogleTranslateEndpoints
from app.models import File, User
from fastapi_accelerator.testutils.fixture_auth import client_auth_jwt
from fastapi_accelerator.testutils.fixture_base import BaseAuthJwtPytest, BasePytest
from fastapi_accelerator.testutils.fixture_db import apply_fixture_db
from fastapi_accelerator.testutils.fixture_db.trace_sql import track_queries
from fastapi_accelerator.testutils.fixture_integration import (
    MockRules,
    patch_integration,
)
from fastapi_accelerator.testutils.utils import (
    check_response_json,
    rm_key_from_deep_dict,
)


def fixture_files():
    return [
        File(uid=uuid.UUID(int=1), filename="one"),
        File(uid=uuid.UUID(int=2), filename="two"),
    ]


async def overwrite_translate(api, text: str, from_lang: str, to_lang: str) -> dict:
    return {"text": f"{text}!"}


mock_rules = MockRules({GoogleTranslateEndpoints.translate: overwrite_translate})


class TestFiles(BasePytest):
    TEST_USER = {"username": "admin", "password": "admin"}

    def setUp(self):
        self.path = "/api/v1/file"

    @apply_fixture_db(fixture_files)
    def test_list(self, client, db_manager):
        response = client.get(self.path)

        check_response_json(
            response,
            200,
            {
                "page": 1,
                "size": 10,
                "count": 2,
                "total": 2,
                "pages": 1,
                "items": [
                    {"uid": str(uuid.UUID(int=1)), "filename": "one"},
                    {"uid": str(uuid.UUID(int=2)), "filename": "two"},
                ],
            },
        )

    def test_each_test_begins_with_empty_tables(self, client, db_session):
        assert client.get(self.path).json()["total"] == 0
        assert db_session.query(User).count() == 0

    @apply_fixture_db(fixture_files)
    def test_list_counts_its_queries(self, client, db_manager, engine):
        with track_queries(db_manager, expected_count=2):
            client.get(self.path)

    @client_auth_jwt()
    def test_protected(self, client):
        response = client.get("/check_protected")

        assert response.json()["user"]["version"] == "Admin"

    def test_protected_without_login(self, client):
        assert client.get("/check_protected").status_code == 401

    def test_a_path_has_a_name(self, url_path_for):
        assert url_path_for("protected_route") == "/check_protected"

    def test_keys_are_removed(self):
        data = {"id": 1, "rows": [{"id": 2, "name": "a"}]}

        assert rm_key_from_deep_dict(data, ["id"]) == {"rows": [{"name": "a"}]}

    @patch_integration(mock_rules)
    def test_translate(self, client):
        response = client.get("/translate", params={"text": "hello"})

        assert response.json() == {"text": "hello!"}


class TestTasks(BaseAuthJwtPytest):
    def test_list(self, client):
        assert client.get("/api/v1/taskexecution").status_code == 200
