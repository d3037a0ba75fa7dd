"""Outbound HTTP integrations with stability patterns, for workers and services."""
