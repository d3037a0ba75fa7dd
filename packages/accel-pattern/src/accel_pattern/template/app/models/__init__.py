"""Tables. Alembic sees the models that are imported here."""

from app.models.file import File
from app.models.timemeasurement import Task, TaskExecution, task_users
from app.models.users import User

__all__ = ["File", "Task", "TaskExecution", "User", "task_users"]
