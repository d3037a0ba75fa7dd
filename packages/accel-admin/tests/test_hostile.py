"""Requests that nobody sends by accident."""

import pytest
import sqlalchemy as sa
from flask import Flask

from accel_admin import (
    Account,
    DuplicateAccount,
    InvalidPath,
    MemoryStore,
    StoreUnavailable,
    WeakPassword,
    WeakSecretKey,
    admin_pattern,
)

from .models import Kinds, Person, db as manager
from .visitor import HASH, KEY, Visitor


@pytest.mark.parametrize(
    "query",
    [
        "endpoint=x",
        "self=x",
        "export_type=x",
        "_method=POST",
        "_external=1",
        "_scheme=javascript",
        "sort=99",
        "page=-5",
        "page_size=99999999999999999999",
        "flt0_0",
        "flt1_99999=1",
    ],
)
def test_no_argument_of_an_address_breaks_a_list(admin_on, query):
    page = admin_on.get(f"/admin/person/?{query}")

    assert page.status_code == 200
    assert "localhost" not in page.text


def test_a_search_for_too_many_words_is_refused(admin_on):
    page = admin_on.get("/admin/person/", query_string={"search": "a " * 1500})

    assert page.status_code == 400
    assert "Search for at most 50 words." in page.text


def test_a_look_at_the_head_of_the_login_is_no_failed_login(visitor):
    heads = {visitor.client.head("/admin/login").status_code for _ in range(25)}

    assert heads == {200}
    assert visitor.log_in().status_code == 303


def test_nobody_is_logged_out_without_a_form(admin):
    admin.client.head("/admin/logout")
    admin.client.options("/admin/logout")

    assert admin.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    "target", ["http://[", "/admin/%2e%2e/x", "/admin/..%2fx", "/admin/%2E./x"]
)
def test_an_address_that_browsers_read_otherwise_leads_nowhere(admin, target):
    answer = admin.get("/admin/login", query_string={"next": target})
    refused = admin.get("/admin/person/", query_string={"url": target})

    assert answer.location == "/admin/"
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("path", "status"), [("/admin/login", 413), ("/admin/person/new/", 303)]
)
def test_a_stranger_cannot_send_much(visitor, path, status):
    form = {"username": "x" * 2_000_000, "password": "", "csrf_token": ""}

    assert visitor.client.post(path, data=form).status_code == status


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 101 + "]" * 101])
def test_json_that_is_too_deep_is_refused_with_the_form(admin_on, text):
    page = admin_on.post("/admin/kinds/new/", {"settings": text})

    assert page.status_code == 200
    assert "This is nested more than 100 levels deep." in page.text


@pytest.mark.parametrize("value", [None, [], 0, {}])
def test_json_stays_what_it_was_when_a_row_is_saved(admin_on, db, value):
    with db.transaction() as session:
        session.add(Kinds(id=1, settings=sa.null() if value is None else value))
    page = admin_on.get("/admin/kinds/edit/?id=1").text
    shown = "" if value is None else str(value)

    admin_on.post("/admin/kinds/edit/?id=1", {"settings": shown})

    assert f'name="settings">\r\n{shown}</textarea>' in page
    with db.session() as session:
        assert session.get(Kinds, 1).settings == value


def test_a_secret_that_is_not_set_is_a_weak_one(sqlite):
    with pytest.raises(WeakSecretKey, match="at least 32 characters: 0"):
        admin_pattern(Flask("app"), None, HASH, "admin", [], manager)
    with pytest.raises(WeakPassword, match="fewer than 8 characters"):
        admin_pattern(Flask("app"), KEY, None, "admin", [], manager)


def test_a_malformed_hash_says_how_to_make_one():
    with pytest.raises(WeakPassword, match=r"PasswordHasher\(\).hash\(password\)"):
        admin_pattern(Flask("app"), KEY, "$argon2id$x", "admin", [], manager)


def test_a_name_belongs_to_one_account(build):
    twin = Account("admin", "another long password", frozenset({"reader"}))

    with pytest.raises(DuplicateAccount, match="two accounts 'admin'"):
        build(accounts=[twin], roles={"reader": {}})


@pytest.mark.parametrize("path", ["/", "", "/../x", "/a b", "/<tenant>", "/a;b"])
def test_a_panel_needs_a_folder_of_its_own(build, path):
    with pytest.raises(InvalidPath, match="must name a folder, such as `/admin`"):
        build(path=path)


def test_one_action_written_as_text_grants_no_other(build):
    clerk = Account("clerk", HASH, frozenset({"clerk"}))
    _, panel = build(accounts=[clerk], roles={"clerk": {Person: "undelete"}})

    may = panel._permissions.allow

    assert may(clerk, Person, "undelete")
    assert not may(clerk, Person, "delete")


def test_a_store_that_goes_away_during_a_login_is_said_to_be_down(sqlite, build):
    class Failing(MemoryStore):
        def count(self, key, ttl):
            raise StoreUnavailable

    visitor = Visitor(build(store=Failing())[0])

    answer = visitor.log_in(password="wrong")

    assert answer.status_code == 503
    assert "The store of sessions cannot be reached." in answer.text


HALF = r'{"a": "\ud800"}'


def add_half(db):
    """Write what accel-db refuses today, as another program may."""
    statement = "INSERT INTO kinds (id, active, settings) VALUES (1, false, :half)"
    with db.transaction() as session:
        session.execute(sa.text(statement), {"half": HALF})


@pytest.mark.parametrize("text", [HALF, r'{"\udfff": 1}', r'"a\ude00\ud83d"'])
def test_json_with_half_of_a_character_is_refused_with_the_form(admin_on, text):
    page = admin_on.post("/admin/kinds/new/", {"settings": text})

    assert page.status_code == 200
    assert "This holds half of a character" in page.text
    with manager.session() as session:
        assert session.scalars(sa.select(Kinds)).all() == []


def test_a_whole_character_may_be_written_as_two_escapes(admin_on):
    admin_on.post("/admin/kinds/new/", {"settings": r'"\ud83d\ude00"'})

    with manager.session() as session:
        assert session.scalars(sa.select(Kinds)).one().settings == "\U0001f600"


@pytest.mark.parametrize(
    "page", ["", "details/?id=1", "edit/?id=1", "export/csv/", "?search=%ED%A0%80"]
)
def test_half_of_a_character_that_is_there_breaks_no_page(admin_on, db, page):
    add_half(db)

    answer = admin_on.get(f"/admin/kinds/{page}")

    assert answer.status_code == 200
    assert r"\ud800" in answer.text


def test_half_of_a_character_is_mended_in_the_form(admin_on, db):
    events = []
    (panel,) = admin_on.client.application.extensions["admin"]
    unsubscribe = panel.subscribe(events.append)
    add_half(db)

    admin_on.post("/admin/kinds/edit/?id=1", {"settings": '{"a": "b"}'})
    unsubscribe()

    with manager.session() as session:
        assert session.get(Kinds, 1).settings == {"a": "b"}
    assert ("settings", r'{"a": "\ud800"}', '{"a": "b"}') in events[-1].changes


def test_half_of_a_character_in_a_text_stays_an_escape(admin_on):
    body = f"csrf_token={admin_on.token()}&name=a%ED%A0%80b"
    kind = "application/x-www-form-urlencoded"

    admin_on.client.post("/admin/person/new/", data=body, content_type=kind)

    assert "a%ED%A0%80b" in admin_on.get("/admin/person/").text
