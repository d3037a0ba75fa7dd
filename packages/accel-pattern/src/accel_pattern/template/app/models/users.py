"""People who use the service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from accel_db import UtcDateTime
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base

if TYPE_CHECKING:
    from app.models.file import File
    from app.models.timemeasurement import Task


class User(Base):
    """A person with a login."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), index=True)
    login: Mapped[str] = mapped_column(String(50), unique=True)
    phone: Mapped[str | None] = mapped_column(String(30))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=lambda: datetime.now(UTC)
    )

    files: Mapped[list[File]] = relationship(back_populates="owner")
    tasks: Mapped[list[Task]] = relationship(
        secondary="task_users", back_populates="users"
    )

    def __str__(self) -> str:
        """Return the name: the admin panel shows it."""
        return self.name
