"""Logging in and out."""

import re

import pytest
from flask import Flask

from accel_admin import Account, WeakPassword, WeakSecretKey, admin_pattern

from .models import Person, db as manager
from .visitor import KEY, PASSWORD, Visitor


def test_the_panel_asks_for_a_login(visitor):
    answers = [visitor.get(p) for p in ("/admin/", "/admin/person/?page=2", "/login")]

    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert [answer.location for answer in answers] == [
        "/admin/login?next=/admin/",
        "/admin/login?next=/admin/person/?page%3D2",
        "/admin/login",
    ]


def test_the_login_leads_to_the_page_that_was_asked_for(visitor):
    form = {"username": "admin", "password": PASSWORD, "next": "/admin/person/?page=1"}
    answer = visitor.post("/admin/login", form)

    assert (answer.status_code, answer.location) == (303, "/admin/person/?page=1")
    assert visitor.get(answer.location).status_code == 200


def test_the_short_addresses_work_without_a_loop(visitor):
    form = {"username": "admin", "password": PASSWORD}
    logged_in = visitor.post("/login", form)
    page = visitor.get("/logout")
    still_in = visitor.get("/admin/")
    logged_out = visitor.post("/logout")

    assert logged_in.location == "/admin/"
    assert page.status_code == 200
    assert "Log out, admin?" in page.text
    assert still_in.status_code == 200
    assert logged_out.location == "/admin/login"
    assert visitor.get("/admin/").status_code == 303


def test_who_is_logged_in_sees_no_login(admin):
    assert admin.get("/admin/login").location == "/admin/"
    assert admin.get("/login").location == "/admin/"


def test_who_is_logged_out_sees_no_logout(visitor):
    assert visitor.get("/logout").location == "/admin/login"


@pytest.mark.parametrize(
    ("username", "password"),
    [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin", ""), ("\x00", "ü")],
)
def test_wrong_credentials_stay_out(visitor, username, password):
    answer = visitor.log_in(username, password)

    assert answer.status_code == 401
    assert "do not match" in answer.text
    assert visitor.get("/admin/").status_code == 303


def test_wrong_credentials_answer_alike_for_known_and_unknown_names(visitor):
    def page(username):
        html = visitor.log_in(username, "wrong").text
        return re.sub(r'value="[0-9a-f]{64}"', "", html)

    assert page("admin") == page("nobody")


@pytest.mark.parametrize("name", ["username", "password"])
def test_a_giant_credential_is_refused_unread(visitor, name):
    form = {"username": "admin", "password": PASSWORD} | {name: "x" * 100_000}

    answer = visitor.post("/admin/login", form)

    assert answer.status_code == 422


def test_unknown_names_cost_as_much_as_known_ones(panel, monkeypatch):
    costs = []
    verify = type(panel.accounts._hasher).verify

    def spy(self, known, password):
        costs.append(known.split("$")[3])
        return verify(self, known, password)

    monkeypatch.setattr(type(panel.accounts._hasher), "verify", spy)
    panel.accounts.verify("admin", "wrong")
    panel.accounts.verify("nobody", "wrong")

    assert costs[0] == costs[1]


def test_a_plain_password_is_hashed(sqlite):
    app = Flask(__name__)
    panel = admin_pattern(
        app, KEY, PASSWORD, "admin", models=[Person], database_manager=manager
    )

    assert Visitor(app).log_in().status_code == 303
    assert PASSWORD not in str(vars(panel.accounts)["_hashes"])


def test_a_script_gets_no_login_page(visitor):
    headers = {"X-Requested-With": "XMLHttpRequest"}

    answer = visitor.get("/admin/note/ajax/lookup/?name=author", headers=headers)

    assert answer.status_code == 401


def test_errors_are_pages_that_lead_back(admin):
    answers = [admin.get("/admin/person/edit/?id=x"), admin.get("/admin/?url=//x")]

    assert [answer.status_code for answer in answers] == [404, 400]
    assert "<strong>Not Found.</strong>" in answers[0].text
    assert 'href="/admin/">Back to the overview' in answers[0].text
    assert "outside of the panel" in answers[1].text
    assert "default-src" in answers[0].headers["Content-Security-Policy"]


def test_the_rest_of_the_app_stays_as_it_is(sqlite, build):
    app, _ = build()
    app.add_url_rule("/mine", "mine", lambda: "mine", methods=["GET", "POST"])
    visitor = Visitor(app)

    answers = [visitor.client.post("/mine"), visitor.get("/nothing")]

    assert [answer.status_code for answer in answers] == [200, 404]
    assert "Content-Security-Policy" not in answers[0].headers
    assert "Set-Cookie" not in answers[0].headers


def test_keywords_work_in_any_order(sqlite):
    panel = admin_pattern(
        app=Flask(__name__),
        database_manager=manager,
        models=[Person],
        ADMIN_USERNAME="root",
        ADMIN_PASSWORD=PASSWORD,
        SECRET_KEY=KEY,
    )

    assert Visitor(panel.app).log_in("root").status_code == 303


@pytest.mark.parametrize("key", ["", "secret", "x" * 31])
def test_a_weak_key_is_refused(key):
    with pytest.raises(WeakSecretKey, match=rf"at least 32 characters: {len(key)}"):
        admin_pattern(Flask("x"), key, PASSWORD, "admin", [], manager)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "fewer than 8"),
        ("admin", "fewer than 8"),
        ("Password", "everybody tries"),
        ("xxxxxxxxxxx", "everybody tries"),
        ("administrator", "everybody tries"),
        ("$argon2id$nonsense", "no valid argon2 hash"),
    ],
)
def test_a_weak_password_is_refused(password, reason):
    with pytest.raises(WeakPassword, match=reason):
        admin_pattern(Flask("x"), KEY, password, "administrator", [], manager)


def test_a_refused_password_is_not_told():
    with pytest.raises(WeakPassword, match="fewer") as caught:
        admin_pattern(Flask("x"), KEY, "hunter2", "admin", [], manager)

    assert "hunter2" not in str(caught.value)


def test_weak_secrets_are_accepted_while_debugging(sqlite):
    app = Flask(__name__)
    app.debug = True
    admin_pattern(app, "", "admin", "admin", models=[Person], database_manager=manager)

    assert Visitor(app).log_in("admin", "admin").status_code == 303


def test_no_repr_tells_a_secret(panel):
    told = [
        repr(x)
        for x in (
            panel,
            panel.accounts,
            panel._sessions,
            panel.throttle,
            Account("ann", PASSWORD),
        )
    ]

    assert not any(PASSWORD in text or KEY in text for text in told)


def test_a_new_password_ends_the_sessions_of_the_old_one(sqlite, build):
    store = build(models=[])[1].store
    old = Visitor(build(models=[], store=store)[0])
    old.log_in()
    app = Flask(__name__)
    admin_pattern(app, KEY, "another password", "admin", [], manager, store=store)
    after = Visitor(app)
    after.client._cookies = old.client._cookies

    assert old.get("/admin/").status_code == 200
    assert after.get("/admin/").status_code == 303
