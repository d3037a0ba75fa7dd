"""Times as SQLite keeps them: texts, which it compares as such."""

import datetime as dt
from collections.abc import Callable

from sqlalchemy import Dialect
from sqlalchemy.dialects.sqlite import DATETIME


class Moment(DATETIME):
    """Leaves a fraction of zero out, as SQLite's own CURRENT_TIMESTAMP does.

    So a moment has one text, whoever wrote it, and texts are ordered as moments are.
    """

    def bind_processor(
        self, dialect: Dialect
    ) -> Callable[[dt.datetime | None], str | None]:
        """Return what writes a naive time."""
        del dialect
        return lambda value: None if value is None else value.isoformat(" ")
