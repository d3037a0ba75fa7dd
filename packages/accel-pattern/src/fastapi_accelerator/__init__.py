"""The names of fastapi-accelerator, answered by accel."""
