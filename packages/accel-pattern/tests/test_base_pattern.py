"""What `base_pattern` gives to an application."""

import threading
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
import pytz
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy.orm import Mapped, Session, mapped_column

from accel_cache import Cache
from accel_db import MainDatabaseManager
from accel_pattern import InvalidVersionError, base_pattern
from accel_viewset import FullViewSet


def test_needs_nothing_but_an_app(app, browse):
    assert base_pattern(app) is app

    assert browse().get("/healthcheck").json() == {"status": True, "version": "0.1.0"}


def test_sets_the_state_of_the_seed(app):
    manager = MainDatabaseManager("sqlite://", name="state")

    base_pattern(
        app,
        timezone=pytz.utc,
        cache_status=False,
        debug=True,
        database_manager=manager,
        secret_key="s" * 40,
    )

    assert app.state.TIMEZONE is pytz.utc
    assert app.state.CACHE_STATUS is False
    assert app.state.DATABASE_MANAGER is manager
    assert app.state.SECRET_KEY == "s" * 40
    assert app.debug is True


def test_keeps_what_the_app_already_says(app):
    app.state.CACHE_STATUS = False
    app.debug = True

    base_pattern(app)

    assert app.state.CACHE_STATUS is False
    assert app.debug is True


def test_includes_routers_and_describes_their_view_sets(app, browse):
    class View:
        openapi_tag = {"name": "Files", "description": "All the files"}  # noqa: RUF012

    router = APIRouter()
    router.views = [View()]

    @router.get("/files")
    async def files() -> list[str]:
        return ["a"]

    base_pattern(app, (router,))
    client = browse()

    assert client.get("/files").json() == ["a"]
    assert [tag["name"] for tag in client.get("/openapi.json").json()["tags"]] == [
        "Files",
        "common",
    ]


class TestVersion:
    def test_comes_from_version_toml(self, app, tmp_path):
        (tmp_path / "version.toml").write_text('version = "1.4.2"\n')

        base_pattern(app, base_dir=tmp_path)

        assert app.version == "1.4.2"

    @pytest.mark.parametrize(
        "text", ['version="2.0"', '\ufeff[project]\nversion = " 2.0 "\n']
    )
    def test_forgives_the_form_of_the_file(self, app, tmp_path, text):
        (tmp_path / "version.toml").write_text(text, encoding="utf-8")

        base_pattern(app, base_dir=str(tmp_path))

        assert app.version == "2.0"

    def test_missing_file_leaves_the_apps_own(self, tmp_path):
        app = FastAPI(version="9.9")

        base_pattern(app, base_dir=tmp_path)

        assert app.version == "9.9"

    def test_argument_wins(self, app, tmp_path):
        (tmp_path / "version.toml").write_text('version = "1.0"\n')

        base_pattern(app, base_dir=tmp_path, version="3.0")

        assert app.version == "3.0"

    @pytest.mark.parametrize(
        "text", ["version = ", "version = 3", "name = 'x'", "project = 'x'"]
    )
    def test_unreadable_file_says_what_to_write(self, app, tmp_path, text):
        (tmp_path / "version.toml").write_text(text)

        with pytest.raises(InvalidVersionError, match=r'version = "1\.2\.3"'):
            base_pattern(app, base_dir=tmp_path)


class TestOrigins:
    def ask(self, client, origin="https://evil.example"):
        response = client.get("/healthcheck", headers={"Origin": origin})
        return (
            response.headers.get("access-control-allow-origin"),
            response.headers.get("access-control-allow-credentials"),
        )

    @pytest.mark.parametrize("origins", [None, ["*"], ["https://a.example", "*"]])
    def test_any_origin_never_gets_credentials(self, app, browse, origins):
        base_pattern(app, origins=origins)

        assert self.ask(browse()) == ("*", None)

    def test_one_origin_needs_no_list(self, app, browse):
        base_pattern(app, origins="https://shop.example")
        client = browse()

        assert self.ask(client, "https://shop.example")[1] == "true"
        assert self.ask(client)[0] is None

    def test_pattern_of_origins_is_nobody(self, app, browse):
        base_pattern(app, origins="https://*.shop.example")

        assert self.ask(browse())[0] is None

    def test_empty_list_is_nobody(self, app, browse):
        base_pattern(app, origins=[])

        assert self.ask(browse()) == (None, None)

    def test_named_origin_gets_credentials(self, app, browse):
        base_pattern(app, origins=["https://shop.example"])
        client = browse()

        assert self.ask(client, "https://shop.example") == (
            "https://shop.example",
            "true",
        )
        assert self.ask(client)[0] is None

    def test_browser_may_read_the_error_of_a_crash(self, app, browse):
        base_pattern(app, origins=["https://shop.example"])

        @app.get("/crash")
        async def crash() -> None:
            raise RuntimeError

        client = browse(raise_server_exceptions=False)
        response = client.get("/crash", headers={"Origin": "https://shop.example"})

        assert response.status_code == 500
        assert response.headers["access-control-allow-origin"] == "https://shop.example"


class TestHealth:
    def test_ready_asks_the_database(self, app, browse):
        manager = MainDatabaseManager("sqlite://", name="ready")
        base_pattern(app, database_manager=manager)

        response = browse().get("/readyz")

        assert response.status_code == 200
        assert response.headers["content-type"] == "application/health+json"
        assert response.json()["checks"]["database"][0]["status"] == "pass"

    def test_dead_database_is_not_ready_and_leaks_no_password(self, app, browse):
        url = "postgresql://me:hunter2@127.0.0.1:1/shop"
        base_pattern(app, database_manager=MainDatabaseManager(url, name="dead"))
        client = browse()

        response = client.get("/readyz")

        assert response.status_code == 503
        assert response.json()["status"] == "fail"
        assert "hunter2" not in response.text
        assert client.get("/livez").json() == {"status": "pass"}

    def test_probe_fails_by_raising_or_by_saying_false(self, app, browse):
        async def raises():
            raise ConnectionError("password=hunter2")

        base_pattern(app, probes={"a": raises, "b": lambda: False, "c": lambda: None})

        response = browse().get("/readyz")

        states = {
            name: check[0]["status"]
            for name, check in response.json()["checks"].items()
        }
        assert states == {"a": "fail", "b": "fail", "c": "pass"}
        assert "hunter2" not in response.text

    @pytest.mark.anyio
    async def test_slow_probe_fails_within_its_budget(self):
        import asyncio

        from accel_pattern._health import run_probe

        check = await run_probe(asyncio.Event().wait, seconds=0.01)

        assert check["status"] == "fail"
        assert check["output"] == "TimeoutError"

    @pytest.mark.anyio
    async def test_probe_that_is_slow_to_clean_up_fails_within_its_budget(self):
        import asyncio

        from accel_pattern._health import run_probe

        goodbye = asyncio.Event()

        async def lingers():
            try:
                await asyncio.Event().wait()
            finally:
                await goodbye.wait()

        async with asyncio.timeout(10):
            check = await run_probe(lingers, seconds=0.01)
        goodbye.set()

        assert check["output"] == "TimeoutError"

    def test_the_log_has_each_probe_that_failed(self, app, browse, caplog):
        url = "postgresql://me:hunter2@127.0.0.1:1/shop"
        base_pattern(app, database_manager=MainDatabaseManager(url, name="logged"))

        client = browse()
        # On a slow machine, loading the driver takes the first probe's two seconds.
        for _ in range(2):
            client.get("/readyz")

        log = {record.name: record.getMessage() for record in caplog.records}
        assert "ConnectionRefusedError" in log["accel_db"]
        assert "the probe answered False" in log["accel_pattern.health"]
        assert "hunter2" not in caplog.text

    @pytest.mark.anyio
    async def test_probe_that_hangs_takes_one_thread_and_comes_back(self):
        from accel_pattern._health import ThreadProbe, run_probe

        release, called = threading.Event(), []

        def hangs():
            called.append(1)
            release.wait(30)

        probe = ThreadProbe(hangs)
        checks = [await run_probe(probe, seconds=0.05) for _ in range(20)]
        release.set()
        probe._stuck.result(5)

        assert {check["output"] for check in checks} == {"TimeoutError"}
        assert len(called) == 1
        assert (await run_probe(probe))["status"] == "pass"


class TestDocs:
    def test_pages_load_nothing_from_elsewhere(self, app, browse):
        base_pattern(app)
        client = browse()

        for path in ("/docs", "/redoc"):
            page = client.get(path)
            assert "https://" not in page.text
            assert "/static-docs/" in page.text
            # What the scripts would fetch by themselves is refused by the browser.
            assert page.headers["content-security-policy"] == "img-src 'self' data:"
        assert client.get("/static-docs/swagger-ui-bundle.js").status_code == 200
        assert client.get("/static-docs/redoc.standalone.js").status_code == 200

    def test_page_that_is_off_stays_off(self, browse):
        app = base_pattern(FastAPI(docs_url=None, redoc_url=None))

        assert browse(app).get("/docs").status_code == 404
        assert browse(app).get("/static-docs/swagger-ui.css").status_code == 404

    def test_pages_work_behind_a_proxy_that_strips_a_prefix(self, browse):
        app = base_pattern(FastAPI())

        page = browse(app, root_path="/shop").get("/docs").text

        assert "/shop/static-docs/swagger-ui.css" in page
        assert "/shop/openapi.json" in page


class TestTwoApps:
    def test_are_strangers(self):
        from accel_pattern import TIMEZONE

        apps = [FastAPI(), FastAPI()]
        zones = [pytz.utc, pytz.timezone("Europe/Moscow")]
        for app, zone in zip(apps, zones, strict=True):
            base_pattern(app, timezone=zone)

            @app.get("/zone")
            async def zone_name(request: Request) -> str:
                return str(TIMEZONE() or TIMEZONE(request.app))

        names = [TestClient(app).get("/zone").json() for app in apps]

        assert names == ["UTC", "Europe/Moscow"]
        assert TIMEZONE() is False

    def test_mounted_app_answers_for_itself(self):
        from accel_pattern import TIMEZONE

        outer, inner = FastAPI(), FastAPI()
        base_pattern(outer, timezone=pytz.utc)
        base_pattern(inner, timezone=pytz.timezone("Asia/Tokyo"))
        outer.mount("/inner", inner)

        @outer.get("/zone")
        async def outer_zone() -> str:
            return str(TIMEZONE())

        @inner.get("/zone")
        async def inner_zone() -> str:
            return str(TIMEZONE())

        client = TestClient(outer)

        assert client.get("/inner/zone").json() == "Asia/Tokyo"
        assert client.get("/zone").json() == "UTC"


class TestLifespan:
    def test_keeps_the_apps_own_and_opens_before_it(self, browse):
        seen = []

        class Opened:
            integration = None

            async def __aenter__(self):
                seen.append("open")

            async def __aexit__(self, *_):
                seen.append("close")

        @asynccontextmanager
        async def lifespan(_app):
            seen.append("app starts")
            yield {"answer": 42}
            seen.append("app ends")

        from accel_pattern._composition import compose

        app = FastAPI(lifespan=lifespan)
        compose(app, None, [Opened()])

        @app.get("/")
        async def answer(request: Request) -> int:
            return request.state.answer

        with TestClient(app) as client:
            assert client.get("/").json() == 42

        assert seen == ["open", "app starts", "app ends", "close"]

    def test_plain_writes_invalidate_what_a_view_set_cached(self, browse):
        cache = Cache()
        manager = MainDatabaseManager("sqlite://", name="views", DEV_STATUS=True)

        class Row(manager.Base):
            __tablename__ = "rows"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Item(BaseModel):
            id: int

        class Rows(FullViewSet):
            db_model, pydantic_model, cache_class = Row, Item, cache

        router = APIRouter()
        router.views = [Rows().as_view(router, prefix="/row")]
        app = base_pattern(FastAPI(), (router,), database_manager=manager)
        manager.create_all()

        @app.post("/plain")
        def plain(session: Annotated[Session, Depends(manager.get_session)]) -> None:
            session.add(Row())
            session.commit()

        client = browse(app)
        seen = [client.get("/row") for _ in range(2)]
        client.post("/plain").raise_for_status()
        seen.append(client.get("/row"))

        assert [answer.headers["x-cache"] for answer in seen] == ["MISS", "HIT", "MISS"]
        assert len(seen[-1].json()) == 1
