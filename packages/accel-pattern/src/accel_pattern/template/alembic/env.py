"""The environment of Alembic."""

from accel_db import AlembicEnv

from app.core.db import DatabaseManager
from app.models import *  # noqa: F403 - registers every table

AlembicEnv(DatabaseManager).run()
