"""Pages by cursor show every row once, in order, whatever the order is by."""

from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import select

from accel_db import Orm

from .models import Thing
from .test_fast_lane import ROWS

COLUMNS = (
    *("name", "note", "count", "ratio", "price", "ready", "color", "day", "at"),
    *("token", "made", "updated_at"),
)


def _walk(session, order, size):
    orm, cursor, seen = Orm(session), None, []
    while cursor or not seen:
        page = orm.cursor_page(select(Thing), order_by=order, cursor=cursor, size=size)
        seen += [row.id for row in page.items]
        cursor = page.next_cursor
        if not page.items:
            break
    return seen


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(ROWS, max_size=6),
    names=st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=2, unique=True),
    backwards=st.booleans(),
    size=st.integers(1, 3),
)
def test_small_pages_are_the_parts_of_the_large_one(
    things, rows, names, backwards, size
):
    order = [getattr(Thing, name) for name in names]
    if backwards:
        order = [column.desc() for column in order]
    with things.session() as session:
        session.add_all(Thing(**row) for row in rows)
        session.flush()

        pages = _walk(session, order, size)
        whole = _walk(session, order, 100)

        assert pages == whole
        assert len(whole) == len(set(whole)) == len(rows)
        session.rollback()
