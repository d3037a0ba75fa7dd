import uuid

from sqlalchemy import Column, Integer, String, Uuid

from app.core.db import DatabaseManager


class File(DatabaseManager.Base):
    __tablename__ = "file"

    uid = Column(Uuid, primary_key=True, default=uuid.uuid4)
    filename = Column(String, nullable=False, unique=True)
    size = Column(Integer)
