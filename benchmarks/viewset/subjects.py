"""What is measured: the same service, as each library spells it.

Every function takes a `Database` and the prefixes of the routes, and returns requests
by what they ask for. Libraries are imported inside of them, because each is installed in
an environment of its own.
"""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import service
from service import Database, User, UserCreate, UserDb
from sqlalchemy.ext.asyncio import AsyncSession

ONE = ("/user",)
MANY = (*(f"/thing{n}" for n in range(20)), "/user")


@dataclass(frozen=True)
class Ask:
    """A request to an application."""

    app: Any
    path: str
    method: str = "GET"


Asks = dict[str, Ask]


def hand_written(database: Database) -> Asks:
    app = service.by_hand(database)
    return {
        "item": Ask(app, "/user/5"),
        "list": Ask(app, "/user?limit=100"),
        "page": Ask(app, "/user/page?size=100"),
        "POST": Ask(app, "/user", "POST"),
        "item, last of 21": Ask(service.by_hand(database, MANY), "/user/5"),
    }


def accel_viewset(database: Database) -> Asks:
    from fastapi import APIRouter, FastAPI

    from accel_db import MainDatabaseManager
    from accel_viewset import DefaultPaginator, FullViewSet

    manager = MainDatabaseManager(
        database.url, engine_options={"connect_args": database.connect_args}
    )

    class Users(FullViewSet):
        db_model = UserDb
        pydantic_model = User

    class PagedUsers(Users):
        paginator_class = DefaultPaginator

    def serve(view: type[FullViewSet], prefixes: tuple[str, ...] = ONE) -> Any:
        router = APIRouter()
        for prefix in prefixes:
            view().as_view(router, prefix)
        app = FastAPI()
        app.state.DATABASE_MANAGER = manager
        app.include_router(router)
        return app

    app = serve(Users)
    return {
        "item": Ask(app, "/user/5"),
        "list": Ask(app, "/user?limit=100"),
        "page": Ask(serve(PagedUsers), "/user?size=100"),
        "POST": Ask(app, "/user", "POST"),
        "item, last of 21": Ask(serve(Users, MANY), "/user/5"),
    }


def upstream(database: Database) -> Asks:
    import fastapi

    query = fastapi.Query

    def lenient(*args: Any, gte: Any = None, **options: Any) -> Any:
        # It says `gte`, which FastAPI refuses by now; it means `ge`.
        return query(*args, ge=gte, **options)

    fastapi.Query = lenient
    from fastapi import APIRouter, FastAPI

    from fastapi_accelerator.db.dborm import OrmAsync
    from fastapi_accelerator.paginator import DefaultPaginator
    from fastapi_accelerator.viewset import FullViewSet

    class Manager:
        async def aget_orm(self) -> AsyncIterator[OrmAsync]:
            async with database.sessions() as session:
                yield OrmAsync(session)

    class UserWithoutKey(User):
        # It takes the schema of responses for requests, too.
        id: int | None = None

    class Users(FullViewSet):
        db_model = UserDb
        pydantic_model = UserWithoutKey

    class PagedUsers(Users):
        paginator_class = DefaultPaginator

    def serve(view: type[FullViewSet], prefixes: tuple[str, ...] = ONE) -> Any:
        router = APIRouter()
        for prefix in prefixes:
            view().as_view(router, prefix)
        app = FastAPI()
        app.state.DATABASE_MANAGER = Manager()
        app.state.CACHE_STATUS = False
        app.include_router(router)
        return app

    app = serve(Users)
    # Its list without pages fails: it forgets an argument of its own `get_list`.
    return {
        "item": Ask(app, "/user/5"),
        "page": Ask(serve(PagedUsers), "/user?size=100"),
        "POST": Ask(app, "/user", "POST"),
        "item, last of 21": Ask(serve(Users, MANY), "/user/5"),
    }


def fastcrud(database: Database) -> Asks:
    from fastapi import FastAPI
    from fastcrud import crud_router

    def serve(prefixes: tuple[str, ...] = ONE) -> Any:
        app = FastAPI()
        for prefix in prefixes:
            router = crud_router(
                session=database.get_session,
                model=UserDb,
                create_schema=UserCreate,
                update_schema=UserCreate,
                select_schema=User,
                path=prefix,
            )
            app.include_router(router)
        return app

    app = serve()
    return {
        "item": Ask(app, "/user/5"),
        "list": Ask(app, "/user?offset=0&limit=100"),
        "page": Ask(app, "/user?page=1&itemsPerPage=100"),
        "POST": Ask(app, "/user", "POST"),
        "item, last of 21": Ask(serve(MANY), "/user/5"),
    }


def fastapi_pagination(database: Database) -> Asks:
    from fastapi import Depends, FastAPI
    from fastapi_pagination import Page, add_pagination
    from fastapi_pagination.ext.sqlalchemy import apaginate
    from sqlalchemy import select

    app = FastAPI()
    session_of = Annotated[AsyncSession, Depends(database.get_session)]

    @app.get("/user")
    async def page_of_users(session: session_of) -> Page[User]:
        return await apaginate(session, select(UserDb).order_by(UserDb.id))

    add_pagination(app)
    return {"page": Ask(app, "/user?size=100")}


def litestar(database: Database) -> Asks:
    from advanced_alchemy.filters import LimitOffset
    from advanced_alchemy.repository import SQLAlchemyAsyncRepository
    from advanced_alchemy.service import (
        OffsetPagination,
        SQLAlchemyAsyncRepositoryService,
    )
    from litestar import Litestar, get, post
    from litestar.di import Provide

    class UserService(SQLAlchemyAsyncRepositoryService[UserDb]):
        class Repo(SQLAlchemyAsyncRepository[UserDb]):
            model_type = UserDb

        repository_type = Repo

    async def provide_users() -> AsyncIterator[UserService]:
        async with database.sessions() as session:
            yield UserService(session)

    @get("/user/{item_id:int}")
    async def read_user(users: UserService, item_id: int) -> User:
        return users.to_schema(await users.get(item_id), schema_type=User)

    @get("/user")
    async def list_users(users: UserService, limit: int = 100) -> list[User]:
        found = await users.list(LimitOffset(limit, 0), order_by=[("id", False)])
        return list(users.to_schema(found, schema_type=User).items)

    @get("/page")
    async def page_of_users(
        users: UserService, size: int = 10
    ) -> OffsetPagination[User]:
        part = LimitOffset(size, 0)
        found, total = await users.list_and_count(part, order_by=[("id", False)])
        return users.to_schema(found, total, filters=[part], schema_type=User)

    @post("/user")
    async def create_user(users: UserService, data: UserCreate) -> User:
        made = await users.create(data.model_dump(), auto_commit=True)
        return users.to_schema(made, schema_type=User)

    app = Litestar(
        [read_user, list_users, page_of_users, create_user],
        dependencies={"users": Provide(provide_users)},
    )
    return {
        "item": Ask(app, "/user/5"),
        "list": Ask(app, "/user?limit=100"),
        "page": Ask(app, "/page?size=100"),
        "POST": Ask(app, "/user", "POST"),
    }


def starlette(database: Database) -> Asks:
    """Return the floor: rows of columns, and no validation of what is sent."""
    from pydantic import TypeAdapter
    from sqlalchemy import func, select
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route
    from typing_extensions import TypedDict

    class Fields(TypedDict):
        id: int
        name: str
        login: str
        phone: str | None
        email: str
        is_active: bool
        balance: float
        created_at: dt.datetime

    one, many = TypeAdapter(Fields), TypeAdapter(list[Fields])
    sent = TypeAdapter(UserCreate)
    columns = [*UserDb.__table__.c]
    names = [column.name for column in columns]
    users = select(*columns).order_by(UserDb.id)

    async def read(request: Any) -> Response:
        key = int(request.path_params["item_id"])
        async with database.sessions() as session:
            found = await session.execute(select(*columns).where(UserDb.id == key))
            row = found.one()
        return json(one.dump_json(dict(zip(names, row, strict=True))))

    async def rows(session: Any, limit: int) -> bytes:
        found = (await session.execute(users.limit(limit))).all()
        return many.dump_json([dict(zip(names, row, strict=True)) for row in found])

    async def list_users(request: Any) -> Response:
        async with database.sessions() as session:
            return json(await rows(session, int(request.query_params["limit"])))

    async def page_of_users(request: Any) -> Response:
        async with database.sessions() as session:
            total = await session.scalar(select(func.count()).select_from(UserDb))
            items = await rows(session, int(request.query_params["size"]))
        return json(b'{"total":%d,"items":%b}' % (total, items))

    async def create(request: Any) -> Response:
        item = sent.validate_json(await request.body())
        async with database.sessions() as session:
            user = UserDb(**item.model_dump())
            session.add(user)
            await session.commit()
        return json(one.dump_json({name: getattr(user, name) for name in names}), 201)

    def json(body: bytes, status: int = 200) -> Response:
        return Response(body, status, media_type="application/json")

    app = Starlette(
        routes=[
            Route("/user", list_users),
            Route("/page", page_of_users),
            Route("/user", create, methods=["POST"]),
            Route("/user/{item_id:int}", read),
        ]
    )
    return {
        "item": Ask(app, "/user/5"),
        "list": Ask(app, "/user?limit=100"),
        "page": Ask(app, "/page?size=100"),
        "POST": Ask(app, "/user", "POST"),
    }
