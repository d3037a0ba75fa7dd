"""Who changed what, and who is told."""

import dataclasses
import logging
import threading

import pytest
import sqlalchemy as sa

from accel_admin import AuditEvent, ModelView

from .models import Label, Note, Person, db as manager
from .visitor import PASSWORD, Visitor


@pytest.fixture
def events(panel):
    found = []
    leave = panel.subscribe(found.append)
    yield found
    leave()


def test_logins_and_logouts_are_told(visitor, events):
    visitor.log_in(password="wrong")
    visitor.log_in()
    visitor.post("/admin/logout")

    assert [(e.name, e.actor, e.address) for e in events] == [
        ("login_failed", "admin", "127.0.0.1"),
        ("login", "admin", "127.0.0.1"),
        ("logout", "admin", "127.0.0.1"),
    ]


def test_changes_are_told_with_old_and_new_values(events, admin):
    admin.post("/admin/person/new/", {"name": "Ann", "joined": "2026-01-01T00:00:00"})
    with manager.session() as session:
        key = str(session.scalars(sa.select(Person.id)).one())
    form = {"name": "Anna", "email": "", "joined": "2026-01-01T00:00:00"}
    admin.post(f"/admin/person/edit/?id={key}", form)
    admin.get("/admin/person/export/csv/")
    admin.post("/admin/person/delete/", {"id": key})

    _, created, edited, exported, deleted = events
    assert created.name == "create"
    assert ("name", "", "Ann") in created.changes
    assert edited == AuditEvent(
        "edit",
        "admin",
        "127.0.0.1",
        "Person",
        key,
        (("name", "Ann", "Anna"),),
    )
    assert (exported.name, exported.model) == ("export", "Person")
    assert (deleted.name, deleted.key) == ("delete", key)


def test_relations_are_told_by_name(events, admin):
    with manager.transaction() as session:
        session.add_all([Person(id=1, name="Ann"), Label(code="red")])

    form = {"text": "One", "author": "1", "labels": "red"}
    admin.post("/admin/note/new/", form)

    changes = {name: after for name, _, after in events[-1].changes}
    assert changes["author"] == "Ann"
    assert changes["labels"] == "red"


def test_secrets_are_never_told(sqlite, build):
    class PersonView(ModelView):
        form_columns = ("name", "password_hash", "api_key")

    app, panel = build(views={Person: PersonView})
    events = []
    panel.subscribe(events.append)
    visitor = Visitor(app)
    visitor.log_in()

    form = {"name": "Ann", "password_hash": "TOPSECRET", "api_key": "TOPSECRET"}
    visitor.post("/admin/person/new/", form)

    told = {name: after for name, _, after in events[-1].changes}
    assert (told["password_hash"], told["api_key"]) == ("***", "***")
    assert "TOPSECRET" not in repr(events)
    assert PASSWORD not in repr(events)


def test_what_was_refused_is_not_told(events, admin):
    with manager.transaction() as session:
        session.add_all([Note(text="One", labels=[Label(code="red")])])
    before = len(events)

    admin.post("/admin/label/delete/", {"id": "red"})

    assert len(events) == before


def test_a_subscriber_may_fail_and_leave(panel, events, admin, caplog):
    def fail(event):
        raise ValueError("broken subscriber")

    leave = panel.subscribe(fail)
    before = len(events)
    answer = admin.post("/admin/person/new/", {"name": "Ann"})
    leave()
    leave()
    admin.post("/admin/person/new/", {"name": "Bob"})

    assert answer.status_code == 302
    assert len(events) == before + 2
    assert caplog.text.count("A subscriber of the audit failed") == 1


def test_the_log_tells_who_did_what(admin, caplog):
    with caplog.at_level(logging.INFO, "accel_admin.audit"):
        admin.post("/admin/person/new/", {"name": "Ann"})

    assert "create by 'admin': Person" in caplog.text


def test_a_name_cannot_forge_lines_of_the_log(visitor, caplog):
    with caplog.at_level(logging.INFO, "accel_admin.audit"):
        visitor.log_in("x\nlogin by 'admin'", "wrong")

    assert "\nlogin by" not in caplog.text


def test_an_event_is_frozen():
    event = AuditEvent("login", "admin")

    with pytest.raises(dataclasses.FrozenInstanceError):
        event.name = "x"


# Caches


class Cache:
    def __init__(self, *, broken=False):
        self.tags = []
        self.threads = set()
        self.broken = broken

    async def invalidate(self, tags):
        self.threads.add(threading.current_thread().name)
        if self.broken:
            raise OSError("no cache")
        self.tags.append(sorted(tags))


def test_a_cache_forgets_what_was_written(sqlite, build):
    cache = Cache()
    visitor = Visitor(build(cache=cache)[0])
    visitor.log_in()

    visitor.post("/admin/label/new/", {"code": "red", "title": "Red"})
    visitor.post("/admin/label/edit/?id=red", {"title": "Rot"})
    visitor.post("/admin/label/new/", {"code": "red", "title": "Red"})
    visitor.post("/admin/label/delete/", {"id": "red"})

    assert cache.tags == [["labels", "labels:red"]] * 2 + [cache.tags[-1]]
    assert "labels:red" in cache.tags[-1]
    assert len(cache.threads) == 1


def test_a_cache_is_not_told_of_what_others_write(sqlite, build):
    cache = Cache()
    build(cache=cache)

    with manager.transaction() as session:
        session.add(Label(code="blue"))

    assert cache.tags == []


def test_a_cache_is_not_told_of_what_another_panel_writes(sqlite, build):
    cache = Cache()
    build(cache=cache)
    visitor = Visitor(build()[0])
    visitor.log_in()

    visitor.post("/admin/label/new/", {"code": "red", "title": "Red"})

    assert cache.tags == []


def test_a_cache_that_is_down_stops_no_write(sqlite, build, caplog):
    visitor = Visitor(build(cache=Cache(broken=True))[0])
    visitor.log_in()

    answer = visitor.post("/admin/label/new/", {"code": "red", "title": "Red"})

    assert answer.status_code == 302
    assert "The cache was not told" in caplog.text


def test_plain_writes_announce_their_changes(admin_on, db):
    changes = []
    leave = db.on_change(lambda change: changes.append(sorted(change.tags)))

    admin_on.post("/admin/label/new/", {"code": "red", "title": "Red"})
    leave()

    assert changes == [["labels", "labels:red"]]
