"""What every subject serves: one model, its schemas, and the service by hand.

By hand means as the documentation of FastAPI and of SQLAlchemy does it: objects, a
dependency that yields the session, and a `response_model`.
"""

import datetime as dt
from collections.abc import AsyncIterator
from typing import Annotated, Any

import inline_sqlite
from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import String, delete, event, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ROWS = 1000
NOON = dt.datetime(2026, 11, 24, 12)  # noqa: DTZ001  # SQLite keeps no zone


class Base(DeclarativeBase):
    pass


class UserDb(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), index=True)
    login: Mapped[str] = mapped_column(String(50))
    phone: Mapped[str | None] = mapped_column(String(50))
    email: Mapped[str] = mapped_column(String(80))
    is_active: Mapped[bool]
    balance: Mapped[float]
    created_at: Mapped[dt.datetime]


class UserCreate(BaseModel):
    name: str
    login: str
    phone: str | None = None
    email: str
    is_active: bool
    balance: float
    created_at: dt.datetime


class User(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    login: str
    phone: str | None = None
    email: str
    is_active: bool
    balance: float
    created_at: dt.datetime


class Page(BaseModel):
    page: int
    size: int
    count: int
    total: int
    pages: int
    items: list[User]


def row(n: int) -> dict[str, Any]:
    return {
        "name": f"User number {n}",
        "login": f"login{n}",
        "phone": "+79990001122" if n % 3 else None,
        "email": f"user{n}@example.com",
        "is_active": n % 2 == 0,
        "balance": n * 1.25,
        "created_at": NOON,
    }


class Database:
    """An engine of SQLAlchemy as an application has it, and the rows."""

    def __init__(self, url: str, *, inline: bool) -> None:
        self.url = url
        self.connect_args: dict[str, Any] = {}
        if inline:
            self.connect_args["async_creator_fn"] = inline_sqlite.connect
        self.engine = create_async_engine(url, connect_args=self.connect_args)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _as_accel_db_does)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    async def get_session(self) -> AsyncIterator[AsyncSession]:
        async with self.sessions() as session:
            yield session

    async def fill(self) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            await connection.execute(insert(UserDb), [row(n) for n in range(ROWS)])

    async def forget_new(self) -> None:
        """Delete what a measurement created."""
        async with self.engine.begin() as connection:
            await connection.execute(delete(UserDb).where(UserDb.id > ROWS))

    async def close(self) -> None:
        await self.engine.dispose()


def _as_accel_db_does(raw: Any, _record: object) -> None:
    cursor = raw.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def by_hand(database: Database, prefixes: tuple[str, ...] = ("/user",)) -> FastAPI:
    """Return the service, written once for each of *prefixes*."""
    app = FastAPI()
    for prefix in prefixes:
        _add(app, database, prefix)
    return app


def _add(app: FastAPI, database: Database, prefix: str) -> None:  # noqa: C901  # six endpoints
    session_of = Annotated[AsyncSession, Depends(database.get_session)]

    @app.get(prefix, response_model=list[User])
    async def list_users(
        session: session_of,
        skip: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Any:
        query = select(UserDb).order_by(UserDb.id).offset(skip).limit(limit)
        return (await session.scalars(query)).all()

    @app.get(f"{prefix}/page", response_model=Page)
    async def page_of_users(
        session: session_of,
        page: Annotated[int, Query(ge=1)] = 1,
        size: Annotated[int, Query(ge=1, le=1000)] = 10,
    ) -> Any:
        total = await session.scalar(select(func.count()).select_from(UserDb)) or 0
        start = (page - 1) * size
        query = select(UserDb).order_by(UserDb.id).offset(start).limit(size)
        users = (await session.scalars(query)).all()
        return {
            "page": page,
            "size": size,
            "count": len(users),
            "total": total,
            "pages": -(-total // size),
            "items": users,
        }

    @app.post(prefix, response_model=User, status_code=201)
    async def create_user(item: UserCreate, session: session_of) -> Any:
        user = UserDb(**item.model_dump())
        session.add(user)
        await session.commit()
        return user

    @app.get(f"{prefix}/{{item_id}}", response_model=User)
    async def read_user(item_id: int, session: session_of) -> Any:
        user = await session.get(UserDb, item_id)
        if user is None:
            raise HTTPException(404)
        return user

    @app.put(f"{prefix}/{{item_id}}", response_model=User)
    async def replace_user(item_id: int, item: UserCreate, session: session_of) -> Any:
        user = await session.get(UserDb, item_id)
        if user is None:
            raise HTTPException(404)
        for name, value in item.model_dump().items():
            setattr(user, name, value)
        await session.commit()
        return user

    @app.delete(f"{prefix}/{{item_id}}", status_code=204)
    async def delete_user(item_id: int, session: session_of) -> None:
        user = await session.get(UserDb, item_id)
        if user is None:
            raise HTTPException(404)
        await session.delete(user)
        await session.commit()
