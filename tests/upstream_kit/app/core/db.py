"""The manager of the service."""

from app.core.config import DATABASE_URL
from fastapi_accelerator.db.dbsession import MainDatabaseManager

DatabaseManager = MainDatabaseManager(DATABASE_URL)
