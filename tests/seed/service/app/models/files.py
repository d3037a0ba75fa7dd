import uuid

from sqlalchemy import Column, String, Uuid

from app.db.base import DatabaseManager
from app.models.file import File

__all__ = ["File", "Files"]


class Files(DatabaseManager.Base):
    __tablename__ = "files"

    id = Column(Uuid, primary_key=True, default=uuid.uuid4)
    name = Column(String)
    # What the schema of responses does not name.
    place = Column(String)
