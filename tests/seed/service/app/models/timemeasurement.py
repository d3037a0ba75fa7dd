from sqlalchemy import Column, ForeignKey, Integer, String
from sqlalchemy.orm import relationship

from app.db.base import DatabaseManager

__all__ = ["Task", "TaskExecution", "TaskStep"]


class Task(DatabaseManager.Base):
    __tablename__ = "task"

    id = Column(Integer, primary_key=True)
    name = Column(String, nullable=False)

    executions = relationship("TaskExecution", back_populates="task")


class TaskExecution(DatabaseManager.Base):
    __tablename__ = "task_execution"

    id = Column(Integer, primary_key=True)
    seconds = Column(Integer, nullable=False)
    task_id = Column(ForeignKey("task.id"), nullable=False)

    task = relationship("Task", back_populates="executions")
    steps = relationship("TaskStep", cascade="all, delete-orphan")


class TaskStep(DatabaseManager.Base):
    __tablename__ = "task_step"

    id = Column(Integer, primary_key=True)
    name = Column(String, nullable=False)
    execution_id = Column(ForeignKey("task_execution.id"), nullable=False)
