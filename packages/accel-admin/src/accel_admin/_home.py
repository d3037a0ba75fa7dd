"""The first page: how many rows there are, and how many came lately."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask import abort
from flask_admin import AdminIndexView, expose
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from accel_admin._derived import time_column
from accel_admin._problems import show_problems
from accel_admin._types import has_zone

DAYS = 30
_HEIGHT = 40.0


@dataclass(frozen=True)
class Bar:
    """One day of the plot."""

    day: dt.date
    rows: int
    x: int
    y: float
    height: float


@dataclass(frozen=True)
class Tile:
    """One model on the first page."""

    name: str
    url: str
    count: int
    column: str | None
    bars: tuple[Bar, ...]

    @property
    def recent(self) -> int:
        """Return how many rows the plot shows."""
        return sum(bar.rows for bar in self.bars)


class HomeView(AdminIndexView):  # type: ignore[misc]  # Flask-Admin is not typed
    """Shows each model with its number of rows, and a plot of the last days."""

    def __init__(
        self, *, now: Callable[[], dt.datetime] | None = None, **kwargs: Any
    ) -> None:
        self._now = now or (lambda: dt.datetime.now(dt.UTC))
        super().__init__(**kwargs)

    def create_blueprint(self, admin: Any) -> Any:
        """Return the blueprint, whose errors are pages, too."""
        blueprint = super().create_blueprint(admin)
        show_problems(blueprint, admin.name, f"{admin.endpoint}.index")
        return blueprint

    @expose("/")  # type: ignore[untyped-decorator]  # Flask-Admin is not typed
    def index(self) -> str:
        """Show the models that may be read."""
        try:
            tiles = [self._tile(v) for v in self.admin.model_views() if v.may("read")]
        except (OperationalError, InterfaceError):
            abort(503, "The database cannot be reached.")
        html: str = self.render("accel_admin/home.html", tiles=tiles, days=DAYS)
        return html

    def _tile(self, view: Any) -> Tile:
        column = time_column(view.mapper)
        return Tile(
            name=view.name,
            url=self.get_url(f"{view.endpoint}.index_view"),
            count=view.get_count_query().scalar(),
            column=column,
            bars=self._bars(view, column) if column else (),
        )

    def _bars(self, view: Any, column: str) -> tuple[Bar, ...]:
        today = self._now().date()
        days = [today - dt.timedelta(days=n) for n in reversed(range(DAYS))]
        counted = self._count_days(view, getattr(view.model, column), days[0])
        rows = [counted.get(day.isoformat(), 0) for day in days]
        scale = _HEIGHT / max(1, *rows)
        return tuple(
            Bar(day, number, n * 8, _HEIGHT - number * scale, number * scale)
            for n, (day, number) in enumerate(zip(days, rows, strict=True))
        )

    def _count_days(self, view: Any, column: Any, since: dt.date) -> dict[str, int]:
        zone = dt.UTC if has_zone(column.type) else None
        start = dt.datetime.combine(since, dt.time(), zone)
        # Both SQLite and PostgreSQL have `date()`; its result is no column of ours.
        moment = _day_in_utc(column) if zone else sa.func.date(column)
        day = sa.cast(sa.type_coerce(moment, sa.String()), sa.String())
        query = view.get_query().filter(column >= start)
        grouped = query.with_entities(day, sa.func.count()).group_by(day)
        return dict(grouped.all())


class _day_in_utc(FunctionElement[str]):  # noqa: N801  # it is used like a function
    """The day of a moment, whatever the time zone of the server is."""

    type = sa.String()
    inherit_cache = True


@compiles(_day_in_utc)
def _plain_day(element: Any, compiler: Any, **kwargs: Any) -> str:
    return f"date({compiler.process(element.clauses, **kwargs)})"


@compiles(_day_in_utc, "postgresql")
def _zoned_day(element: Any, compiler: Any, **kwargs: Any) -> str:
    return f"date(timezone('UTC', {compiler.process(element.clauses, **kwargs)}))"
