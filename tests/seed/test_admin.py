"""The admin panel of the seed, run by its own file."""

import re

import httpx2
import pytest

REFUSED = {400, 403}


@pytest.fixture(scope="session")
def panel(service):
    with service.serve(
        *("flask", "--app", "admin_panel", "run"), ready="/login"
    ) as url:
        yield url


@pytest.fixture
def visitor(panel):
    with httpx2.Client(base_url=panel, follow_redirects=True, timeout=20) as found:
        yield found


@pytest.fixture
def admin(visitor, service):
    answer = log_in(visitor, service.env["ADMIN_PASSWORD"])
    assert answer.status_code == 200
    return visitor


def token_in(page):
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)[1]


def log_in(visitor, password, **more):
    page = visitor.get("/login")
    form = {"username": "admin", "password": password, "csrf_token": token_in(page)}
    return visitor.post("/login", data=form | more)


def test_nobody_enters_without_a_login(visitor):
    page = visitor.get("/admin/")

    assert "/login" in str(page.url)
    assert 'name="password"' in page.text


def test_a_wrong_password_does_not_open_it(visitor):
    answer = log_in(visitor, "wrong")

    assert answer.status_code == 401
    assert "/login" in str(visitor.get("/admin/").url)


def test_a_login_needs_the_token_of_its_form(visitor, service):
    password = service.env["ADMIN_PASSWORD"]

    assert log_in(visitor, password, csrf_token="none").status_code in REFUSED
    assert log_in(visitor, password).status_code == 200


def test_the_panel_shows_the_models_that_it_was_given(admin):
    page = admin.get("/admin/")

    assert str(page.url).endswith("/admin/")
    assert "/admin/user/" in page.text
    assert "/admin/file/" in page.text
    assert "/admin/taskexecution/" not in page.text


def test_a_user_is_created_found_changed_and_deleted(admin, client, unique):
    form = {"name": "Ann", "login": unique, "email": f"{unique}@a"}

    created = post(admin, "/admin/user/new/", form)
    (user,) = [
        user
        for user in client.get("/api/v1/user", params={"limit": 10_000}).json()
        if user["login"] == unique
    ]
    found = admin.get("/admin/user/", params={"search": unique})
    changed = post(admin, f"/admin/user/edit/?id={user['id']}", form | {"name": "Eve"})
    name = client.get(f"/api/v1/user/{user['id']}").json()["name"]
    deleted = post(
        admin, "/admin/user/delete/", {"id": user["id"]}, form_at="/admin/user/"
    )

    assert created.status_code == changed.status_code == deleted.status_code == 200
    assert unique in found.text
    assert name == "Eve"
    assert client.get(f"/api/v1/user/{user['id']}").status_code == 404


def test_keys_may_be_uuids(admin, client, unique):
    uid = client.post("/api/v1/file", json={"filename": unique}).json()["uid"]

    page = admin.get(f"/admin/file/edit/?id={uid}")
    post(admin, f"/admin/file/edit/?id={uid}", {"filename": f"{unique}!"})
    listed = admin.get("/admin/file/", params={"search": unique})

    assert unique in page.text
    assert f"{unique}!" in listed.text
    assert uid in listed.text


def test_a_write_without_a_token_is_refused(admin, client, unique):
    uid = client.post("/crud/file").json()["uid"]

    answer = admin.post(f"/admin/file/edit/?id={uid}", data={"filename": unique})

    assert answer.status_code in REFUSED
    assert client.get(f"/crud/file/{uid}").json()["filename"] is None


def test_a_logout_ends_the_session(admin):
    page = admin.get("/logout")
    admin.post("/logout", data={"csrf_token": token_in(page)})

    assert "/login" in str(admin.get("/admin/").url)


def test_no_page_shows_a_secret(admin, service):
    pages = [admin.get(path).text for path in ("/admin/", "/admin/user/", "/login")]

    for secret in ("ADMIN_PASSWORD", "SECRET_KEY"):
        assert service.env[secret] not in "".join(pages)


def post(admin, path, form, form_at=None):
    page = admin.get(form_at or path)
    return admin.post(path, data=form | {"csrf_token": token_in(page)})
