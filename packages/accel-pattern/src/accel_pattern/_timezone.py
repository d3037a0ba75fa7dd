"""Time zones of a service."""

from datetime import datetime, tzinfo

import pytz

moscow_tz = pytz.timezone("Europe/Moscow")
"""The time zone of Moscow."""
new_york_tz = pytz.timezone("America/New_York")
"""The time zone of New York."""


def get_datetime_now(timezone: tzinfo) -> datetime:
    """Return the current moment as an aware datetime in *timezone*."""
    return datetime.now(timezone)
