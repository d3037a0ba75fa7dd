from .file import File
from .timemeasurement import Task, TaskExecution, TaskUser
