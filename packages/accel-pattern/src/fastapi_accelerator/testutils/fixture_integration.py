"""Mocks of integrations."""

from accel_pattern.testing import MockRules, patch_integration

__all__ = ["MockRules", "patch_integration"]
