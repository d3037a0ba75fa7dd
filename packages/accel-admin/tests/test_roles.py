"""Who may do what."""

import pytest
import sqlalchemy as sa
from flask_admin.actions import action

from accel_admin import Account, ModelView, UnknownRole

from .models import Label, Note, Person, db as manager
from .visitor import HASH, Visitor

ROLES = {
    "reader": {Person: {"read"}},
    "writer": {Note: {"read", "create", "edit"}},
    "exporter": {"*": {"read", "export"}, Label: ()},
}


class PersonView(ModelView):
    inline_models = (Note,)


class Ours(ModelView):
    def get_query(self):
        return super().get_query().filter(Person.name == "ours")

    def get_count_query(self):
        return super().get_count_query().filter(Person.name == "ours")

    @action("rename", "Rename")
    def rename(self, ids):
        for key in ids:
            self.get_one(key).name = "renamed"
        self.session.commit()


@pytest.fixture
def as_role(sqlite, build):
    with manager.transaction() as session:
        session.add(Person(id=1, name="Ann"))

    def as_role(*roles):
        account = Account("eve", HASH, frozenset(roles))
        options = {"accounts": [account], "roles": ROLES}
        visitor = Visitor(build(views={Person: PersonView}, **options)[0])
        visitor.log_in("eve")
        return visitor

    return as_role


READER = [
    ("GET", "", 200),
    ("GET", "person/", 200),
    ("GET", "person/details/?id=1", 200),
    ("GET", "person/edit/?id=1", 403),
    ("POST", "person/edit/?id=1", 403),
    ("GET", "person/new/", 403),
    ("POST", "person/new/", 403),
    ("POST", "person/delete/", 403),
    ("POST", "person/ajax/update/", 403),
    ("GET", "person/export/csv/", 403),
    ("GET", "note/", 403),
    ("GET", "note/new/", 403),
    ("GET", "note/ajax/lookup/?name=author", 403),
    ("GET", "label/", 403),
]


@pytest.mark.parametrize(("method", "path", "status"), READER)
def test_a_reader_cannot_reach_more_by_address(as_role, method, path, status):
    visitor = as_role("reader")

    ask = visitor.get if method == "GET" else visitor.post
    answer = ask(f"/admin/{path}")

    assert answer.status_code == status


def test_a_reader_cannot_delete_by_an_action(as_role):
    visitor = as_role("reader")

    visitor.post("/admin/person/action/", {"action": "delete", "rowid": "1"})

    with manager.session() as session:
        assert session.get(Person, 1) is not None


def test_a_reader_sees_only_what_works(as_role):
    visitor = as_role("reader")

    home, page = visitor.get("/admin/").text, visitor.get("/admin/person/").text

    assert "/admin/person/" in home
    assert "/admin/note/" not in home
    assert not any(x in page for x in ("/new/", "/edit/", "/delete/", "/export/"))
    assert "With selected" not in page


def test_a_writer_sees_no_rows_of_other_models(as_role):
    visitor = as_role("writer")

    looked_up = visitor.get("/admin/note/ajax/lookup/?name=author")

    assert looked_up.status_code == 403
    assert visitor.get("/admin/note/new/").status_code == 200


def test_roles_add_up(as_role):
    visitor = as_role("reader", "writer")

    answers = [visitor.get(f"/admin/{name}/") for name in ("person", "note", "label")]

    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert visitor.get("/admin/note/ajax/lookup/?name=author").status_code == 200


def test_a_star_stands_for_the_other_models(as_role):
    visitor = as_role("exporter")

    statuses = [
        visitor.get(f"/admin/{path}").status_code
        for path in ("seat/", "seat/export/csv/", "seat/new/", "label/")
    ]

    assert statuses == [200, 200, 403, 403]


def test_an_inline_form_needs_the_rights_on_the_child(sqlite, build):
    roles = {"editor": {Person: {"read", "edit"}, Note: {"read", "edit"}}}
    account = Account("eve", HASH, frozenset({"editor"}))
    with manager.transaction() as session:
        session.add(Person(id=1, name="Ann", notes=[Note(text="Kept")]))
    views = {Person: PersonView}
    visitor = Visitor(build(views=views, accounts=[account], roles=roles)[0])
    visitor.log_in("eve")

    page = visitor.get("/admin/person/edit/?id=1").text
    visitor.post("/admin/person/edit/?id=1", {"name": "Ann", "notes-0-text": "Mine"})

    with manager.session() as session:
        assert [n.text for n in session.get(Person, 1).notes] == ["Kept"]
    assert "notes" not in page


def test_a_switch_of_the_view_binds_everybody(sqlite, build):
    class Frozen(ModelView):
        can_delete = False
        can_edit = False

    visitor = Visitor(build(views={Person: Frozen})[0])
    visitor.log_in()

    answers = [
        visitor.get("/admin/person/edit/?id=1"),
        visitor.post("/admin/person/delete/", {"id": "1"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]


def test_a_page_of_your_own_needs_its_own_name(sqlite, build):
    from flask_admin import expose

    class Special(ModelView):
        @expose("/special/")
        def special(self):
            return "special"

    roles = {"a": {Person: {"read"}}, "b": {Person: {"read", "special"}}}
    accounts = [Account(name, HASH, frozenset({name})) for name in "ab"]
    app, _ = build(views={Person: Special}, accounts=accounts, roles=roles)
    statuses = []
    for name in "ab":
        visitor = Visitor(app)
        visitor.log_in(name)
        statuses.append(visitor.get("/admin/person/special/").status_code)

    assert statuses == [403, 200]


def test_an_unknown_role_is_refused(build):
    with pytest.raises(UnknownRole, match="the role 'boss', which is not in"):
        build(accounts=[Account("eve", HASH, frozenset({"boss"}))])


def test_no_page_reaches_what_the_query_of_a_view_leaves_out(db, build):
    with manager.transaction() as session:
        session.add_all([Person(id=1, name="ours"), Person(id=2, name="theirs")])
    visitor = Visitor(build(views={Person: Ours})[0])
    visitor.log_in()
    act = {"action": "rename", "rowid": "2"}
    delete = {"action": "delete", "rowid": ["1", "2"]}

    answers = [
        visitor.get("/admin/person/details/?id=2"),
        visitor.post("/admin/person/action/", act),
        visitor.post("/admin/person/action/", delete),
    ]
    visitor.post("/admin/person/edit/?id=2", {"name": "edited"})
    visitor.post("/admin/person/delete/", {"id": "2"})

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    with manager.session() as session:
        names = session.scalars(sa.select(Person.name).order_by(Person.id)).all()
    assert names == ["ours", "theirs"]
    assert "theirs" not in visitor.get("/admin/person/").text
    assert visitor.get("/admin/person/details/?id=1").status_code == 200
