"""The environment of Alembic."""

from app.core.db import DatabaseManager
from app.models import *
from fastapi_accelerator.pattern.pattern_alembic import AlembicEnv

AlembicEnv(DatabaseManager).run()
