"""Time zones."""

from accel_pattern import TIMEZONE, get_datetime_now, moscow_tz, new_york_tz

__all__ = ["TIMEZONE", "get_datetime_now", "moscow_tz", "new_york_tz"]
