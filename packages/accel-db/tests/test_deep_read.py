import pytest
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Column, ForeignKey, Integer, String, insert, select
from sqlalchemy.orm import attribute_keyed_dict, relationship

from accel_db import InvalidPayload, MainDatabaseManager, NotLoaded, Orm, OrmAsync
from accel_db.testing import track_queries

from .models import (
    Author,
    Comment,
    Node,
    Order,
    OrderLine,
    Post,
    Profile,
    Serial,
    Tag,
    post_tag,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def blog(db):
    """Write 10 authors with 5 posts each, 2 comments and 2 tags per post."""
    with db.session.begin() as session:
        for model, rows in {
            Author: [{"id": i, "name": f"a{i}"} for i in range(1, 11)],
            Profile: [{"city": "X", "author_id": i} for i in range(1, 11)],
            Post: [
                {"id": i, "title": f"p{i}", "author_id": 1 + (i - 1) // 5}
                for i in range(1, 51)
            ],
            Comment: [{"text": "c", "post_id": 1 + i // 2} for i in range(100)],
            Tag: [{"id": i, "name": f"t{i}"} for i in range(1, 8)],
        }.items():
            session.execute(insert(model), rows)
        links = [
            {"post_id": i, "tag_id": 1 + (i + k) % 7}
            for i in range(1, 51)
            for k in (0, 1)
        ]
        session.execute(insert(post_tag), links)
    return db


async def test_limit_counts_parents(blog, aorm):
    authors = await aorm.get_list(
        select(Author).order_by(Author.id).limit(4), deep=["posts.comments"]
    )

    assert [author.id for author in authors] == [1, 2, 3, 4]
    assert all(len(author.posts) == 5 for author in authors)
    assert all(len(post.comments) == 2 for a in authors for post in a.posts)


async def test_one_select_per_relationship_per_wave(blog, aorm):
    with track_queries(blog, expected_count=4):
        authors = await aorm.get_list(
            select(Author), deep=["posts.comments", Author.profile]
        )

    assert len(authors) == 10
    assert authors[0].profile.city == "X"


async def test_everything_ends_in_spite_of_cycles(blog, aorm):
    with track_queries(blog, max_count=10) as queries:
        authors = await aorm.get_list(select(Author).order_by(Author.id), deep=True)
    walked = queries.count

    with track_queries(blog, expected_count=0):
        post = authors[0].posts[0]
        assert post.author is authors[0]
        assert post.comments[0].post is post
        assert post in post.tags[0].posts
        assert post.tags[0].posts[-1].author.profile.author.posts

    assert walked > 0


async def test_depth_stops(blog, aorm):
    author = await aorm.get_item(Author, 1, deep=1)

    assert len(author.posts) == 5
    with pytest.raises(NotLoaded, match=r"Post\.comments"):
        author.posts[0].comments  # noqa: B018


@pytest.mark.parametrize("deep", [0, False])
async def test_no_depth_loads_nothing(blog, aorm, deep):
    author = await aorm.get_item(Author, 1, deep=deep)

    with pytest.raises(NotLoaded, match=r"Author\.posts"):
        author.posts  # noqa: B018


async def test_a_schema_says_what_it_reads(blog, aorm):
    class TagOut(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        name: str

    class PostOut(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        title: str
        labels: list[TagOut] = Field(validation_alias="tags")

    class AuthorOut(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        name: str
        posts: list[PostOut] | None = None

    with track_queries(blog, expected_count=3):
        author = await aorm.get_item(Author, 1, deep=AuthorOut)
    out = AuthorOut.model_validate(author)

    assert [len(post.labels) for post in out.posts] == [2] * 5
    with pytest.raises(NotLoaded):
        author.profile  # noqa: B018


async def test_a_recursive_schema_ends_with_the_data(aorm):
    class NodeOut(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        name: str
        children: list["NodeOut"]

    root = Node(name="r", children=[Node(name="a", children=[Node(name="b")])])
    await aorm.create_item(root)

    found = await aorm.get_item(Node, root.id, deep=NodeOut)

    assert NodeOut.model_validate(found).model_dump() == {
        "name": "r",
        "children": [
            {"name": "a", "children": [{"name": "b", "children": []}]},
        ],
    }


@pytest.mark.parametrize("path", ["post", "posts.nope", "posts.title", "__class__"])
async def test_a_typo_in_a_path_is_an_error(aorm, path):
    with pytest.raises(InvalidPayload, match="there is no such relationship"):
        await aorm.get_item(Author, 1, deep=[path])


async def test_a_deep_tree(db, aorm):
    rows = [{"id": i, "name": "n", "parent_id": i // 2 or None} for i in range(1, 256)]
    await aorm.bulk_create(Node, rows)

    async with db.asession() as session:
        with track_queries(db, max_count=10):
            root = await OrmAsync(session).get_item(Node, 1, deep=True)
    nodes, waiting = 0, [root]
    while waiting:
        node = waiting.pop()
        nodes += 1
        waiting += node.children

    assert nodes == 255
    await db.adispose()


async def test_composite_keys(db, aorm):
    await aorm.bulk_create(Order, [{"id": 1}, {"id": 2}])
    await aorm.bulk_create(
        OrderLine, [{"order_id": o, "line": i} for o in (1, 2) for i in (1, 2)]
    )
    await aorm.bulk_create(
        Serial,
        [{"code": f"{o}{i}", "order_id": o, "line": i} for o in (1, 2) for i in (1, 2)],
    )

    async with db.asession() as session:
        orders = await OrmAsync(session).get_list(
            select(Order).order_by(Order.id), deep=True
        )

    assert [[[s.code for s in x.serials] for x in o.lines] for o in orders] == [
        [["11"], ["12"]],
        [["21"], ["22"]],
    ]
    assert orders[1].lines[0].serials[0].order_line is orders[1].lines[0]


async def test_a_second_read_sees_what_others_wrote(blog, aorm):
    author = await aorm.get_item(Author, 1, deep=["posts.comments"])
    with blog.session.begin() as session:
        session.get(Post, 1).title = "new"
        session.add(Comment(text="new", post_id=1))

    again = await aorm.get_item(Author, 1, deep=["posts.comments"])

    assert again is author
    assert author.posts[0].title == "new"
    assert len(author.posts[0].comments) == 3


async def test_a_second_read_sees_a_changed_parent(blog, aorm):
    post = await aorm.get_item(Post, 1, deep=["author"])
    with blog.session.begin() as session:
        session.get(Author, 1).name = "new"

    again = await aorm.get_item(Post, 1, deep=["author"])

    assert again is post
    assert post.author.name == "new"


async def test_eager_refresh_loads_everything_anew(blog, aorm):
    author = await aorm.get_item(Author, 1)
    with blog.session.begin() as session:
        session.get(Author, 1).name = "new"
        session.get(Post, 1).title = "new"

    await aorm.eager_refresh(author)

    assert author.name == "new"
    assert author.posts[0].title == "new"
    assert author.posts[0].tags


async def test_eager_refresh_takes_a_detached_object(blog, aorm):
    author = await aorm.get_item(Author, 1)
    aorm.session.expunge(author)

    await aorm.eager_refresh(author, deep=["profile"])

    assert author.profile.city == "X"


async def test_streams_load_deep(blog, aorm):
    query = select(Author).order_by(Author.id)

    counts = [len(a.posts) async for a in aorm.stream(query, batch=3, deep=["posts"])]

    assert counts == [5] * 10


def test_the_sync_face(blog):
    with blog.session() as session:
        author = Orm(session).get_item(Author, "1", deep=["posts"])
        streamed = [x.id for x in Orm(session).stream(select(Author), batch=3)]
    blog.dispose()

    assert len(author.posts) == 5
    assert len(streamed) == 10


def test_unusual_relationships(url):
    """Custom joins, a bare association of columns, and keyed collections."""
    db = MainDatabaseManager(url, name=f"unusual {url}", DEV_STATUS=True)

    class City(db.Base):
        __tablename__ = "city"
        id = Column(Integer, primary_key=True)
        code = Column(String, unique=True)
        big_shops = relationship(
            "Shop",
            primaryjoin="and_(City.code == foreign(Shop.city_code), Shop.size > 1)",
            viewonly=True,
        )
        shops = relationship(
            "Shop", collection_class=attribute_keyed_dict("name"), back_populates="city"
        )

    class Shop(db.Base):
        __tablename__ = "shop"
        id = Column(Integer, primary_key=True)
        name = Column(String)
        size = Column(Integer)
        city_code = Column(ForeignKey("city.code"))
        city = relationship("City", back_populates="shops")

    db.create_all()
    with db.session.begin() as session:
        session.add(City(id=1, code="x"))
        session.flush()
        session.add_all(Shop(id=i, name=f"s{i}", size=i, city_code="x") for i in (1, 2))
    with db.session() as session:
        city = Orm(session).get_item(City, 1, deep=True)
    db.drop_all()
    db.dispose()

    assert [shop.id for shop in city.big_shops] == [2]
    assert set(city.shops) == {"s1", "s2"}
    assert city.shops["s1"].city is city
