import uuid

from sqlalchemy import Column, String, Uuid

from app.db.base import DatabaseManager


class File(DatabaseManager.Base):
    __tablename__ = "file"

    uid = Column(Uuid, primary_key=True, default=uuid.uuid4)
    filename = Column(String, index=True)
