import os
from pathlib import Path

from fastapi_accelerator.dbsession import MainDatabaseManager
from fastapi_accelerator.testutils import *

# Made before the application is imported, which then works on the same manager.
TestDatabaseManager = MainDatabaseManager(
    os.environ["TEST_DATABASE_URL"], echo=False, DEV_STATUS=True
)

from main import app

app.state.CACHE_STATUS = False

SettingTest(TestDatabaseManager, app, alembic_migrate=False, keepdb=False)
