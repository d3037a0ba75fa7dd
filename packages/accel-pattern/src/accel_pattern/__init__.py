"""One call that turns FastAPI into a service."""
