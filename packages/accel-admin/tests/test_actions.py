"""Actions that a view adds, and the keys that they get."""

import logging
import re
import uuid

import pytest
import sqlalchemy as sa
from flask import flash
from flask_admin.actions import action

from accel_admin import Account, ModelView

from .models import Label, Note, Paper, Person, Seat, db as manager
from .visitor import HASH, Visitor

ONE, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
got = []


class Marking(ModelView):
    """Writes as the documentation of Flask-Admin does."""

    @action("mark", "Mark", "Mark these?")
    def mark(self, ids):
        got[:] = ids
        column = sa.inspect(self.model).primary_key[0]
        for row in self.session.query(self.model).filter(column.in_(ids)):
            row.name = row.text = row.title = "marked"
        self.session.commit()
        flash(f"{len(ids)} marked.", "success")

    @action("look", "Look")
    def look(self, ids):
        got[:] = [self.get_one(key) for key in ids]


MODELS = (Person, Note, Label, Paper, Seat)


@pytest.fixture
def marker(db, build):
    with manager.transaction() as session:
        session.add_all(
            [
                *(Person(id=n, name="Ann") for n in (1, 2, 3)),
                *(Note(uid=key, text="One") for key in (ONE, OTHER)),
                *(Label(code=code, title="Red") for code in ("7", "a,b")),
                Seat(room="a,b", number=7),
                Paper(id=1, title="One"),
            ]
        )
    visitor = Visitor(build(views=dict.fromkeys(MODELS, Marking))[0])
    visitor.log_in()
    return visitor


def act(visitor, endpoint, name, *keys):
    form = {"action": name, "rowid": list(keys)}
    return visitor.post(f"/admin/{endpoint}/action/", form)


@pytest.mark.parametrize(
    ("model", "keys"),
    [(Person, [1, 3]), (Note, [ONE, OTHER]), (Label, ["7", "a,b"])],
)
def test_an_action_gets_keys_that_the_database_compares(marker, model, keys):
    answer = act(marker, model.__name__.lower(), "mark", *map(str, keys))

    assert answer.status_code == 302
    assert got == keys
    assert marker.flashes() == [f"{len(keys)} marked."]


def test_only_the_selected_rows_change(marker):
    act(marker, "person", "mark", "1", "3")

    with manager.session() as session:
        names = session.scalars(sa.select(Person.name).order_by(Person.id)).all()
    assert names == ["marked", "Ann", "marked"]


def test_a_composite_key_is_a_tuple(marker):
    page = marker.get("/admin/seat/").text
    (key,) = re.findall(r'name="rowid"[^>]*value="([^"]+)"', page)

    act(marker, "seat", "look", key)

    assert [(seat.room, seat.number) for seat in got] == [("a,b", 7)]


@pytest.mark.parametrize(
    ("endpoint", "key"), [("note", str(ONE)), ("person", "1"), ("label", "a,b")]
)
def test_an_action_finds_its_rows_one_by_one(marker, endpoint, key):
    answer = act(marker, endpoint, "look", key)

    assert answer.status_code == 302
    assert len(got) == 1


@pytest.mark.parametrize("key", ["abc", "1e3", "", "9" * 30, "\x00"])
def test_no_action_runs_on_a_malformed_key(marker, key):
    got[:] = ["untouched"]

    answer = act(marker, "person", "mark", "1", key)

    assert answer.status_code == 404
    assert got == ["untouched"]


def test_who_ran_an_action_is_the_author_of_what_it_wrote(marker):
    act(marker, "paper", "mark", "1")

    with manager.session() as session:
        assert session.get(Paper, 1).updated_by == "admin"


def test_the_audit_tells_who_ran_an_action_on_which_rows(marker, caplog):
    with caplog.at_level(logging.INFO, "accel_admin.audit"):
        act(marker, "label", "mark", "7", "a,b")
        act(marker, "seat", "look", "a%2Cb,7")
        act(marker, "person", "delete", "1", "3")
        act(marker, "person", "look", "9")

    assert [record.getMessage() for record in caplog.records] == [
        "mark by 'admin': Label '7'",
        "mark by 'admin': Label 'a,b'",
        "look by 'admin': Seat 'a%2Cb,7'",
        "delete by 'admin': Person '1'",
        "delete by 'admin': Person '3'",
    ]


def test_an_action_needs_the_right_of_its_name(db, build):
    clerk = Account("clerk", HASH, frozenset({"clerk"}))
    options = {"accounts": [clerk], "roles": {"clerk": {Person: {"read"}}}}
    visitor = Visitor(build(views={Person: Marking}, **options)[0])
    visitor.log_in("clerk")
    got[:] = ["untouched"]

    act(visitor, "person", "mark", "1")

    assert got == ["untouched"]
