"""Creating, reading, editing and deleting rows of every kind."""

import datetime as dt
import decimal
import json
import re
import uuid

import pytest
import sqlalchemy as sa

from accel_admin import ModelView

from .models import (
    Badge,
    Clumsy,
    Kinds,
    Label,
    Mood,
    Note,
    Paper,
    Person,
    Seat,
    Stage,
    db as manager,
)
from .visitor import Visitor

UNKNOWN = str(uuid.uuid4())


def rows(model):
    with manager.session() as session:
        return session.scalars(sa.select(model)).all()


def add(*instances):
    with manager.transaction() as session:
        session.add_all(instances)
    return instances[0]


@pytest.mark.parametrize(
    "name", ["person", "note", "label", "seat", "kinds", "clumsy", "paper"]
)
def test_every_model_has_pages(admin_on, name):
    pages = [admin_on.get(f"/admin/{name}/{page}") for page in ("", "new/")]

    assert [page.status_code for page in pages] == [200, 200]


def test_a_row_is_created_edited_and_deleted(admin_on):
    created = admin_on.post("/admin/person/new/", {"name": "Ann", "email": "a@x"})
    (ann,) = rows(Person)
    edited = admin_on.post(
        f"/admin/person/edit/?id={ann.id}", {"name": "Anna", "email": ""}
    )
    (anna,) = rows(Person)
    listed = admin_on.get("/admin/person/").text
    deleted = admin_on.post("/admin/person/delete/", {"id": str(ann.id)})

    assert created.location == "/admin/person/"
    assert edited.location == "/admin/person/"
    assert (ann.name, anna.name, anna.email) == ("Ann", "Anna", None)
    assert "Anna" in listed
    assert deleted.location == "/admin/person/"
    assert rows(Person) == []


def test_a_row_with_a_uuid_is_created_edited_shown_and_deleted(admin_on):
    admin_on.post("/admin/note/new/", {"text": "One"})
    (note,) = rows(Note)
    admin_on.post(f"/admin/note/edit/?id={note.uid}", {"text": "Two"})
    shown = admin_on.get(f"/admin/note/details/?id={note.uid}").text
    admin_on.post("/admin/note/delete/", {"id": str(note.uid)})

    assert "Two" in shown
    assert str(note.uid) in shown
    assert rows(Note) == []


def test_several_uuid_rows_are_deleted_by_the_action(admin_on):
    note = add(Note(text="One"), Note(text="Two"), Note(text="Three"))
    kept, *gone = rows(Note)

    form = {"action": "delete", "rowid": [str(x.uid) for x in gone]}
    admin_on.post("/admin/note/action/", form)

    assert note is not None
    assert [x.uid for x in rows(Note)] == [kept.uid]
    assert admin_on.flashes() == ["2 deleted."]


def test_the_action_deletes_all_or_nothing(admin_on):
    add(Note(text="One"))
    (note,) = rows(Note)

    form = {"action": "delete", "rowid": [str(note.uid), UNKNOWN]}
    answer = admin_on.post("/admin/note/action/", form)

    assert answer.status_code == 404
    assert len(rows(Note)) == 1


def test_a_composite_key_with_hostile_characters_works(admin_on):
    room = "a,b/c %?&'\"<"
    admin_on.post("/admin/seat/new/", {"room": room, "number": "7", "comment": "x"})
    page = admin_on.get("/admin/seat/").text
    edit = re.search(r'href="(/admin/seat/edit/[^"]+)"', page)[1].replace("&amp;", "&")
    edited = admin_on.post(edit, {"comment": "window"})
    (seat,) = rows(Seat)

    assert edited.status_code == 302
    assert (seat.room, seat.number, seat.comment) == (room, 7, "window")


def test_a_typed_key_is_asked_for_once_and_never_changed(admin_on):
    admin_on.post("/admin/label/new/", {"code": "red/1", "title": "Red"})
    admin_on.post("/admin/label/edit/?id=red/1", {"code": "blue", "title": "Rot"})
    (label,) = rows(Label)

    assert (label.code, label.title) == ("red/1", "Rot")


@pytest.mark.parametrize(
    "path",
    [
        "person/edit/?id=abc",
        "person/edit/?id=1e3",
        "person/edit/?id=" + "9" * 30,
        "person/edit/?id=7",
        "person/edit/?id=1&id=2",
        "person/details/?id=%00",
        "note/edit/?id=1",
        "note/details/?id=" + UNKNOWN,
        "note/details/?id=" + "a" * 5000,
        "label/edit/?id=%00",
        "label/edit/?id=%FF%FE",
        "seat/edit/?id=a",
        "seat/edit/?id=a,b",
        "seat/edit/?id=a&id=b",
        "label/edit/?id=a&id=b",
        "seat/edit/?id=a,1,2",
    ],
)
def test_a_malformed_or_unknown_key_is_not_found(admin_on, path):
    assert admin_on.get(f"/admin/{path}").status_code == 404


def test_deleting_a_malformed_key_is_not_found(admin_on):
    answer = admin_on.post("/admin/note/delete/", {"id": "' OR 1=1 --"})

    assert answer.status_code == 404


KINDS = {
    "mood": "sad",
    "stage": "second",
    "size": "l",
    "settings": '{"a": [1, "ü"]}',
    "price": "12.50",
    "weight": "1.5",
    "words": "one,two",
    "active": "y",
    "day": "2026-02-03",
    "hour": "04:05:06",
    "moment": "2026-02-03T04:05:06",
    "local": "2026-02-03T04:05",
    "ref": "12345678-1234-5678-1234-567812345678",
}


def test_every_kind_of_column_is_written_and_read_back(admin_on):
    answer = admin_on.post("/admin/kinds/new/", KINDS)
    (row,) = rows(Kinds)
    form = admin_on.get(f"/admin/kinds/edit/?id={row.id}").text
    admin_on.post(f"/admin/kinds/edit/?id={row.id}", KINDS | {"price": "13"})
    (again,) = rows(Kinds)

    assert answer.status_code == 302
    assert row.mood is Mood.sad
    assert (row.stage, row.size) == (Stage.second, "l")
    assert row.settings == {"a": [1, "ü"]}
    assert row.price == decimal.Decimal("12.50")
    assert row.weight == 1.5
    assert row.words == ["one", "two"]
    assert row.active is True
    assert row.day == dt.date(2026, 2, 3)
    assert row.hour == dt.time(4, 5, 6)
    assert row.moment == dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    assert row.local == dt.datetime(2026, 2, 3, 4, 5)  # noqa: DTZ001  # no zone is the point
    assert row.ref == uuid.UUID(KINDS["ref"])
    assert 'value="2026-02-03T04:05:06"' in form
    assert (again.price, again.moment, again.settings) == (13, row.moment, row.settings)


def test_empty_fields_of_every_kind_are_null(admin_on):
    answer = admin_on.post("/admin/kinds/new/", dict.fromkeys(KINDS, ""))
    (row,) = rows(Kinds)

    assert answer.status_code == 302
    assert [getattr(row, k) for k in KINDS if k not in {"active", "words"}] == (
        [None] * 11
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mood", "angry"),
        ("stage", "2nd"),
        ("size", "m"),
        ("settings", "{"),
        ("price", "abc"),
        ("price", "NaN"),
        ("price", "1e400"),
        ("weight", "x"),
        ("day", "2026-02-30"),
        ("hour", "25:00"),
        ("moment", "yesterday"),
        ("ref", "12"),
    ],
)
def test_a_value_that_is_none_is_refused_with_the_form(admin_on, field, value):
    answer = admin_on.post("/admin/kinds/new/", KINDS | {field: value})

    assert answer.status_code == 200
    assert rows(Kinds) == []


@pytest.mark.parametrize("value", ["9" * 30, "-" + "9" * 30])
def test_a_number_that_no_column_holds_is_refused(admin_on, value):
    answer = admin_on.post("/admin/seat/new/", {"room": "a", "number": value})

    assert answer.status_code == 200
    assert rows(Seat) == []


def test_a_nul_character_is_refused_or_stored_but_no_error(admin_on):
    answer = admin_on.post("/admin/person/new/", {"name": "a\x00b"})

    assert answer.status_code in {200, 302}


def test_columns_named_like_parts_of_a_form_work(admin_on):
    form = {
        "column_meta": "m",
        "column_data": "d",
        "column_errors": "e",
        "column_validate": "v",
        "column_url": "https://example.org/",
    }
    admin_on.post("/admin/clumsy/new/", form)
    (row,) = rows(Clumsy)
    page = admin_on.get(f"/admin/clumsy/edit/?id={row.id}").text
    admin_on.post(f"/admin/clumsy/edit/?id={row.id}", form | {"column_meta": "M"})
    (again,) = rows(Clumsy)

    assert (row.meta, row.data, row.errors, row.validate) == ("m", "d", "e", "v")
    assert row.url == "https://example.org/"
    assert 'name="column_meta"' in page
    assert 'value="m"' in page
    assert again.meta == "M"


def test_a_duplicate_is_explained_without_the_statement(admin_on):
    add(Person(name="Ann", email="a@x", password_hash="TOPSECRET"))
    with manager.session() as session:
        session.execute(sa.text("SELECT 1"))

    answer = admin_on.post("/admin/person/new/", {"name": "Bob", "email": "a@x"})

    assert answer.status_code == 200
    assert "Already exists" in answer.text
    assert len(rows(Person)) == 1


def test_a_constraint_is_explained_without_the_statement(admin_on):
    add(Label(code="red"), Note(text="One"))
    with manager.transaction() as session:
        note = session.scalars(sa.select(Note)).one()
        note.labels.append(session.get(Label, "red"))

    answer = admin_on.post("/admin/label/delete/", {"id": "red"})

    (message,) = admin_on.flashes()
    assert answer.status_code == 302
    assert message.startswith("The database refuses this:")
    assert "DELETE" not in message
    assert len(rows(Label)) == 1


def test_relations_are_set_and_cleared(admin_on):
    add(Person(name="Ann"), Label(code="red,1"), Label(code="blue"))
    (ann,) = rows(Person)
    form = {"text": "One", "author": str(ann.id), "labels": "red%2C1,blue"}
    admin_on.post("/admin/note/new/", form)
    with manager.session() as session:
        note = session.scalars(sa.select(Note)).one()
        before = (note.author.name, sorted(x.code for x in note.labels))
    admin_on.post(
        f"/admin/note/edit/?id={note.uid}", {"text": "One", "author": "", "labels": ""}
    )
    with manager.session() as session:
        note = session.scalars(sa.select(Note)).one()
        after = (note.author, note.labels)

    assert before == ("Ann", ["blue", "red,1"])
    assert after == (None, [])


def test_an_unknown_relation_is_refused(admin_on):
    answer = admin_on.post("/admin/note/new/", {"text": "One", "author": "999"})

    assert answer.status_code == 200
    assert "Not a valid choice" in answer.text
    assert rows(Note) == []


def test_a_soft_deleted_row_stays_in_the_table(admin_on):
    admin_on.post("/admin/paper/new/", {"title": "One"})
    (paper,) = rows(Paper)
    admin_on.post("/admin/paper/delete/", {"id": str(paper.id)})
    with manager.session() as session:
        everything = sa.select(Paper).execution_options(include_deleted=True)
        marked = session.scalars(everything).one()

    assert rows(Paper) == []
    assert marked.deleted_at is not None
    assert (paper.created_by, marked.updated_by) == ("admin", "admin")


def test_what_the_form_does_not_show_cannot_be_set(admin_on):
    form = {"name": "Ann", "password_hash": "mine", "api_key": "mine", "id": "42"}
    admin_on.post("/admin/person/new/", form)
    (ann,) = rows(Person)

    assert (ann.password_hash, ann.api_key) == ("", None)
    assert ann.id != 42


def test_a_cell_is_edited_in_the_list(sqlite, build):
    class PersonView(ModelView):
        column_editable_list = ("name",)

    visitor = Visitor(build(views={Person: PersonView})[0])
    visitor.log_in()
    add(Person(id=1, name="Ann"))

    page = visitor.get("/admin/person/").text
    form = {"list_form_pk": "1", "name": "Anna"}
    answer = visitor.post("/admin/person/ajax/update/", form)

    assert 'data-role="x-editable"' in page
    assert "bootstrap4-editable.min.js" in page
    assert answer.text == "Record was successfully saved."
    assert [person.name for person in rows(Person)] == ["Anna"]


def test_settings_are_shown_as_json(admin_on):
    add(Kinds(settings={"a": 1}, words=["x"], blob=b"123", active=True))
    (row,) = rows(Kinds)

    page = admin_on.get(f"/admin/kinds/details/?id={row.id}").text

    assert json.dumps({"a": 1}).replace('"', "&#34;") in page
    assert "3 bytes" in page


def test_a_key_that_a_relation_decides_is_chosen_once(admin_on, db):
    with db.transaction() as session:
        session.add_all([Person(id=1, name="Ann"), Person(id=2, name="Bob")])
    admin_on.post("/admin/badge/new/", {"person": "1", "color": "red"})

    page = admin_on.get("/admin/badge/edit/?id=1").text
    admin_on.post("/admin/badge/edit/?id=1", {"person": "2", "color": "blue"})

    assert 'name="person"' not in page
    with db.session() as session:
        badge = session.scalars(sa.select(Badge)).one()
        assert (badge.person_id, badge.color) == (1, "blue")


def test_a_relation_that_only_shows_leaves_its_key_to_the_form(admin_on, db):
    with db.transaction() as session:
        session.add(Person(id=1, name="Ann"))

    admin_on.post("/admin/visit/new/", {"host_id": "1"})

    assert admin_on.flashes() == ["Record was successfully created."]
    assert "Ann" in admin_on.get("/admin/visit/").text
