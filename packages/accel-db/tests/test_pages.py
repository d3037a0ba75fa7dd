import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import select

from accel_db import InvalidCursor, InvalidPayload, Orm

from .models import Author, File, OrderLine, Post

pytestmark = pytest.mark.anyio


async def test_numbered_pages(aorm):
    await aorm.bulk_create(Author, [{"name": f"{i}"} for i in range(7)])
    query = select(Author).order_by(Author.id)

    second = await aorm.page(query, page=2, size=3, deep=["posts"])
    beyond = await aorm.page(query, page=9, size=3)

    assert [author.name for author in second] == ["3", "4", "5"]
    assert second.items[0].posts == []
    assert (second.total, second.page, second.size, second.pages) == (7, 2, 3, 3)
    assert (beyond.items, beyond.total) == ([], 7)


@pytest.mark.parametrize("arguments", [{"page": 0}, {"page": -1}, {"size": 0}])
async def test_impossible_pages_are_refused(aorm, arguments):
    with pytest.raises(InvalidPayload, match="must be >= 1"):
        await aorm.page(select(Author), **arguments)


async def test_cursor_pages_are_not_shifted_by_new_rows(aorm):
    await aorm.bulk_create(
        Author, [{"id": i * 10, "name": f"{i}"} for i in range(1, 6)]
    )

    first = await aorm.cursor_page(select(Author), size=2)
    await aorm.bulk_create(Author, [{"id": 5, "name": "new"}])
    second = await aorm.cursor_page(select(Author), size=2, cursor=first.next_cursor)
    third = await aorm.cursor_page(select(Author), size=2, cursor=second.next_cursor)

    assert [[a.name for a in page] for page in (first, second, third)] == [
        ["1", "2"],
        ["3", "4"],
        ["5"],
    ]
    assert third.next_cursor is None


async def test_cursors_carry_uuids_and_composite_keys(aorm):
    await aorm.bulk_create(File, [{"filename": f"{i}"} for i in range(5)])
    seen, cursor = [], None
    while True:
        page = await aorm.cursor_page(select(File), size=2, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    lines = await aorm.cursor_page(
        select(OrderLine), order_by=[OrderLine.product.desc()]
    )

    assert len({file.uid for file in seen}) == 5
    assert lines.items == []


def forge(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!",
        "é",
        "A" * 10_000,
        forge([]),
        forge([["id"], []]),
        forge([["id"], [None]]),
        forge([["id"], [{"a": 1}]]),
        forge([["id"], ["1 OR 1=1"]]),
        forge([["id"], [10**40]]),
        forge([["name", "id"], ["a", 1]]),
        forge({"id": 1}),
    ],
)
async def test_hostile_cursors_are_refused(aorm, cursor):
    with pytest.raises(InvalidCursor, match="start without one") as caught:
        await aorm.cursor_page(select(Author), cursor=cursor)

    assert caught.value.http_status == 422


async def test_a_cursor_orders_by_columns(aorm):
    with pytest.raises(InvalidPayload, match="a cursor orders by columns of Author"):
        await aorm.cursor_page(select(Author), order_by=[Post.title])
    with pytest.raises(InvalidPayload, match="needs a query for one model"):
        await aorm.cursor_page(select(1))


titles = st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=8)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(titles=titles, size=st.integers(1, 4), down=st.booleans(), back=st.booleans())
def test_pages_together_are_the_whole_list(db, titles, size, down, back):
    """Whatever repeats, is NULL, or is ordered backwards."""
    db.clear_all()
    orders = [
        Post.title.desc() if down else Post.title,
        Post.id.desc() if back else Post.id,
    ]
    with db.session() as session:
        orm = Orm(session)
        orm.bulk_create(Post, [{"title": title} for title in titles])
        seen, cursor = [], None
        while True:
            page = orm.cursor_page(
                select(Post), order_by=orders, size=size, cursor=cursor
            )
            seen += [(post.title, post.id) for post in page]
            cursor = page.next_cursor
            if cursor is None:
                break
        everything = session.execute(select(Post.title, Post.id)).all()

    expected = sorted(map(tuple, everything), key=lambda x: x[1], reverse=back)
    expected.sort(key=lambda x: (x[0] is not None, x[0] or ""), reverse=down)
    assert seen == expected
