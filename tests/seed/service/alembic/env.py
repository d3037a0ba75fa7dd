# Import the DB manager
from app.core.db import DatabaseManager

# > ! Import models that need to be tracked
from app.models import *
from fastapi_accelerator.pattern.pattern_alembic import AlembicEnv

# Pre-configured logic for creating and executing migrations through Alembic
AlembicEnv(DatabaseManager).run()
