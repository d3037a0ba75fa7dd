"""Pydantic models from data."""

from accel_integration import generate_pydantic_models

__all__ = ["generate_pydantic_models"]
