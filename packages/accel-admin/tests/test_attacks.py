"""What an attacker tries, each a test."""

import re

import pytest
import sqlalchemy as sa

from accel_admin import ModelView
from accel_admin._secrets import looks_secret

from .models import Label, Note, Person, db as manager
from .visitor import KEY, PASSWORD, TOKEN, Visitor

EVIL = "<script>alert(1)</script>"


def add(*instances):
    with manager.transaction() as session:
        session.add_all(instances)


def names():
    with manager.session() as session:
        return sorted(session.scalars(sa.select(Person.name)))


# Cross-site request forgery

CHANGES = [
    ("/admin/login", {"username": "admin", "password": PASSWORD}),
    ("/login", {"username": "admin", "password": PASSWORD}),
    ("/admin/logout", {}),
    ("/logout", {}),
    ("/admin/person/new/", {"name": "Mallory"}),
    ("/admin/person/edit/?id=1", {"name": "Mallory"}),
    ("/admin/person/delete/", {"id": "1"}),
    ("/admin/person/action/", {"action": "delete", "rowid": "1"}),
    ("/admin/person/ajax/update/", {"list_form_pk": "1", "name": "Mallory"}),
]


@pytest.mark.parametrize("token", [None, "", "x", "0" * 64, "ü"])
@pytest.mark.parametrize(("path", "form"), CHANGES)
def test_a_change_without_the_token_is_refused(admin, path, form, token):
    add(Person(id=1, name="Ann"))
    forged = form if token is None else {**form, "csrf_token": token}

    answer = admin.client.post(path, data=forged)

    assert answer.status_code == 403
    assert names() == ["Ann"]
    assert admin.get("/admin/").status_code == 200


def test_the_token_of_another_session_is_refused(panel, admin):
    add(Person(id=1, name="Ann"))
    other = Visitor(panel.app)
    other.log_in()

    form = {"id": "1", "csrf_token": other.token()}
    answer = admin.client.post("/admin/person/delete/", data=form)

    assert answer.status_code == 403
    assert names() == ["Ann"]


def test_the_token_may_come_in_a_header(admin):
    add(Person(id=1, name="Ann"))

    headers = {"X-CSRFToken": admin.token()}
    admin.client.post("/admin/person/delete/", data={"id": "1"}, headers=headers)

    assert names() == []


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "?"])
def test_a_form_of_another_site_is_refused_even_with_the_token(admin, site):
    form = {"name": "Mallory", "csrf_token": admin.token()}
    headers = {"Sec-Fetch-Site": site}

    answer = admin.client.post("/admin/person/new/", data=form, headers=headers)

    assert answer.status_code == 403
    assert names() == []


def test_a_link_cannot_log_anybody_out_or_change_anything(admin):
    add(Person(id=1, name="Ann"))

    paths = ["logout", "person/delete/?id=1", "person/action/?action=delete&rowid=1"]
    answers = [admin.get(f"/admin/{path}") for path in paths]

    assert [answer.status_code for answer in answers] == [200, 405, 405]
    assert admin.get("/admin/").status_code == 200
    assert names() == ["Ann"]


def test_every_page_is_closed_to_who_is_not_logged_in(panel, visitor):
    adapter = panel.app.url_map.bind("localhost")
    rules = [
        rule
        for rule in panel.app.url_map.iter_rules()
        if not rule.endpoint.endswith(("static", "login", "logout"))
    ]

    assert len(rules) > 50
    for rule in rules:
        path = adapter.build(rule.endpoint, {"export_type": "csv"})
        answers = [visitor.get(path), visitor.client.post(path)]
        assert {x.status_code for x in answers} <= {303, 403, 405}, path


# Sessions


def test_the_session_gets_another_name_at_the_login(visitor):
    visitor.get("/admin/login")
    before = visitor.client.get_cookie("accel_admin").value
    visitor.log_in()
    after = visitor.client.get_cookie("accel_admin").value
    planted = Visitor(visitor.client.application)
    planted.client.set_cookie("accel_admin", before)

    assert before != after
    assert planted.get("/admin/").status_code == 303


def test_a_cookie_is_worthless_after_the_logout(panel, admin):
    cookie = admin.client.get_cookie("accel_admin").value
    admin.post("/admin/logout")
    thief = Visitor(panel.app)
    thief.client.set_cookie("accel_admin", cookie)

    assert thief.get("/admin/").status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "a" * 43, "../" * 10, "é" * 43])
def test_a_made_up_cookie_opens_nothing(visitor, cookie):
    visitor.client.set_cookie("accel_admin", cookie)

    assert visitor.get("/admin/").status_code == 303


def test_the_cookie_holds_a_random_name_and_is_well_protected(visitor):
    answer = visitor.log_in(base_url="https://localhost")

    cookie = answer.headers["Set-Cookie"]
    assert re.match(r"accel_admin=[\w-]{43};", cookie)
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert PASSWORD not in cookie


# Open redirects

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "javascript:alert(1)",
    " //evil.example/",
    "\t//evil.example/",
    "/%09/evil.example/",
    "http:evil.example",
    "https://localhost@evil.example/admin/",
    "/admin/../evil",
    "/admin/\r\nSet-Cookie: a=b",
    "/elsewhere/",
    "/administrator/",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_the_login_leads_nowhere_else(visitor, target):
    form = {"username": "admin", "password": PASSWORD, "next": target}

    answer = visitor.post("/admin/login", form)

    assert answer.location == "/admin/"


@pytest.mark.parametrize("target", ELSEWHERE)
def test_a_form_leads_nowhere_else(admin, target):
    form = {"name": "Ann", "url": target}
    posted = admin.post("/admin/person/new/", form)
    asked = admin.get("/admin/person/new/", query_string={"url": target})

    assert (posted.status_code, asked.status_code) == (400, 400)
    assert names() == []


# Cross-site scripting


def test_what_people_write_stays_text(admin):
    add(
        Person(id=1, name=EVIL, email=EVIL),
        Label(code=EVIL, title=EVIL),
    )
    add(Note(text=EVIL, author_id=1))
    with manager.transaction() as session:
        note = session.scalars(sa.select(Note)).one()
        note.labels.append(session.get(Label, EVIL))
        uid = note.uid

    pages = [
        admin.get(f"/admin/{path}").text
        for path in (
            "person/",
            f"person/?search={EVIL}",
            f"person/?flt1_0={EVIL}&extra={EVIL}",
            "person/edit/?id=1",
            "person/details/?id=1",
            "label/",
            "note/",
            f"note/edit/?id={uid}",
            f"note/details/?id={uid}",
        )
    ]

    assert all("&lt;script&gt;" in page for page in pages)
    assert not any(EVIL in page for page in pages)


def test_what_a_relation_is_called_stays_json(admin):
    add(Person(id=1, name=EVIL))

    answer = admin.get("/admin/note/ajax/lookup/?name=author&query=script")

    assert answer.mimetype == "application/json"
    assert answer.json == [["1", EVIL]]


def test_the_policy_forbids_what_the_pages_do_without(admin):
    add(Person(id=1, name="Ann"), Person(id=2, name="Bob"))
    pages = [
        admin.get(f"/admin/{path}")
        for path in (
            "",
            "logout",
            "person/",
            "person/?page_size=20&flt1_0=Ann&search=Ann",
            "person/new/",
            "person/edit/?id=1",
            "person/details/?id=1",
            "note/new/",
            "kinds/new/",
        )
    ]

    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert page.status_code == 200
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert not re.search(r"<[^>]*\s(?:on\w+|style)\s*=", page.text)
        assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
        assert "javascript:" not in page.text
        assert "<style" not in page.text


def test_no_page_loads_anything_from_elsewhere(admin):
    pages = [
        admin.get(f"/admin/{path}").text
        for path in ("", "person/", "person/new/", "note/new/", "logout")
    ]
    assets = {
        found
        for page in pages
        for found in re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', page)
        if not found.startswith("data:")
    }

    assert len(assets) > 10
    for asset in assets:
        answer = admin.get(asset)
        assert asset.startswith("/admin/"), asset
        assert answer.status_code == 200, asset
        if answer.mimetype == "text/css":
            css = answer.text
            assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", css)
        answer.close()


def test_a_page_is_kept_by_nobody(admin):
    answer = admin.get("/admin/person/")

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"


# Injection

SQL = ["'", "' OR 1=1 --", '"; DROP TABLE people; --', "%' UNION SELECT 1 --", "\x00"]


@pytest.mark.parametrize("text", SQL)
@pytest.mark.parametrize("name", ["search", "sort", "flt1_0", "flt1_7", "desc", "page"])
def test_a_list_takes_no_sql(admin_on, name, text):
    add(Person(name="Ann"))

    answer = admin_on.get("/admin/person/", query_string={name: text})

    assert answer.status_code in {200, 400}
    assert names() == ["Ann"]


@pytest.mark.parametrize("text", SQL)
def test_a_lookup_takes_no_sql(admin_on, text):
    add(Person(name="Ann"))

    query = {"name": "author", "query": text}
    answer = admin_on.get("/admin/note/ajax/lookup/", query_string=query)

    assert answer.status_code == 200
    assert answer.json == [] or text == "\x00"


@pytest.mark.parametrize(
    "query",
    [
        "page=1" + "0" * 20,
        "page=-5",
        "page=x",
        "page_size=1000000",
        "page_size=-1",
        "sort=99",
        "sort=-99",
        "sort=1" + "0" * 30,
        "flt",
        "flt_",
        "flt1_9999=x",
        "flt1_0=" + "9" * 40,
    ],
)
def test_a_list_takes_strange_parameters(admin_on, query):
    assert admin_on.get(f"/admin/person/?{query}").status_code in {200, 400}


def test_a_lookup_takes_strange_parameters(admin_on):
    statuses = [
        admin_on.get(f"/admin/note/ajax/lookup/?{query}").status_code
        for query in (
            "name=author&query=&offset=-1&limit=-1",
            "name=author&query=&limit=1000000",
            "name=author&query=&offset=1" + "0" * 30,
            "name=nothing",
            "",
        )
    ]

    assert statuses == [200, 200, 200, 404, 404]


def test_a_lookup_is_limited(admin):
    add(*(Person(name=f"P{n}") for n in range(100)))

    answer = admin.get("/admin/note/ajax/lookup/?name=author&limit=1000")

    assert len(answer.json) == 50


# Secrets


def test_secrets_appear_nowhere(admin):
    values = dict.fromkeys(("password_hash", "api_key", "shadow"), "TOPSECRET")
    add(Person(id=1, name="Ann", **values))

    pages = [
        admin.get(f"/admin/person/{path}").text
        for path in ("", "new/", "edit/?id=1", "details/?id=1", "export/csv/")
    ]

    for page in pages:
        assert not re.search("topsecret|password|shadow|api.?key", page, re.IGNORECASE)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwd", "user_password", "password_hash", "hashed_password"),
        *("passwordHash", "token", "refresh_token", "token_hash", "api_key", "apikey"),
        *("secret", "client_secret", "secret_key", "private_key", "salt", "pin", "otp"),
        *("PASSWORD", "two_factor_secret", "credentials", "access_key", "cvv"),
    ],
)
def test_names_that_look_like_a_secret(name):
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("name", "monkey", "key", "tokens_used", "token_expires_at", "passenger"),
        *("secretary", "spinach", "hashtag", "opinion", "keyword", "pins", "asphalt"),
    ],
)
def test_names_that_look_like_no_secret(name):
    assert not looks_secret(name)


def test_secrets_cannot_be_guessed_by_filters_or_search(sqlite, build):
    class NoteView(ModelView):
        column_filters = ("author",)

    panel = build(views={Note: NoteView})[1]
    by_name = {view.name: view for view in panel.model_views()}
    filters = [f.column.key for v in by_name.values() for f in v._filters or ()]
    searched = [c.key for v in by_name.values() for c, _ in v._search_fields or ()]

    assert {"name", "email"} <= set(filters)
    secrets = {"password_hash", "password_old", "api_key"}
    assert not secrets & {*filters, *searched}


def test_a_secret_is_shown_if_the_developer_names_it(sqlite, build):
    class PersonView(ModelView):
        column_list = ("name", "api_key")

    visitor = Visitor(build(views={Person: PersonView})[0])
    visitor.log_in()
    add(Person(name="Ann", api_key="abc"))

    assert "abc" in visitor.get("/admin/person/").text


def test_a_failure_tells_no_statement_and_no_parameter(admin_on, caplog):
    add(Person(name="Ann", email="a@x"))
    form = {"name": "Bob" * 30, "email": "b@x"}

    answer = admin_on.post("/admin/person/new/", form)

    assert "INSERT" not in answer.text + caplog.text
    assert "b@x" not in caplog.text


def test_the_key_never_leaves(admin):
    assert KEY not in admin.get("/admin/").text
    assert TOKEN.search(admin.get("/admin/person/").text)
