"""What goes over the wire in the tests."""

import datetime as dt
import decimal
import uuid
from typing import Annotated

from pydantic import BaseModel, Field

from .models import Color


class UserOut(BaseModel):
    id: int
    name: str | None = None
    login: str | None = None
    email: str


class FileOut(BaseModel):
    uid: uuid.UUID
    filename: Annotated[str, Field(min_length=1, max_length=100)]
    size: int = 0
    owner_id: int | None = None


class FileWithOwner(FileOut):
    owner: UserOut | None = None


class WorkOut(BaseModel):
    id: int | None = None
    hours: int


class Worker(BaseModel):
    id: int
    name: str | None = None


class TaskOut(BaseModel):
    id: int | None = None
    name: str
    users: list[Worker] = []
    works: list[WorkOut] = []


class SeatOut(BaseModel):
    row: int
    letter: str
    guest: str | None = None


class ThingOut(BaseModel):
    id: int
    name: str
    note: str | None
    count: int = 1
    ratio: float | None = None
    price: decimal.Decimal | None = None
    ready: bool = False
    color: Color | None = None
    day: dt.date | None = None
    at: dt.datetime | None = None
    token: uuid.UUID | None = None
    state: str
    made: dt.datetime
    created_by: str | None
    updated_at: dt.datetime


class NoteOut(BaseModel):
    id: int
    text: str


class CountryOut(BaseModel):
    code: str
    name: str
