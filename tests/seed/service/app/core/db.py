"""The manager, under its other path."""

from app.db.base import DatabaseManager

__all__ = ["DatabaseManager"]
