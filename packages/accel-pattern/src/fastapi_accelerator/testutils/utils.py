"""Checks."""

from accel_pattern.testing import (
    BaseAuthJwtPytest,
    BasePytest,
    check_response_json,
    rm_key_from_deep_dict,
    url_path_for,
)

__all__ = [
    "BaseAuthJwtPytest",
    "BasePytest",
    "check_response_json",
    "rm_key_from_deep_dict",
    "url_path_for",
]
