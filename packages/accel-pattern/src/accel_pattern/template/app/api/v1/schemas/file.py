"""Files over the wire."""

import uuid

from pydantic import BaseModel, ConfigDict, Field


class File(BaseModel):
    """The record of a file."""

    model_config = ConfigDict(from_attributes=True)

    uid: uuid.UUID
    filename: str = Field(min_length=1, max_length=255)
    size: int = Field(0, ge=0, le=2**31 - 1)
    owner_id: int | None = None
