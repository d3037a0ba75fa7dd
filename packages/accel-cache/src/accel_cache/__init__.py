"""A Redis response cache for FastAPI endpoints and plain coroutines."""
