"""Tasks and the work on them, over the wire."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class TaskUser(BaseModel):
    """A person who works on a task."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str | None = None


class Execution(BaseModel):
    """One piece of work, as part of its task."""

    model_config = ConfigDict(from_attributes=True)

    id: int | None = None
    start_time: datetime
    end_time: datetime | None = None


class Task(BaseModel):
    """Something to do, who does it, and the work so far."""

    model_config = ConfigDict(from_attributes=True)

    id: int | None = None
    name: str = Field(min_length=1, max_length=100)
    description: str | None = None
    users: list[TaskUser] = []
    executions: list[Execution] = []


class TaskOfExecution(BaseModel):
    """The task that a piece of work belongs to."""

    model_config = ConfigDict(from_attributes=True)

    id: int | None = None
    name: str = Field(min_length=1, max_length=100)
    description: str | None = None


class TaskExecution(BaseModel):
    """One piece of work, with its task."""

    model_config = ConfigDict(from_attributes=True)

    id: int | None = None
    start_time: datetime
    end_time: datetime | None = None
    task: TaskOfExecution


class Handover(BaseModel):
    """Who takes a task over from whom."""

    from_user: int
    to_user: int
