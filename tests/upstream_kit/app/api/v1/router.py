"""The endpoints."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.db import DatabaseManager
from app.core.useintegration import gtapi
from app.integration.google_translate.endpoint import GoogleTranslateEndpoints
from app.models.file import File as FileDb
from app.models.timemeasurement import TaskExecution as TaskExecutionDb
from fastapi_accelerator.auth_jwt import jwt_auth
from fastapi_accelerator.paginator import DefaultPaginator
from fastapi_accelerator.viewset import FullViewSet

router = APIRouter(prefix="/api/v1")


class Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class File(Row):
    uid: UUID | None = None
    filename: str
    size: int | None = None


class Task(Row):
    id: int | None = None
    name: str
    description: str | None = None


class TaskExecution(Row):
    id: int | None = None
    start_time: datetime
    end_time: datetime | None = None
    task: Task


class FileViewSet(FullViewSet):
    db_model = FileDb
    pydantic_model = File
    paginator_class = DefaultPaginator


class TaskExecutionViewSet(FullViewSet):
    db_model = TaskExecutionDb
    pydantic_model = TaskExecution
    paginator_class = DefaultPaginator
    deep_schema = True
    dependencies = [Depends(jwt_auth)]


router.views = [
    FileViewSet().as_view(router, prefix="/file"),
    TaskExecutionViewSet().as_view(router, prefix="/taskexecution"),
]


@router.get("/translate")
async def translate_api(
    text: str, from_lang: str = "en", to_lang: str = "ru"
) -> GoogleTranslateEndpoints.Schema.TranslateV2:
    return await gtapi.translate(text, from_lang, to_lang)


@router.get("/languages")
async def languages_api() -> list:
    return await gtapi.languages()


@router.get("/names")
def file_names(session: Session = Depends(DatabaseManager.get_session)) -> list[str]:
    return list(session.scalars(select(FileDb.filename).order_by(FileDb.filename)))


@router.get("/file_by_name/{name}")
def file_by_name(
    name: str, session: Session = Depends(DatabaseManager.get_session)
) -> File:
    return session.scalars(select(FileDb).where(FileDb.filename == name)).one()
