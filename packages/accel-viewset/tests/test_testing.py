"""The kit for tests of users, used as they use it."""

import itertools
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from starlette.testclient import TestClient

from accel_viewset import DefaultPaginator, FullViewSet, ReadOnlyViewSet
from accel_viewset.testing import (
    check_response_json,
    rm_key_from_deep_dict,
    viewset_contract,
)

from .models import Note, Task, User, db as manager
from .schemas import NoteOut, TaskOut, UserOut

TOKEN = {"authorization": "good"}


def guard(authorization: str = Header("")):
    if authorization != TOKEN["authorization"]:
        raise HTTPException(401)


class Users(FullViewSet):
    db_model = User
    pydantic_model = UserOut
    paginator_class = DefaultPaginator
    dependencies = (Depends(guard),)


class Tasks(FullViewSet):
    db_model = Task
    pydantic_model = TaskOut
    deep_schema = True


class Notes(ReadOnlyViewSet):
    db_model = Note
    pydantic_model = NoteOut


router = APIRouter(prefix="/api")
router.views = [
    Users().as_view(router, "/user"),
    Tasks().as_view(router, "/task"),
    Notes().as_view(router, "/note"),
]
emails = itertools.count()


@pytest.fixture
def client(tmp_path):
    app = FastAPI()
    app.state.DATABASE_MANAGER = manager
    app.include_router(router)
    with manager.override(f"sqlite:///{tmp_path}/test.db"):
        manager.create_all()
        with TestClient(app) as client:
            yield client
        manager.dispose()


TestUsers = viewset_contract(
    router.views[0],
    "/api/user",
    lambda: {"email": f"{next(emails)}@example.org"},
    invalid=[{}, {"email": 1}],
    headers=TOKEN,
    manager=manager,
)
TestTasks = viewset_contract(
    router.views[1],
    "/api/task",
    lambda: {"name": "t", "works": [{"hours": 1}]},
    manager=manager,
    max_queries=5,
)
TestNotes = viewset_contract(router.views[2], "/api/note", dict)


def test_contract_leaves_out_what_is_not_offered():
    assert TestNotes.test_created_is_what_is_read is None
    assert callable(TestNotes.test_missing_is_404)


def test_contract_finds_an_open_route(client):
    unguarded = viewset_contract(router.views[1], "/api/task", dict, headers=TOKEN)

    with pytest.raises(AssertionError, match="GET"):
        unguarded().test_strangers_are_refused(client)


def test_contract_finds_too_many_queries(client):
    costly = viewset_contract(
        router.views[0],
        "/api/user",
        lambda: {"email": "x"},
        headers=TOKEN,
        manager=manager,
        max_queries=1,
    )

    with pytest.raises(AssertionError):
        costly().test_list_shows_what_the_schema_names(client)


def response(status, body):
    return SimpleNamespace(status_code=status, json=lambda: body)


def test_check_response_json_leaves_keys_out_at_any_depth():
    body = {"id": 1, "name": "a", "files": [{"id": 2, "size": 3}]}

    check_response_json(
        response(200, body), 200, {"name": "a", "files": [{"size": 3}]}, ["id"]
    )


@pytest.mark.parametrize(("status", "body"), [(404, {"a": 1}), (200, {"a": 2})])
def test_check_response_json_sees_differences(status, body):
    with pytest.raises(AssertionError):
        check_response_json(response(status, body), 200, {"a": 1})


def test_rm_key_from_deep_dict_leaves_its_argument_alone():
    data = {"id": 1, "rows": [{"id": 2, "x": [[{"id": 3}]]}]}

    assert rm_key_from_deep_dict(data, ["id"]) == {"rows": [{"x": [[{}]]}]}
    assert data["id"] == 1
