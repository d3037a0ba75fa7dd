"""A Flask-Admin panel with a real login, for SQLAlchemy models."""
