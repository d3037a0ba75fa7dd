import pytest
from pydantic import BaseModel
from sqlalchemy import select

from accel_db import (
    ForeignChild,
    InvalidPayload,
    InvalidValue,
    StaleVersion,
    UnknownReference,
)
from accel_db.testing import track_queries

from .models import (
    Author,
    Comment,
    Document,
    File,
    Node,
    Order,
    OrderLine,
    Post,
    Profile,
    Serial,
    Tag,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def author(aorm):
    return await aorm.create_item(
        {
            "name": "Ann",
            "profile": {"city": "X"},
            "posts": [
                {"title": "a", "comments": [{"text": "1"}, {"text": "2"}]},
                {"title": "b", "tags": [{"name": "s"}, {"name": "t"}]},
            ],
        },
        Author,
        deep=True,
    )


async def test_create_with_lists_and_links(author):
    first, second = author.posts

    assert author.profile.city == "X"
    assert [comment.text for comment in first.comments] == ["1", "2"]
    assert [tag.name for tag in second.tags] == ["s", "t"]
    assert second.tags[0].posts == [second]
    assert first.author is author


async def test_create_links_what_exists(aorm):
    tag = await aorm.create_item(Tag(name="t"))
    writer = await aorm.create_item(Author(name="Ann"))

    post = await aorm.create_item(
        {
            "title": "a",
            "tags": [{"id": tag.id, "name": "ignored"}],
            "author": writer.id,
        },
        Post,
        deep=True,
    )

    assert post.tags == [tag]
    assert tag.name == "t"
    assert post.author is writer
    assert await aorm.count(select(Tag)) == 1


async def test_create_from_a_schema(aorm):
    class PostIn(BaseModel):
        title: str

    class AuthorIn(BaseModel):
        name: str
        posts: list[PostIn]

    data = AuthorIn(name="Ann", posts=[PostIn(title="a")])

    created = await aorm.create_item(data, Author, deep=AuthorIn)

    assert created.posts[0].title == "a"


async def test_an_absent_name_is_left_alone(aorm, author):
    updated = await aorm.update_item(
        Author, author.id, {"posts": [{"id": p.id} for p in author.posts]}, deep=True
    )

    assert updated.name == "Ann"
    assert [post.title for post in updated.posts] == ["a", "b"]
    assert updated.profile is not None


async def test_children_are_matched_created_and_unlinked(aorm, author):
    first, second = author.posts

    updated = await aorm.update_item(
        Author,
        author.id,
        {"posts": [{"id": str(first.id), "title": "A"}, {"title": "c"}]},
        deep=True,
    )

    assert [post.title for post in updated.posts] == ["A", "c"]
    assert updated.posts[0] is first
    # A post can live without its author.
    left = await aorm.get_item(Post, second.id)
    assert left.author_id is None


async def test_a_child_that_cannot_live_alone_is_deleted(aorm, author):
    post = author.posts[0]

    updated = await aorm.update_item(
        Post, post.id, {"comments": [{"id": post.comments[1].id}]}, deep=True
    )

    assert [comment.text for comment in updated.comments] == ["2"]
    assert await aorm.count(select(Comment)) == 1


async def test_deleting_a_child_deletes_its_children(aorm):
    lines = [{"line": 1, "serials": [{"code": "x"}]}, {"line": 2}]
    order = await aorm.create_item({"lines": lines}, Order, deep=True)

    await aorm.update_item(Order, order.id, {"lines": [{"line": 2}]}, deep=True)

    assert await aorm.count(select(OrderLine)) == 1
    assert await aorm.count(select(Serial)) == 0


async def test_composite_keys_complete_from_their_parent(aorm):
    lines = [{"line": 1, "product": "a"}, {"line": 2, "product": "b"}]
    order = await aorm.create_item({"lines": lines}, Order, deep=True)

    updated = await aorm.update_item(
        Order,
        order.id,
        {"lines": [{"line": "2", "product": "B"}, {"line": 3, "product": "c"}]},
        deep=True,
    )

    assert [(x.line, x.product) for x in updated.lines] == [(2, "B"), (3, "c")]


async def test_none_unlinks(aorm, author):
    post = author.posts[0]

    updated = await aorm.update_item(
        Post, post.id, {"author": None, "tags": None}, deep=True
    )

    assert updated.author is None
    assert updated.author_id is None
    assert await aorm.count(select(Author)) == 1


async def test_none_deletes_a_dependent_row(aorm, author):
    updated = await aorm.update_item(Author, author.id, {"profile": None}, deep=True)

    assert updated.profile is None
    assert await aorm.count(select(Profile)) == 0


async def test_a_dependent_row_is_replaced(aorm, author):
    before = author.profile

    updated = await aorm.update_item(
        Author, author.id, {"profile": {"city": "Y"}}, deep=True
    )

    assert updated.profile.city == "Y"
    assert updated.profile is not before
    assert await aorm.count(select(Profile)) == 1


async def test_a_dependent_row_is_updated_by_its_key(aorm, author):
    before = author.profile

    updated = await aorm.update_item(
        Author, author.id, {"profile": {"id": before.id, "city": "Y"}}, deep=True
    )

    assert updated.profile is before
    assert before.city == "Y"


async def test_many_to_many_only_links(aorm, author):
    post = author.posts[1]
    kept, gone = post.tags

    updated = await aorm.update_item(
        Post,
        post.id,
        {"tags": [{"id": kept.id, "name": "changed"}, {"name": "n"}]},
        deep=True,
    )

    assert [tag.name for tag in updated.tags] == ["s", "n"]
    assert await aorm.get_item(Tag, gone.id) is not None


async def test_links_may_be_bare_keys_and_repeat(aorm, author):
    post = author.posts[0]
    keys = [tag.id for tag in author.posts[1].tags]

    updated = await aorm.update_item(
        Post, post.id, {"tags": [str(keys[0]), keys[1], keys[0]]}, deep=True
    )

    assert sorted(tag.id for tag in updated.tags) == sorted(keys)


async def test_many_to_one_updates_the_same_and_links_another(aorm, author):
    other = await aorm.create_item(Author(name="Bea"))
    post = author.posts[0]

    same = await aorm.update_item(
        Post, post.id, {"author": {"id": author.id, "name": "Anna"}}, deep=True
    )
    assert same.author.name == "Anna"
    linked = await aorm.update_item(
        Post, post.id, {"author": {"id": other.id, "name": "ignored"}}, deep=True
    )

    assert linked.author is other
    assert (author.name, other.name) == ("Anna", "Bea")


async def test_setting_a_foreign_key_forgets_the_old_parent(aorm, author):
    other = await aorm.create_item(Author(name="Bea"))
    post = await aorm.get_item(Post, author.posts[0].id, deep=["author"])

    await aorm.update_item(Post, post.id, {"author_id": other.id}, deep=["author"])

    assert post.author is other


@pytest.mark.parametrize("whose", ["another's", "nobody's", "missing"])
async def test_a_key_of_no_child_is_refused(aorm, author, whose):
    """In the same words: they tell nothing of rows beyond the parent."""
    other = await aorm.create_item(Author(name="Bea"))
    post = await aorm.create_item(Post(title="as it was"))
    if whose == "another's":
        await aorm.update_item(Post, post.id, {"author_id": other.id})
    if whose == "missing":
        await aorm.delete_item(Post, post.id)
    before, key = set(author.posts), post.id

    with pytest.raises(ForeignChild) as caught:
        await aorm.update_item(
            Author, author.id, {"posts": [{"id": key, "title": "mine"}]}, deep=True
        )

    assert caught.value.http_status == 422
    assert str(caught.value) == (
        f"'Author.posts[0]' cannot be written: Post {key} is no row of its parent; "
        "leave the key out for a new one, or move one by updating its foreign key."
    )
    assert whose == "missing" or post.title == "as it was"
    assert set((await aorm.get_item(Author, author.id, deep=1)).posts) == before


async def test_a_child_cannot_name_another_parent(aorm, author):
    post = author.posts[0]

    with pytest.raises(ForeignChild):
        await aorm.update_item(
            Author,
            author.id,
            {"posts": [{"id": post.id, "author_id": author.id + 1}]},
            deep=True,
        )


async def test_a_new_parent_adopts_no_child_by_its_key(aorm):
    orphan = await aorm.create_item(Post(title="orphan"))
    data = {"name": "Ann", "posts": [{"id": orphan.id}]}

    with pytest.raises(ForeignChild):
        await aorm.create_item(data, Author, deep=True)


async def test_a_child_whose_key_the_database_does_not_make_is_not_adopted(aorm):
    await aorm.create_item({"code": "taken"}, Serial)
    order = await aorm.create_item({"lines": [{"line": 1}]}, Order, deep=True)

    for serial in ({"code": "taken"}, {"code": "taken", "line": 1}, "taken"):
        lines = [{"line": 1, "serials": [serial]}]
        with pytest.raises(ForeignChild, match="'taken' is no row of its parent"):
            await aorm.update_item(Order, order.id, {"lines": lines}, deep=True)


async def test_a_child_is_adopted_as_an_object(aorm, author):
    orphan = await aorm.create_item(Post(title="orphan"))

    updated = await aorm.update_item(Author, author.id, {"posts": [orphan]}, deep=True)

    assert updated.posts == [orphan]


@pytest.mark.parametrize(
    "data",
    [
        {"tags": [99]},
        {"tags": [{"id": 99}]},
        {"author": 99},
    ],
)
async def test_unknown_references_are_refused(aorm, author, data):
    with pytest.raises(UnknownReference, match="with the key 99"):
        await aorm.update_item(Post, author.posts[0].id, data, deep=True)


async def test_a_client_may_choose_keys_that_the_database_does_not(aorm):
    line = {"line": 7, "serials": [{"code": "chosen"}]}

    order = await aorm.create_item({"lines": [line]}, Order, deep=True)

    assert order.lines[0].serials[0].code == "chosen"


async def test_contradictions_are_refused(aorm, author):
    other = await aorm.create_item(Author(name="Bea"))

    with pytest.raises(InvalidPayload, match="contradicts 'author'"):
        await aorm.update_item(
            Post,
            author.posts[0].id,
            {"author_id": other.id, "author": {"id": author.id}},
            deep=True,
        )


async def test_the_same_child_twice_is_refused(aorm, author):
    key = author.posts[0].id

    with pytest.raises(InvalidPayload, match="given twice"):
        await aorm.update_item(
            Author, author.id, {"posts": [{"id": key}, {"id": key}]}, deep=True
        )


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"posts": "text"}, InvalidPayload),
        ({"posts": 5}, InvalidPayload),
        ({"posts": [{"id": "no number"}]}, InvalidValue),
        ({"posts": [{"nope": 1}]}, InvalidPayload),
        ({"posts": [None]}, InvalidPayload),
        (
            {"posts": [{"comments": [{"post": {"author": {"nope": 1}}}]}]},
            InvalidPayload,
        ),
    ],
)
async def test_hostile_data_is_refused_before_anything_is_written(
    db, aorm, author, data, error
):
    with track_queries(db, max_count=3), pytest.raises(error):
        await aorm.update_item(Author, author.id, data, deep=True)

    assert await aorm.count(select(Post)) == 2


async def test_depth_limits_what_may_be_written(aorm, author):
    data = {"posts": [{"id": author.posts[0].id, "comments": []}]}

    with pytest.raises(InvalidPayload, match="`deep=` does not cover"):
        await aorm.update_item(Author, author.id, data, deep=1)


async def test_an_update_is_one_select_per_relationship(db, aorm):
    posts = [
        {"title": f"{i}", "comments": [{"text": f"{k}"} for k in range(3)]}
        for i in range(20)
    ]
    author = await aorm.create_item({"name": "Ann", "posts": posts}, Author, deep=True)
    data = {
        "posts": [
            {"id": p.id, "comments": [{"id": c.id, "text": "new"} for c in p.comments]}
            for p in author.posts
        ]
    }
    aorm.session.expunge_all()

    with track_queries(db) as queries:
        await aorm.update_item(Author, author.id, data, deep=["posts.comments"])

    selects = [s for s in queries.statements if s.startswith("SELECT")]
    assert len(selects) <= 6


async def test_trees(aorm):
    root = await aorm.create_item(
        {"name": "r", "children": [{"name": "a"}, {"name": "b"}]}, Node, deep=True
    )
    a, b = root.children

    updated = await aorm.update_item(
        Node,
        root.id,
        {"children": [{"id": b.id, "children": [{"name": "c"}]}]},
        deep=["children.children"],
    )

    assert [(x.name, [y.name for y in x.children]) for x in updated.children] == [
        ("b", ["c"])
    ]
    assert (await aorm.get_item(Node, a.id)).parent_id is None


async def test_a_failure_undoes_everything(aorm, author):
    with pytest.raises(UnknownReference):
        await aorm.update_item(
            Author,
            author.id,
            {"name": "changed", "posts": [{"title": "new", "tags": [99]}]},
            deep=True,
        )

    again = await aorm.get_item(Author, author.id, deep=["posts"])
    assert again.name == "Ann"
    assert [post.title for post in again.posts] == ["a", "b"]


async def test_stale_versions_in_deep_updates(aorm):
    document = await aorm.create_item(Document(text="a"))

    with pytest.raises(StaleVersion):
        await aorm.update_item(
            Document, document.id, {"text": "b", "version": 9}, deep=True
        )


async def test_missing(aorm):
    assert await aorm.update_item(Author, 1, {"posts": []}, deep=True) is None
    assert await aorm.update_item(File, "nope", {"filename": "x"}, deep=True) is None
