"""Rows edited in the form of their parent."""

import re

import pytest
import sqlalchemy as sa

from accel_admin import ModelView

from .models import Note, Person, db as manager
from .visitor import Visitor


class PersonView(ModelView):
    inline_models = (Note,)


@pytest.fixture
def editor(db, build):
    with manager.transaction() as session:
        ann = Person(id=1, name="Ann", notes=[Note(text="A"), Note(text="B")])
        session.add_all([ann, Person(id=2, name="Bob", notes=[Note(text="Bob's")])])
    visitor = Visitor(build(views={Person: PersonView})[0])
    visitor.log_in()
    return visitor


def notes():
    with manager.session() as session:
        rows = session.execute(sa.select(Note.author_id, Note.text))
        return sorted((author or 0, text) for author, text in rows)


def uids():
    with manager.session() as session:
        return {
            text: str(uid)
            for uid, text in session.execute(sa.select(Note.uid, Note.text))
        }


def fields(page):
    return set(re.findall(r'name="(notes-0-[a-z]+)"', page))


def test_children_are_changed_added_and_deleted(editor):
    key = uids()
    form = {
        "name": "Ann",
        "notes-0-uid": key["A"],
        "notes-0-text": "A, changed",
        "notes-1-uid": key["B"],
        "notes-1-text": "B",
        "del-notes-1": "on",
        "notes-2-uid": "",
        "notes-2-text": "C",
    }

    answer = editor.post("/admin/person/edit/?id=1", form)

    assert answer.status_code == 302
    assert notes() == [(1, "A, changed"), (1, "C"), (2, "Bob's")]


def test_a_child_of_somebody_else_is_not_taken(editor):
    key = uids()
    form = {"name": "Ann", "notes-0-uid": key["Bob's"], "notes-0-text": "Stolen"}

    editor.post("/admin/person/edit/?id=1", form)

    assert (2, "Bob's") in notes()


def test_a_child_is_not_changed_without_the_token(editor):
    key = uids()
    form = {"name": "Ann", "notes-0-uid": key["A"], "notes-0-text": "Forged"}

    answer = editor.client.post("/admin/person/edit/?id=1", data=form)

    assert answer.status_code == 403
    assert notes() == [(1, "A"), (1, "B"), (2, "Bob's")]


def test_a_child_takes_no_field_that_the_form_does_not_show(editor):
    key = uids()
    form = {
        "name": "Ann",
        "notes-0-uid": key["A"],
        "notes-0-text": "A",
        "notes-0-author": "2",
        "notes-0-author_id": "2",
        "notes-1-uid": key["B"],
        "notes-1-text": "B",
    }

    editor.post("/admin/person/edit/?id=1", form)

    assert notes() == [(1, "A"), (1, "B"), (2, "Bob's")]


def test_a_form_shows_no_secret_and_no_key_to_the_parent(editor):
    page = editor.get("/admin/person/edit/?id=1").text

    assert {"notes-0-uid", "notes-0-text"} <= fields(page)
    assert not {"notes-0-author", "notes-0-authorid"} & fields(page)


def test_the_template_for_new_children_runs_no_code(editor):
    page = editor.get("/admin/person/new/").text

    assert 'data-add-inline="notes"' in page
    assert "onclick" not in page


def test_an_invalid_child_stops_the_parent(editor):
    form = {"name": "Changed", "notes-0-uid": "", "notes-0-text": ""}

    answer = editor.post("/admin/person/edit/?id=1", form)

    assert answer.status_code == 200
    with manager.session() as session:
        assert session.get(Person, 1).name == "Ann"


def test_what_happens_to_children_is_told(editor):
    key, events = uids(), []
    (panel,) = editor.client.application.extensions["admin"]
    panel.subscribe(events.append)
    form = {
        "name": "Ann",
        "notes-0-uid": key["A"],
        "notes-0-text": "A, changed",
        "notes-1-uid": key["B"],
        "notes-1-text": "B",
        "del-notes-1": "on",
        "notes-2-uid": "",
        "notes-2-text": "C",
    }

    editor.post("/admin/person/edit/?id=1", form)

    told = {(e.name, e.model, e.key): {n: a for n, _, a in e.changes} for e in events}
    created = uids()["C"]
    assert set(told) == {
        ("edit", "Person", "1"),
        ("edit", "Note", key["A"]),
        ("delete", "Note", key["B"]),
        ("create", "Note", created),
    }
    assert told["edit", "Note", key["A"]] == {"text": "A, changed"}
    assert told["create", "Note", created]["text"] == "C"
