"""The connection to the database."""

from accel_db import MainDatabaseManager

from app.core.config import DATABASE_URL, DEV_STATUS
from app.models.base import Base

DatabaseManager = MainDatabaseManager(DATABASE_URL, DEV_STATUS=DEV_STATUS, base=Base)
