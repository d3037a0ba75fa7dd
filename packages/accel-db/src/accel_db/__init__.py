"""One manager for sync and async SQLAlchemy, with deep reads and writes."""
