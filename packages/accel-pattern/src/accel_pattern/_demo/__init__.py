"""The demonstration service, and the walk through it."""
