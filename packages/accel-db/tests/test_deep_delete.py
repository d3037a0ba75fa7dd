import pytest
from sqlalchemy import select

from accel_db import ForeignKeyConflict
from accel_db.testing import track_queries

from .models import Author, Comment, Node, Order, OrderLine, Post, Profile, Serial, Tag

pytestmark = pytest.mark.anyio


def _author() -> Author:
    tags = [Tag(name="a"), Tag(name="b")]
    posts = [
        Post(title=f"{i}", tags=tags, comments=[Comment(text="x"), Comment(text="y")])
        for i in range(3)
    ]
    return Author(name="Ann", profile=Profile(city="X"), posts=posts)


async def _counts(aorm, *models):
    return [await aorm.count(select(model)) for model in models]


async def test_children_go_and_nothing_else(aorm):
    author = await aorm.create_item(_author())
    await aorm.create_item(Author(name="Bea", posts=[Post(title="kept")]))

    deleted = await aorm.delete_item(Author, author.id, deep=True)

    assert deleted
    counts = await _counts(aorm, Author, Profile, Post, Comment, Tag)
    assert counts == [1, 0, 1, 0, 2]


async def test_never_upwards(aorm):
    author = await aorm.create_item(_author())
    comment = author.posts[0].comments[0]

    await aorm.delete_item(Comment, comment.id, deep=True)

    counts = await _counts(aorm, Author, Profile, Post, Comment, Tag)
    assert counts == [1, 1, 3, 5, 2]


async def test_never_to_the_other_side_of_many_to_many(aorm):
    author = await aorm.create_item(_author())

    await aorm.delete_item(Tag, author.posts[0].tags[0].id, deep=True)

    counts = await _counts(aorm, Author, Post, Tag)
    assert counts == [1, 3, 1]


async def test_one_select_per_relationship(db, aorm):
    author = await aorm.create_item(_author())
    aorm.session.expunge_all()

    with track_queries(db, max_count=12) as few:
        await aorm.delete_item(Author, author.id, deep=True)

    assert few.count <= 12


async def test_trees(aorm):
    root = Node(name="r")
    for _ in range(3):
        root.children.append(Node(name="c", children=[Node(name="g"), Node(name="g")]))
    await aorm.create_item(root)
    await aorm.create_item(Node(name="other"))

    await aorm.delete_item(Node, root.id, deep=True)

    assert await aorm.count(select(Node)) == 1


async def test_circles(aorm):
    await aorm.bulk_create(Node, [{"id": 1}, {"id": 2, "parent_id": 1}])
    await aorm.update_item(Node, 1, {"parent_id": 2})

    await aorm.delete_item(Node, 1, deep=True)

    assert await aorm.count(select(Node)) == 0


async def test_a_row_that_is_its_own_parent(aorm):
    await aorm.bulk_create(Node, [{"id": 1}])
    await aorm.update_item(Node, 1, {"parent_id": 1})

    await aorm.delete_item(Node, 1, deep=True)

    assert await aorm.count(select(Node)) == 0


async def test_composite_keys(aorm):
    line = OrderLine(line=1, serials=[Serial(code="x")])
    await aorm.create_item(Order(id=1, lines=[line, OrderLine(line=2)]))

    await aorm.delete_item(OrderLine, (1, 1), deep=True)

    assert await _counts(aorm, Order, OrderLine, Serial) == [1, 1, 0]


async def test_without_deep_children_that_can_live_alone_do(aorm):
    author = await aorm.create_item(Author(name="Ann", posts=[Post(title="a")]))

    await aorm.delete_item(Author, author.id)

    post = await aorm.get_one(select(Post))
    assert post.author_id is None


async def test_without_deep_a_row_that_is_needed_stays(aorm):
    post = await aorm.create_item(Post(title="a", comments=[Comment(text="x")]))

    with pytest.raises(ForeignKeyConflict, match="still referred to") as caught:
        await aorm.delete_item(Post, post.id)

    assert caught.value.http_status == 409
    assert await aorm.count(select(Post)) == 1


async def test_links_go_with_either_side(aorm):
    post = await aorm.create_item(Post(title="a", tags=[Tag(name="t")]))
    tag_id = post.tags[0].id

    assert await aorm.delete_item(Tag, tag_id)

    assert (await aorm.get_item(Post, post.id, deep=["tags"])).tags == []


async def test_missing(aorm):
    assert await aorm.delete_item(Author, 1, deep=True) is False
