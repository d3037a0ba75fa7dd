"""Base of the tests."""

from accel_pattern.testing import BaseAuthJwtPytest, BasePytest, SettingTest

__all__ = ["BaseAuthJwtPytest", "BasePytest", "SettingTest"]
