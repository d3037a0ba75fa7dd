import asyncio
import logging

import pytest
from sqlalchemy import delete, insert, select, update

from accel_db import Change, Orm, OrmAsync, QueryExecuted, SlowQuery

from .models import Author, Comment, Order, OrderLine, Post, Tag, post_tag

pytestmark = pytest.mark.anyio


@pytest.fixture
def changes(db):
    """Collect what is announced."""
    found = []
    unsubscribe = db.on_change(found.append)
    yield found
    unsubscribe()


async def test_a_commit_announces_tables_keys_and_tags(changes, aorm):
    author = await aorm.create_item(Author(name="Ann", posts=[Post(title="a")]))

    (change,) = changes
    post = author.posts[0]
    assert isinstance(change, Change)
    assert change.name == "db.change"
    assert change.tables == {"author", "post"}
    assert change.keys == {("author", (author.id,)), ("post", (post.id,))}
    assert change.tags == {"author", f"author:{author.id}", "post", f"post:{post.id}"}


async def test_composite_keys_are_joined_by_commas(changes, aorm):
    await aorm.create_item(Order(id=1, lines=[OrderLine(line=2)]))

    assert "order_line:1,2" in changes[0].tags


async def test_every_kind_of_write_of_the_orm(changes, aorm):
    author = await aorm.create_item(Author(name="Ann"))
    key = f"author:{author.id}"
    await aorm.update_item(Author, author.id, {"name": "b"})
    await aorm.update(update(Author).where(Author.id == author.id), {"name": "c"})
    await aorm.upsert(Author, [{"name": "c", "bio": "x"}], on=["name"])
    await aorm.delete_item(Author, author.id)
    await aorm.bulk_create(Author, [{"name": "d"}])
    await aorm.delete(delete(Author).where(Author.name == "d"))

    assert [("author" in change.tags, key in change.tags) for change in changes] == [
        (True, True),
        (True, True),
        (True, True),
        (True, False),
        (True, True),
        (True, False),
        (True, False),
    ]


async def test_statements_of_plain_sessions(db, changes):
    async with db.asession() as session:
        await session.execute(insert(Author).values(name="a"))
        await session.execute(update(Author).values(name="b"))
        await session.commit()
        await session.execute(Author.__table__.delete())
        await session.commit()
    await db.adispose()

    assert [change.tables for change in changes] == [{"author"}, {"author"}]


async def test_links_name_their_table(changes, aorm):
    post = await aorm.create_item(Post(title="a", tags=[Tag(name="t")]))
    changes.clear()

    await aorm.update_item(Post, post.id, {"tags": []}, deep=True)

    assert "post_tag" in changes[0].tables


async def test_deleting_an_object_names_its_links(changes, aorm):
    post = await aorm.create_item(Post(title="a", tags=[Tag(name="t")]))
    changes.clear()

    await aorm.delete_item(Post, post.id, deep=True)

    assert {"post", "post_tag"} <= changes[0].tables


async def test_reads_and_rollbacks_announce_nothing(db, changes, aorm):
    with pytest.raises(RuntimeError):
        await failing(aorm)
    await aorm.get_list(select(Author), deep=True)
    await aorm.session.execute(insert(Author).values(name="b"))
    await aorm.session.rollback()

    assert changes == []


async def failing(aorm):
    async with aorm.transaction():
        await aorm.create_item(Author(name="a"))
        raise RuntimeError


async def test_a_transaction_is_one_change_without_its_failed_savepoints(changes, aorm):
    async with aorm.transaction():
        await aorm.create_item(Author(name="a"))
        with pytest.raises(RuntimeError):
            await failing_nested(aorm)
        async with aorm.nested():
            await aorm.create_item(Post(title="kept"))

    (change,) = changes
    assert change.tables == {"author", "post"}


async def failing_nested(aorm):
    async with aorm.nested():
        await aorm.create_item(Tag(name="lost"))
        raise RuntimeError


async def test_async_callbacks_are_awaited_before_the_commit_returns(db, aorm):
    log = []

    async def invalidate(change):
        await asyncio.sleep(0.01)
        log.append(change.tables)

    unsubscribe = db.on_change(invalidate)
    await aorm.create_item(Author(name="a"))
    assert log == [{"author"}]
    unsubscribe()
    await aorm.create_item(Author(name="b"))

    assert len(log) == 1


async def test_no_connection_is_held_while_callbacks_wait(db, aorm):
    held = []
    unsubscribe = db.on_change(lambda _: held.append(db.aengine.pool.checkedout()))

    await aorm.create_item(Author(name="a"))
    unsubscribe()

    assert held == [0]


async def test_a_failing_callback_is_logged_and_changes_nothing(db, aorm, caplog):
    def fail(_change):
        raise RuntimeError("cache is down")

    unsubscribe = db.on_change(fail)
    with caplog.at_level(logging.ERROR, logger="accel_db"):
        await aorm.create_item(Author(name="a"))
    unsubscribe()

    assert "cache is down" in caplog.text
    assert await aorm.count(select(Author)) == 1


async def test_sync_sessions_schedule_async_callbacks(db):
    done = asyncio.Event()

    async def invalidate(_change):
        done.set()

    unsubscribe = db.on_change(invalidate)
    with db.session() as session:
        Orm(session).create_item(Author(name="a"))
    async with asyncio.timeout(5):
        await done.wait()
    done.clear()

    def work():
        with db.session() as session:
            Orm(session).create_item(Author(name="b"))
        return done.is_set()

    # A thread waits, so that its response cannot be followed by a stale read.
    assert await asyncio.to_thread(work)
    unsubscribe()
    db.dispose()


def test_a_script_without_a_loop_waits_for_async_callbacks(db):
    seen = []

    async def invalidate(change):
        await asyncio.sleep(0)
        seen.append(change.tables)

    unsubscribe = db.on_change(invalidate)
    with db.session() as session:
        Orm(session).create_item(Author(name="a"))
    unsubscribe()
    db.dispose()

    assert seen == [{"author"}]


async def test_on_commit_is_called_once(db, aorm):
    log = []
    async with db.asession() as session:
        db.on_commit(session, lambda: log.append("first"))
        session.add(Author(name="a"))
        await session.commit()
        session.add(Author(name="b"))
        await session.commit()
        db.on_commit(session, lambda: log.append("never"))
        await session.rollback()
    with db.session() as session:
        db.on_commit(session, lambda: log.append("sync"))
        session.commit()

    assert log == ["first", "sync"]


async def test_on_commit_may_be_async(db):
    log = []

    async def later():
        log.append(await asyncio.sleep(0, "async"))

    async with db.atransaction() as session:
        db.on_commit(session, later)
        assert log == []
    await db.adispose()

    assert log == ["async"]


async def test_cascades_of_the_database_are_named(url):
    from sqlalchemy import Column, ForeignKey, Integer

    from accel_db import MainDatabaseManager

    manager = MainDatabaseManager(url, name=f"cascades {url}", DEV_STATUS=True)

    class Up(manager.Base):
        __tablename__ = "up"
        id = Column(Integer, primary_key=True)

    class Down(manager.Base):
        __tablename__ = "down"
        id = Column(Integer, primary_key=True)
        up_id = Column(ForeignKey("up.id", ondelete="CASCADE"))

    manager.create_all()
    found = []
    manager.on_change(found.append)
    async with manager.asession() as session:
        await OrmAsync(session).delete(delete(Up).where(Up.id == 1))
    await manager.adrop_all()
    await manager.adispose()

    assert found[0].tables == {"up", "down"}
    assert Down.__tablename__ == "down"


async def test_query_events(db, aorm):
    events = []
    unsubscribe = db.subscribe(events.append)
    await aorm.get_list(select(Author).where(Author.name == "secret"))
    await aorm.get_list(select(post_tag))
    unsubscribe()
    await aorm.get_list(select(Comment))

    queries = [e for e in events if isinstance(e, QueryExecuted)]
    assert [q.name for q in queries] == ["db.query"] * 2
    assert "FROM author" in queries[0].statement
    assert queries[0].duration > 0
    assert "secret" not in repr(queries)


async def test_failed_queries_are_events_too(db, aorm):
    await aorm.create_item(Author(name="a"))
    events = []
    unsubscribe = db.subscribe(events.append)
    with pytest.raises(Exception, match="is taken"):
        await aorm.create_item(Author(name="a"))
    unsubscribe()

    errors = [e.error for e in events if isinstance(e, QueryExecuted) and e.error]
    assert len(errors) == 1


async def test_slow_queries_are_reported(db, aorm, monkeypatch):
    monkeypatch.setattr(db._telemetry, "slow_query", 0.0)
    events = []
    unsubscribe = db.subscribe(events.append)
    await aorm.get_list(select(Author))
    unsubscribe()

    slow = [e for e in events if isinstance(e, SlowQuery)]
    assert slow[0].name == "db.slow_query"


async def test_a_failing_subscriber_never_reaches_the_caller(db, aorm, caplog):
    def fail(_event):
        raise RuntimeError("exporter is down")

    unsubscribe = db.subscribe(fail)
    await aorm.get_list(select(Author))
    unsubscribe()
    unsubscribe()

    assert "exporter is down" in caplog.text


async def test_emptied_tables_are_announced(db):
    seen = []
    unsubscribe = db.on_change(seen.append)

    db.clear_all(exclude_tables_name=["tag"])
    await db.aclear_all()
    unsubscribe()

    assert [("tag" in change.tables, "author" in change.tables) for change in seen] == [
        (False, True),
        (True, True),
    ]
    await db.adispose()
