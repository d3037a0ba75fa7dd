"""The seed's router, as it is written, and what must not go wrong with it."""

import contextlib
import types
from datetime import timedelta
from typing import List  # noqa: UP035  # as the seed writes it
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query
from pydantic import BaseModel
from sqlalchemy import select

from accel_db import OrmAsync
from accel_viewset import AppOrm, DefaultPaginator, FullViewSet

from .models import File as FileDb, Task as TaskDb, User as UserDb, db as manager
from .schemas import FileOut as File, TaskOut as Task, UserOut as User

pytestmark = pytest.mark.anyio
JWT = {"Authorization": "Bearer good"}


async def jwt_auth(authorization: str = Header("")):
    if authorization != JWT["Authorization"]:
        raise HTTPException(401, "No token", {"WWW-Authenticate": "Bearer"})
    return {"sub": "alice"}


def make_router(redis_client):
    router = APIRouter(prefix="/api/v1")

    class FileViewSet(FullViewSet):
        """
        View for working with files
        """

        # DB Model
        db_model = FileDb
        # Schema Model
        pydantic_model = File
        # Caching
        cache_class = redis_client
        cache_ttl = timedelta(minutes=10)
        # Pagination
        paginator_class = DefaultPaginator

        async def db_update(
            self, item_id: str | int | UUID, item: type[BaseModel], aorm: OrmAsync
        ) -> object:
            """Overriding the db_update method"""
            return await super().db_update(item_id, item, aorm)

    class UserViewSet(FullViewSet):
        """
        View for working with users
        """

        # DB Model
        db_model = UserDb
        # Schema Model
        pydantic_model = User

        def list(self):
            """Overriding the list method"""

            @self.router.get(f"{self.prefix}", tags=self.tags)
            async def get_list_items(
                skip: int = Query(0),
                limit: int = Query(100),
                aorm: OrmAsync = Depends(AppOrm.aget_orm),  # noqa: B008
            ) -> List[self.pydantic_model]:  # noqa: UP006
                return await aorm.get_list(
                    select(self.db_model).offset(skip).limit(limit),
                    deep=self.deep_schema,
                    db_model=self.db_model,
                )

            return get_list_items

    class TaskViewSet(FullViewSet):
        """
        View for working with tasks
        """

        # DB Model
        db_model = TaskDb
        # Schema Model
        pydantic_model = Task

        # Pagination
        paginator_class = DefaultPaginator

        deep_schema = True

        # Enable protection through JWT
        dependencies = [Depends(jwt_auth)]  # noqa: RUF012

    class GuardedUsers(UserViewSet):
        dependencies = [Depends(jwt_auth)]  # noqa: RUF012

    # Connect ViewSet
    router.views = [
        FileViewSet().as_view(router, prefix="/file"),
        UserViewSet().as_view(router, prefix="/user"),
        TaskViewSet().as_view(router, prefix="/task"),
        GuardedUsers().as_view(router, prefix="/guarded"),
    ]

    @router.get("/user/me")
    async def me() -> str:
        return "me"

    return router


@pytest.fixture
def start(redis_client, browse):
    """Start the seed's application: `web` are requests to it."""

    @contextlib.asynccontextmanager
    async def application():
        app = FastAPI()
        app.state.DATABASE_MANAGER = manager
        router = make_router(redis_client)
        app.include_router(router)
        async with browse(app) as web:
            yield types.SimpleNamespace(app=app, router=router, web=web)

    return application


@pytest.fixture
async def seed(db, start):
    async with start() as seed:
        yield seed


@pytest.fixture
async def routes(sqlite, start):
    """The same, for what does not depend on the database."""
    async with start() as seed:
        yield seed


async def test_life_of_a_file(seed):
    created = await seed.web.post("/api/v1/file", json={"filename": "a.txt"})
    where = created.headers["location"]
    replaced = await seed.web.put(where, json={"filename": "b.txt", "size": 3})
    read = await seed.web.get(where)
    listed = await seed.web.get("/api/v1/file")
    deleted = await seed.web.delete(where)
    gone = await seed.web.get(where)

    assert created.status_code == 201
    assert where == f"/api/v1/file/{created.json()['uid']}"
    assert replaced.json()["filename"] == "b.txt"
    assert read.json() == replaced.json() == listed.json()["items"][0]
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert gone.status_code == 404


async def test_page_has_the_numbers_of_the_whole_list(seed):
    for number in range(3):
        await seed.web.post("/api/v1/file", json={"filename": f"{number}.txt"})

    answer = await seed.web.get("/api/v1/file", params={"page": 2, "size": 2})

    head = {name: value for name, value in answer.json().items() if name != "items"}
    assert head == {"page": 2, "size": 2, "count": 1, "total": 3, "pages": 2}


async def test_as_view_returns_the_view_set_with_its_tag(routes):
    tags = [view.openapi_tag for view in routes.router.views]

    assert [tag["name"] for tag in tags][:2] == ["FileViewSet", "UserViewSet"]
    assert tags[0]["description"] == (
        "View for working with files: **db_model**=File **cache**=On"
    )
    assert "**dependencies**=[jwt_auth] **deep_schema**=On" in tags[2]["description"]


async def test_overridden_list_is_used(seed):
    await seed.web.post("/api/v1/user", json={"name": "Ann", "email": "a@b"})

    answer = await seed.web.get("/api/v1/user", params={"limit": 5})

    assert [user["name"] for user in answer.json()] == ["Ann"]


async def test_overridden_list_keeps_the_dependencies(routes):
    stranger = await routes.web.get("/api/v1/guarded")
    friend = await routes.web.get("/api/v1/guarded", headers=JWT)

    assert stranger.status_code == 401
    assert stranger.headers["www-authenticate"] == "Bearer"
    assert friend.status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_every_route_keeps_the_dependencies(routes, method):
    path = "/api/v1/task" if method == "POST" else "/api/v1/task/1"

    answer = await routes.web.request(method, path, json={"name": "x"})

    assert answer.status_code == 401


async def test_route_declared_later_is_found(routes):
    assert (await routes.web.get("/api/v1/user/me")).json() == "me"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_malformed_key_is_422(routes, method):
    payload = {"name": "x", "email": "e"}

    answer = await routes.web.request(method, "/api/v1/user/you", json=payload)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "item_id"]


async def test_deep_schema_writes_related_rows(seed, add):
    await add(UserDb(id=7, name="Ann", email="a@b"))
    seed.web.headers.update(JWT)

    created = await seed.web.post(
        "/api/v1/task",
        json={"name": "t", "users": [{"id": 7}], "works": [{"hours": 1}, {"hours": 2}]},
    )
    where = created.headers["location"]
    first = created.json()["works"][0]["id"]
    updated = await seed.web.put(
        where,
        json={"name": "u", "users": [], "works": [{"id": first, "hours": 5}]},
    )
    read = await seed.web.get(where)
    deleted = await seed.web.delete(where)

    assert created.json()["users"] == [{"id": 7, "name": "Ann"}]
    assert updated.json()["works"] == [{"id": first, "hours": 5}]
    assert updated.json()["users"] == []
    assert read.json() == updated.json()
    assert deleted.status_code == 204
    async with manager.asession() as session:
        assert await OrmAsync(session).get_item(UserDb, 7) is not None


async def test_openapi_types_every_page(routes):
    schema = routes.app.openapi()

    page = schema["components"]["schemas"]["FileOutDefaultPage"]["properties"]
    route = schema["paths"]["/api/v1/file"]["get"]
    assert page["items"]["items"]["$ref"].endswith("/FileOut")
    assert {"page", "size", "count", "total", "pages"} < set(page)
    assert route["tags"] == ["FileViewSet"]
    assert [p["name"] for p in route["parameters"]] == ["page", "size"]


async def test_password_hash_never_leaves(seed, add):
    await add(UserDb(name="Ann", email="a@b", password_hash="argon2-of-secret"))

    answers = [
        await seed.web.get("/api/v1/user"),
        await seed.web.get("/api/v1/user/1"),
        await seed.web.post("/api/v1/user", json={"name": "B", "email": "b@b"}),
        await seed.web.patch("/api/v1/user/1", json={"name": "C"}),
    ]

    assert not any("argon2" in answer.text for answer in answers)
    assert "password_hash" not in str(seed.app.openapi())
