import uuid

from pydantic import BaseModel, ConfigDict


class File(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    uid: uuid.UUID
    filename: str | None = None


class FilesSchema(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    name: str
