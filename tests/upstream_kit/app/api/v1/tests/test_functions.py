"""Tests that are functions."""

import asyncio
from typing import Callable, NamedTuple

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from app.core.db import DatabaseManager
from app.fixture.items_v1 import export_fixture_file, export_fixture_task
from app.integration.google_translate.mock import google_translate_mock_rules
from app.models.file import File
from app.models.timemeasurement import Task
from fastapi_accelerator.db.dbsession import MainDatabaseManager
from fastapi_accelerator.test_utils import apply_fixture_db
from fastapi_accelerator.testutils import check_response_json, rm_key_from_deep_dict
from fastapi_accelerator.testutils.fixture_auth import client_auth_jwt
from fastapi_accelerator.testutils.fixture_db.trace_sql import track_queries
from fastapi_accelerator.testutils.fixture_integration import patch_integration


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_service_has_test_manager(db_manager: MainDatabaseManager, test_app: FastAPI):
    assert db_manager is DatabaseManager
    assert "test" in db_manager.database_url.rpartition("/")[2]
    assert test_app.state.DATABASE_MANAGER is db_manager
    assert test_app.state.CACHE_STATUS is False


def test_tables_come_from_migrations(engine: Engine):
    with engine.connect() as connection:
        assert inspect(connection).has_table("alembic_version")
        assert connection.scalar(text("SELECT version_num FROM alembic_version"))


@pytest.mark.anyio
async def test_async_engine(aengine: AsyncEngine):
    async with aengine.connect() as connection:
        assert await connection.scalar(text("SELECT 41 + 1")) == 42
    await aengine.dispose()


@client_auth_jwt(username="test")
@apply_fixture_db(export_fixture_task)
def test_classic(
    client: TestClient,
    url_path_for: Callable,
    db_manager: MainDatabaseManager,
    fixtures: NamedTuple,
):
    with track_queries(db_manager, expected_count=3):
        response = client.get("/api/v1/taskexecution")

    check_response_json(
        response,
        200,
        {
            "page": 1,
            "size": 10,
            "count": 1,
            "items": [
                {
                    "end_time": "2024-09-06T10:59:43",
                    "start_time": "2024-09-06T10:55:43",
                    "task": {"description": None, "name": fixtures.reports.name},
                }
            ],
        },
        exclude_list=["id", "task_id", "total", "pages"],
    )


@client_auth_jwt(username="test")
def test_client_is_logged_in(client: TestClient):
    assert client.headers["authorization"].startswith("Bearer ")
    assert client.get("/api/v1/taskexecution").status_code == 200


def test_client_is_logged_out_again(client: TestClient):
    assert client.get("/api/v1/taskexecution").status_code == 401


@apply_fixture_db(export_fixture_file)
def test_rows_are_there(client: TestClient, db_session: Session, url_path_for):
    assert client.get(url_path_for("file_names")).json() == ["letter.txt"]
    assert db_session.scalars(select(File.filename)).all() == ["letter.txt"]


def test_rows_are_gone(client: TestClient, db_session: Session):
    assert client.get("/api/v1/file").json()["items"] == []
    assert db_session.scalars(select(Task)).all() == []


@apply_fixture_db(export_fixture_file, flush=True)
def test_rows_without_client(db_manager: MainDatabaseManager):
    with db_manager.session() as session:
        assert session.scalars(select(File.filename)).all() == ["letter.txt"]


def test_flushed_rows_are_gone(db_session: Session):
    assert db_session.scalars(select(File)).all() == []


@pytest.mark.anyio
@apply_fixture_db(export_fixture_task)
async def test_async_rows(aclient, fixtures: NamedTuple, db_session: Session):
    async with aclient:
        answers = await asyncio.gather(
            *(aclient.post("/api/v1/file", json={"filename": x}) for x in "abcd")
        )

    assert {answer.status_code for answer in answers} == {201}
    assert set(db_session.scalars(select(File.filename))) == set("abcd")
    assert db_session.get(Task, fixtures.reports.id).name == "Reports"


@pytest.mark.anyio
@client_auth_jwt(username="test")
async def test_async_client_is_logged_in(client: TestClient):
    assert client.headers["authorization"].startswith("Bearer ")


def test_post_has_side_effects(client: TestClient, db_manager: MainDatabaseManager):
    body = {"filename": "new.txt", "size": 3}

    check_response_json(client.post("/api/v1/file", json=body), 201, body, ["uid"])
    again = client.post("/api/v1/file", json=body)

    assert again.status_code == 409
    with db_manager.session() as session:
        assert session.scalars(select(File.filename)).all() == ["new.txt"]


def test_all_queries(client: TestClient, db_manager: MainDatabaseManager):
    with track_queries(db_manager) as tracker:
        client.get("/api/v1/names")

        assert tracker.count == 1, tracker.queries


def test_no_query_is_a_number_too(client: TestClient, db_manager: MainDatabaseManager):
    with track_queries(db_manager, expected_count=0):
        client.get("/livez")
    with (
        pytest.raises(AssertionError, match="1 queries were executed, expected 0"),
        track_queries(db_manager, expected_count=0),
    ):
        client.get("/api/v1/names")


@patch_integration(mock_rules=google_translate_mock_rules)
def test_integration_google_translate(client: TestClient, url_path_for: Callable):
    response = client.get(
        url_path_for("translate_api"),
        params={"text": "Hello", "from_lang": "en", "to_lang": "ru"},
    )

    assert response.json() == {"text": "Привет"}


@pytest.mark.anyio
@patch_integration(mock_rules=google_translate_mock_rules)
async def test_integration_in_async_test(aclient):
    async with aclient:
        response = await aclient.get("/api/v1/translate", params={"text": "Hello"})

    assert response.json() == {"text": "Привет"}


@patch_integration(mock_rules=google_translate_mock_rules)
def test_a_call_without_a_rule_fails(client: TestClient):
    with pytest.raises(Exception, match="languages"):
        client.get("/api/v1/languages")


def test_keys_are_removed_deeply():
    data = {"id": 1, "rows": [{"id": 2, "name": "a"}]}

    assert rm_key_from_deep_dict(data, ["id"]) == {"rows": [{"name": "a"}]}
