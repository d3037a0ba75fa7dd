"""The panel under the roof of FastAPI."""

import asyncio
import sys
import threading

import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Response
from starlette.testclient import TestClient

from accel_admin import MissingExtra, WeakSecretKey, mount_admin

from .models import MODELS, Person, db as manager
from .visitor import HASH, KEY, PASSWORD, TOKEN


def mount(app=None, **options):
    app = app or FastAPI()
    mount_admin(
        app,
        KEY,
        HASH,
        "admin",
        models=MODELS,
        database_manager=manager,
        **options,
    )
    return app


def log_in(client, prefix="", path="/admin"):
    token = TOKEN.search(client.get(f"{prefix}{path}/login").text)[1]
    form = {"username": "admin", "password": PASSWORD, "csrf_token": token}
    return client.post(f"{prefix}{path}/login", data=form)


def test_the_panel_is_served_beside_the_app(sqlite):
    app = mount()
    app.get("/hello")(lambda: "Hello")

    with TestClient(app) as client:
        redirected = client.get("/admin", follow_redirects=False)
        refused = client.get("/admin/person/")
        entered = log_in(client)
        listed = client.get("/admin/person/")
        hello = client.get("/hello").json()

    assert redirected.status_code in {303, 308}
    assert refused.url.path == "/admin/login"
    assert entered.url.path == "/admin/"
    assert listed.status_code == 200
    assert hello == "Hello"


def test_the_short_addresses_lead_to_the_panel(sqlite):
    with TestClient(mount()) as client:
        login = client.get("/login")
        log_in(client)
        logout = client.get("/logout")
        token = TOKEN.search(logout.text)[1]
        out = client.post("/logout", data={"csrf_token": token})

    assert login.url.path == "/admin/login"
    assert "Log out, admin?" in logout.text
    assert out.url.path == "/admin/login"


def test_the_app_keeps_its_own_login(sqlite):
    app = FastAPI()
    app.get("/login")(lambda: "mine")
    mount(app)
    app.post("/logout")(lambda: "mine, too")

    with TestClient(app) as client:
        assert client.get("/login").json() == "mine"
        assert client.post("/logout").json() == "mine, too"
        assert client.get("/admin/login").status_code == 200


def test_the_panel_follows_the_root_path(sqlite):
    root = "/api"

    with TestClient(mount(), root_path=root) as client:
        entered = log_in(client, root)
        listed = client.get(f"{root}/admin/person/")

    assert entered.url.path == f"{root}/admin/"
    assert f'href="{root}/admin/person/new/' in listed.text
    assert f'href="{root}/admin/static/' in listed.text
    assert 'href="/admin' not in listed.text


def test_the_panel_works_in_an_app_that_is_mounted_itself(sqlite):
    outer = FastAPI()
    outer.mount("/inner", mount())

    with TestClient(outer) as client:
        entered = log_in(client, "/inner")
        answer = client.get("/admin/person/")

    assert entered.url.path == "/inner/admin/"
    assert answer.status_code == 404


def test_panels_below_two_prefixes_of_one_host_leave_each_other_alone(sqlite):
    outer = FastAPI()
    for prefix in ("/shop", "/stock"):
        outer.mount(prefix, mount())
    mount(outer)

    with TestClient(outer) as client:
        prefixes = ("", "/shop", "/stock")
        for prefix in prefixes:
            log_in(client, prefix)
        homes = [client.get(f"{prefix}/admin/").url.path for prefix in prefixes]
        cookies = {(cookie.name, cookie.path) for cookie in client.cookies.jar}

    assert homes == [f"{prefix}/admin/" for prefix in prefixes]
    assert cookies == {
        ("accel_admin", "/"),
        ("accel_shop_admin", "/shop"),
        ("accel_stock_admin", "/stock"),
    }


def test_a_root_path_that_no_cookie_could_be_named_after(sqlite):
    with TestClient(mount(), root_path="/a;b c=d") as client:
        cookie = client.get("/a;b c=d/admin/login").headers["set-cookie"]

    assert cookie.startswith("accel_a_b_c_d_admin=")
    assert "Path=/a%3Bb%20c=d" in cookie


def test_a_root_path_that_looks_like_the_panel_confuses_nobody(sqlite):
    with TestClient(mount(), root_path="/adm") as client:
        assert client.get("/adm/admin/login").status_code == 200


def test_another_path_works(sqlite):
    with TestClient(mount(path="/backstage/")) as client:
        entered = log_in(client, path="/backstage")
        home = client.get("/admin/")

    assert entered.url.path == "/backstage/"
    assert home.status_code == 404


def test_addresses_that_only_start_alike_are_not_ours(sqlite):
    app = mount()
    app.get("/administration")(lambda: "mine")

    with TestClient(app) as client:
        assert client.get("/administration").json() == "mine"
        assert client.get("/admin.php").status_code == 404


def test_cookies_may_come_in_several_headers(sqlite):
    with TestClient(mount()) as client:
        log_in(client)
        cookie = f"accel_admin={client.cookies['accel_admin']}"
        client.cookies.clear()
        headers = [("cookie", "a=b"), ("cookie", cookie)]
        answer = client.get("/admin/", headers=headers, follow_redirects=False)

    assert answer.status_code == 200


def test_the_cookie_of_the_app_is_another_one(sqlite):
    app = mount()

    @app.get("/mine")
    def mine(response: Response):
        response.set_cookie("session", "mine")

    with TestClient(app) as client:
        log_in(client)
        client.get("/mine")
        answer = client.get("/admin/person/")
        cookies = dict(client.cookies)

    assert answer.url.path == "/admin/person/"
    assert cookies["session"] == "mine"


def test_two_panels_do_not_log_each_other_out(sqlite):
    app = mount(mount(), path="/backstage")

    with TestClient(app) as client:
        log_in(client)
        log_in(client, path="/backstage")
        paths = [client.get(f"/{x}/person/").url.path for x in ("admin", "backstage")]

    assert paths == ["/admin/person/", "/backstage/person/"]


def test_openapi_does_not_know_the_panel(sqlite):
    app = mount()

    assert app.openapi()["paths"] == {}


def test_weak_secrets_are_refused_unless_the_app_debugs():
    arguments = ("short", HASH, "admin", [], manager)

    with pytest.raises(WeakSecretKey):
        mount_admin(FastAPI(), *arguments)
    mount_admin(FastAPI(debug=True), *arguments)


def test_a_missing_extra_tells_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "a2wsgi", None)

    with pytest.raises(MissingExtra, match=r'pip install "accel-admin\[asgi\]"'):
        mount()


def test_changes_reach_an_async_cache_on_the_loop_of_the_app(sqlite):
    told, threads = [], []

    async def forget(change):
        await asyncio.sleep(0)
        threads.append(threading.current_thread())
        told.append(sorted(change.tags))

    app = mount(FastAPI(lifespan=sqlite.lifespan))
    loops = []
    app.get("/loop")(_loop_thread(loops))
    unsubscribe = sqlite.on_change(forget)
    try:
        with TestClient(app) as client:
            client.get("/loop")
            log_in(client)
            page = client.get("/admin/person/new/").text
            form = {"name": "Ann", "csrf_token": TOKEN.search(page)[1]}
            client.post("/admin/person/new/", data=form)
    finally:
        unsubscribe()

    with manager.session() as session:
        (ann,) = session.scalars(sa.select(Person))
    assert told == [["people", f"people:{ann.id}"]]
    assert threads == loops


def _loop_thread(loops):
    async def loop():
        loops.append(threading.current_thread())

    return loop


def test_a_host_cookie_keeps_the_path_that_browsers_ask_for(sqlite, build):
    app, _ = build()
    app.config["SESSION_COOKIE_NAME"] = "__Host-panel"

    answer = app.test_client().get(
        "/admin/login",
        base_url="https://localhost",
        environ_overrides={"SCRIPT_NAME": "/shop"},
    )

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-panel=")
    assert {"Secure", "Path=/"} <= set(cookie.split("; "))
