"""The endpoints of version 1."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from accel_auth import jwt_auth
from accel_cache import cache_redis
from accel_db import OrmAsync
from accel_pattern import HTTPException400, HTTPException409, get_datetime_now
from accel_viewset import AppOrm, DefaultPaginator, FullViewSet
from fastapi import APIRouter, Depends, Request

from app.api.v1.schemas.file import File
from app.api.v1.schemas.timemeasurement import Handover, Task, TaskExecution
from app.api.v1.schemas.user import User, UserCreate, UserUpdate
from app.core.cache import redis_client
from app.core.security import hasher
from app.core.useintegration import gtapi
from app.integration.google_translate.endpoint import GoogleTranslateEndpoints
from app.models import (
    File as FileDb,
    Task as TaskDb,
    TaskExecution as TaskExecutionDb,
    User as UserDb,
)

router = APIRouter(prefix="/api/v1")

Orm = Annotated[OrmAsync, Depends(AppOrm.aget_orm)]


class FileViewSet(FullViewSet):
    """Files."""

    db_model = FileDb
    pydantic_model = File
    cache_class = redis_client
    cache_ttl = timedelta(minutes=10)
    paginator_class = DefaultPaginator
    filters = ("filename", "owner_id")
    ordering = ("filename", "size")
    search = ("filename",)


class UserViewSet(FullViewSet):
    """People."""

    db_model = UserDb
    pydantic_model = User
    create_schema = UserCreate
    update_schema = UserUpdate
    paginator_class = DefaultPaginator
    search = ("name", "login", "email")

    async def db_create(self, item: UserCreate, aorm: OrmAsync) -> object:
        """Keep the hash of the password, and forget the password."""
        data = item.model_dump(exclude={"password"})
        secret = await hasher.hash(item.password.get_secret_value())
        return await aorm.create_item(UserDb(**data, password_hash=secret))


class TaskViewSet(FullViewSet):
    """Tasks, with who works on them and the work so far, in one document."""

    db_model = TaskDb
    pydantic_model = Task
    paginator_class = DefaultPaginator
    deep_schema = True


class TaskExecutionViewSet(FullViewSet):
    """The work on tasks; only for those who log in."""

    db_model = TaskExecutionDb
    pydantic_model = TaskExecution
    paginator_class = DefaultPaginator
    deep_schema = True
    dependencies = [Depends(jwt_auth)]


router.views = [  # type: ignore[attr-defined]  # read by base_pattern
    FileViewSet().as_view(router, prefix="/file"),
    UserViewSet().as_view(router, prefix="/user"),
    TaskViewSet().as_view(router, prefix="/task"),
    TaskExecutionViewSet().as_view(router, prefix="/taskexecution"),
]


@router.post("/task/{task_id}/handover", tags=["TaskViewSet"], response_model=Task)
async def hand_over(
    task_id: int,
    handover: Handover,
    aorm: Orm,
    _jwt: Annotated[dict[str, Any], Depends(jwt_auth)],
) -> object:
    """Give a task to somebody else: close the running work, replace the person.

    Either everything is written or nothing is.
    """
    async with aorm.transaction():
        task = await aorm.get_item_or_raise(TaskDb, task_id, deep=True)
        now = datetime.now(UTC)
        for execution in task.executions:
            if execution.end_time is None:
                await aorm.update_item(TaskExecutionDb, execution.id, {"end_time": now})
        users = {user.id for user in task.users} - {handover.from_user}
        if len(users) == len(task.users):
            raise HTTPException409(f"User {handover.from_user} does not work on this.")
        await aorm.get_item_or_raise(UserDb, handover.to_user)
        people = [{"id": user} for user in sorted(users | {handover.to_user})]
        return await aorm.update_item(TaskDb, task_id, {"users": people}, deep=True)


@router.get("/translate", tags=["integration"])
@cache_redis(cache_class=redis_client, cache_ttl=timedelta(minutes=10))
async def translate(
    text: str, from_lang: str = "en", to_lang: str = "ru"
) -> GoogleTranslateEndpoints.Schema.TranslateV2:
    """Translate *text* with the service of somebody else."""
    answer = await gtapi.translate(text, from_lang, to_lang)
    if isinstance(answer, GoogleTranslateEndpoints.SchemaError.http400):
        raise HTTPException400(answer.error)
    return answer


@router.get("/time", tags=["common"])
async def server_time(request: Request) -> datetime:
    """Return the time in the time zone of the service."""
    return get_datetime_now(request.app.state.TIMEZONE)
