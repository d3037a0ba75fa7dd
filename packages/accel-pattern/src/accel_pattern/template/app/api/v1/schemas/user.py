"""People over the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Name = Annotated[str, Field(min_length=1, max_length=100)]
Login = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[\w.@+-]+$")]
Phone = Annotated[str, Field(max_length=30)]
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]


class User(BaseModel):
    """A person, as everybody may see them."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: Name
    login: Login
    phone: Phone | None = None
    email: Email
    created_at: datetime


class UserCreate(BaseModel):
    """A person who joins."""

    name: Name
    login: Login
    phone: Phone | None = None
    email: Email
    password: SecretStr = Field(min_length=8, max_length=128)


class UserUpdate(BaseModel):
    """What a person may change."""

    name: Name
    phone: Phone | None = None
    email: Email
