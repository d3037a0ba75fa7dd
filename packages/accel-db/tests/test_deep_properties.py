"""After a deep update the database holds what the data said, and nothing else moved."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import select

from accel_db import Orm
from accel_db.testing import track_queries

from .models import Author, Comment, Node, Post, Profile, Tag

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
names = (f"n{i}" for i in itertools.count())


def dump(session):
    """Return all rows by name: names are unique, keys of new rows are not known."""
    authors = Orm(session).get_list(select(Author), deep=["profile"])
    posts = Orm(session).get_list(select(Post), deep=["author", "comments", "tags"])
    return {
        "authors": {a.name: a.profile and a.profile.city for a in authors},
        "posts": {
            p.title: (
                p.author and p.author.name,
                frozenset(c.text for c in p.comments),
                frozenset(t.name for t in p.tags),
            )
            for p in posts
        },
        "tags": frozenset(Orm(session).get_list(select(Tag.name))),
        "comments": Orm(session).count(select(Comment)),
        "profiles": Orm(session).count(select(Profile)),
    }


def row(draw, current, attribute, expected):
    """Draw data for an existing row (or a new one), and what it will be called."""
    if current is None:
        name = next(names)
        return {attribute: name}, name
    data = {"id": draw(st.sampled_from([current.id, str(current.id)]))}
    name = getattr(current, attribute)
    if draw(st.booleans()):
        name = data[attribute] = next(names)
    return data, name


def subset(draw, items):
    return [item for item in items if draw(st.booleans())]


@st.composite
def post_update(draw, post, all_tags, author_name):
    """Draw data for *post* (None: a new one), and the row that must come of it."""
    data, title = row(draw, post, "title", None)
    texts = frozenset(c.text for c in post.comments) if post else frozenset()
    linked = frozenset(t.name for t in post.tags) if post else frozenset()
    if draw(st.booleans()):
        kept = subset(draw, post.comments if post else [])
        some = [*kept, *[None] * draw(st.integers(0, 2))]
        drawn = [row(draw, comment, "text", None) for comment in some]
        data["comments"] = [item for item, _ in drawn]
        texts = frozenset(text for _, text in drawn)
    if draw(st.booleans()):
        chosen = subset(draw, all_tags)
        data["tags"] = [
            draw(
                st.sampled_from([tag.id, {"id": tag.id}, {"id": tag.id, "name": "no"}])
            )
            for tag in chosen
        ]
        linked = frozenset(tag.name for tag in chosen)
        if draw(st.booleans()):
            new = next(names)
            data["tags"].append({"name": new})
            linked |= {new}
    return data, title, (author_name, texts, linked)


@st.composite
def author_update(draw, author, all_tags, before):  # noqa: C901  # a branch per name
    """Draw data for *author*, and the whole database that must come of it."""
    data, expected = (
        {},
        {k: dict(v) if isinstance(v, dict) else v for k, v in before.items()},
    )
    name = author.name
    if draw(st.booleans()):
        name = data["name"] = next(names)
    city = expected["authors"].pop(author.name)
    for title, (owner, texts, tags) in list(expected["posts"].items()):
        if owner == author.name:
            expected["posts"][title] = (name, texts, tags)
    if draw(st.booleans()):
        how = draw(st.sampled_from(["none", "new", "same"]))
        if how == "same" and author.profile is not None:
            data["profile"], city = row(draw, author.profile, "city", None)
        elif how == "new":
            city = next(names)
            data["profile"] = {"city": city}
        else:
            data["profile"] = city = None
    expected["authors"][name] = city
    if draw(st.booleans()):
        kept = subset(draw, author.posts)
        some = [*kept, *[None] * draw(st.integers(0, 2))]
        for post in author.posts:
            _, texts, tags = expected["posts"].pop(post.title)
            if post not in kept:
                expected["posts"][post.title] = (None, texts, tags)
        data["posts"] = []
        for post in some:
            item, title, outcome = draw(post_update(post, all_tags, name))
            data["posts"].append(item)
            expected["posts"][title] = outcome
    made = [tags for _, _, tags in expected["posts"].values()]
    expected["tags"] |= frozenset().union(*made)
    expected["comments"] = sum(len(x[1]) for x in expected["posts"].values())
    expected["profiles"] = sum(x is not None for x in expected["authors"].values())
    return data, expected


def populate(session, shape):
    tags = [Tag(name=next(names)) for _ in range(3)]
    for posts in shape:
        author = Author(name=next(names), profile=Profile(city=next(names)))
        for comments in posts:
            post = Post(title=next(names), tags=tags[:2])
            post.comments = [Comment(text=next(names)) for _ in range(comments)]
            author.posts.append(post)
        session.add(author)
    session.add_all(tags)
    session.commit()


shapes = st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=1, max_size=2)


@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
@given(shape=shapes, data=st.data())
def test_the_database_equals_what_the_data_says(db, shape, data):
    db.clear_all()
    with db.session() as session:
        populate(session, shape)
    with db.session() as session:
        before = dump(session)
        root = Orm(session).get(
            select(Author).order_by(Author.id),
            deep=["profile", "posts.comments", "posts.tags"],
        )
        tags = session.scalars(select(Tag).order_by(Tag.id)).all()
        payload, expected = data.draw(author_update(root, tags, before))
        key = root.id
    with db.session() as session:
        result = Orm(session).update_item(
            Author, key, payload, deep=["profile", "posts.comments", "posts.tags"]
        )
        answered = {post.title for post in result.posts}
    with db.session() as session:
        after = dump(session)

    owned = {t for t, (owner, *_) in expected["posts"].items() if owner == result.name}
    assert after == expected
    assert answered == owned


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    from .models import db as manager

    path = tmp_path_factory.mktemp("forest") / "test.db"
    with manager.override(f"sqlite:///{path}"):
        manager.create_all()
        yield manager


edges = st.lists(st.one_of(st.none(), st.integers(0, 11)), min_size=1, max_size=12)


@settings(max_examples=80, deadline=None, suppress_health_check=QUIET)
@given(parents=edges)
def test_any_graph_is_read_and_deleted_whole(forest, parents):
    """Also circles, and rows that are their own parents."""
    forest.clear_all()
    size = len(parents)
    links = {i: None if p is None else p % size for i, p in enumerate(parents)}
    with forest.session.begin() as session:
        session.execute(Node.__table__.insert(), [{"id": i} for i in links])
        for i, parent in links.items():
            session.execute(
                Node.__table__.update().where(Node.id == i).values(parent_id=parent)
            )
    below, waiting = set(), [0]
    while waiting:
        node = waiting.pop()
        if node not in below:
            below.add(node)
            waiting += [i for i, parent in links.items() if parent == node]

    with forest.session() as session:
        with track_queries(forest, max_count=2 + 2 * size):
            root = Orm(session).get_item(Node, 0, deep=True)
        read = {(node.id, tuple(c.id for c in node.children)) for node in reached(root)}
        Orm(session).delete_item(Node, 0, deep=True)
        left = set(Orm(session).get_list(select(Node.id)))

    assert {key for key, _ in read} >= below
    assert all(
        set(children) == {i for i, parent in links.items() if parent == key}
        for key, children in read
    )
    assert left == set(links) - below


def reached(root):
    found, waiting = {}, [root]
    while waiting:
        node = waiting.pop()
        if node.id not in found:
            found[node.id] = node
            waiting += [*node.children, *([node.parent] if node.parent else [])]
    return found.values()
