"""How the tests run: on a test database, without a cache, without the real upstream."""

import os
import secrets

os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
os.environ.setdefault("ADMIN_PASSWORD", secrets.token_urlsafe(12))
os.environ.setdefault("DOCINTEGRATION", "true")

from accel_db import MainDatabaseManager
from accel_pattern.testing import *  # noqa: F403 - the fixtures of the kit
from accel_pattern.testing import SettingTest

from app.core.config import TEST_DATABASE_URL
from app.models.base import Base

# Made before the application is imported, which then works on the same manager.
TestDatabaseManager = MainDatabaseManager(TEST_DATABASE_URL, DEV_STATUS=True, base=Base)

from main import app  # noqa: E402 - see above

app.state.CACHE_STATUS = False

SettingTest(TestDatabaseManager, app, alembic_migrate=True, keepdb=False)
