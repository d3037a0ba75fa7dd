"""Django-REST-like view sets for FastAPI."""
