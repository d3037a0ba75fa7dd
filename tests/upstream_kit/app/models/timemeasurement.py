from sqlalchemy import Column, DateTime, ForeignKey, Integer, String, Table
from sqlalchemy.orm import relationship

from app.core.db import DatabaseManager

Base = DatabaseManager.Base

task_user = Table(
    "task_user_link",
    Base.metadata,
    Column("task_id", ForeignKey("task.id"), primary_key=True),
    Column("user_id", ForeignKey("task_user.id"), primary_key=True),
)


class TaskUser(Base):
    __tablename__ = "task_user"

    id = Column(Integer, primary_key=True)
    name = Column(String, nullable=False)
    tasks = relationship("Task", secondary=task_user, back_populates="users")


class Task(Base):
    __tablename__ = "task"

    id = Column(Integer, primary_key=True)
    name = Column(String, nullable=False)
    description = Column(String)
    users = relationship("TaskUser", secondary=task_user, back_populates="tasks")


class TaskExecution(Base):
    __tablename__ = "task_execution"

    id = Column(Integer, primary_key=True)
    start_time = Column(DateTime, nullable=False)
    end_time = Column(DateTime)
    task_id = Column(ForeignKey("task.id"), nullable=False)
    task = relationship("Task")
