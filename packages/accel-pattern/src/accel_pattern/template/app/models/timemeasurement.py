"""Tasks, who works on them, and how long it took."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from accel_db import UtcDateTime
from sqlalchemy import Column, ForeignKey, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base

if TYPE_CHECKING:
    from app.models.users import User

task_users = Table(
    "task_users",
    Base.metadata,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
)


class Task(Base):
    """Something to do."""

    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    description: Mapped[str | None] = mapped_column(Text)

    users: Mapped[list[User]] = relationship(
        secondary=task_users, back_populates="tasks"
    )
    executions: Mapped[list[TaskExecution]] = relationship(
        back_populates="task", cascade="all, delete-orphan"
    )

    def __str__(self) -> str:
        """Return the name: the admin panel shows it."""
        return self.name


class TaskExecution(Base):
    """One piece of work on a task."""

    __tablename__ = "task_executions"

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(
        ForeignKey("tasks.id", ondelete="CASCADE"), index=True
    )
    start_time: Mapped[datetime] = mapped_column(UtcDateTime)
    end_time: Mapped[datetime | None] = mapped_column(UtcDateTime)

    task: Mapped[Task] = relationship(back_populates="executions")

    def __str__(self) -> str:
        """Return the period: the admin panel shows it."""
        end = self.end_time.isoformat() if self.end_time else "now"
        return f"{self.start_time.isoformat()} to {end}"
