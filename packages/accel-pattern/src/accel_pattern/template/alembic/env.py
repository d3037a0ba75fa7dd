"""The environment of Alembic."""

from app.core.db import DatabaseManager
from app.models import *  # noqa: F403 - registers every table

from accel_db import AlembicEnv

AlembicEnv(DatabaseManager).run()
