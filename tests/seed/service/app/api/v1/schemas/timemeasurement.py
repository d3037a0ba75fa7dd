from pydantic import BaseModel, ConfigDict


class Task(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int | None = None
    name: str


class TaskStep(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int | None = None
    name: str


class TaskExecution(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int | None = None
    seconds: int
    task: Task
    steps: list[TaskStep] = []
