"""The shared cache of RFC 9111 in front of an application."""

import asyncio

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from accel_cache import Cache, CacheMiddleware, MemoryCache, cache_for
from accel_cache.testing import cache_spy

pytestmark = pytest.mark.anyio


class Origin:
    """An application that answers with the headers a test asks for."""

    def __init__(self, clock):
        self.clock = clock
        self.cache = MemoryCache(clock=clock)
        self.headers = {}
        self.status = 200
        self.seen = []
        self.app = FastAPI()
        self.app.add_api_route("/{path:path}", self.answer, methods=["GET", "HEAD"])
        self.app.add_api_route("/{path:path}", self.write, methods=["POST"])
        self.app.add_middleware(CacheMiddleware, cache=self.cache)

    async def answer(self, request: Request):
        self.seen.append(dict(request.headers))
        if request.headers.get("if-none-match") == self.headers.get("ETag", "-"):
            return Response(status_code=304, headers=self.headers)
        return Response(f"{len(self.seen)}", self.status, headers=self.headers)

    async def write(self):
        return Response(status_code=201, headers={"Location": "/made"})


@pytest.fixture
def origin(clock):
    return Origin(clock)


def _states(answers):
    return [a.headers["x-cache"] for a in answers]


async def _get(web, times, path="/", **headers):
    return [await web.get(path, headers=headers) for _ in range(times)]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Cache-Control": "max-age=60"}, "HIT"),
        ({"Cache-Control": "s-maxage=60, max-age=0"}, "HIT"),
        ({"Cache-Control": 'no-cache="a, max-age=5", max-age=60'}, "MISS"),
        ({"Cache-Control": "max-age=60, no-store"}, "MISS"),
        ({"Cache-Control": "max-age=60, private"}, "MISS"),
        ({"Cache-Control": "max-age=abc"}, "MISS"),
        ({"Cache-Control": "max-age=60", "Set-Cookie": "a=b"}, "MISS"),
        ({"Cache-Control": "max-age=60", "Vary": "*"}, "MISS"),
        ({"Cache-Control": "max-age=60", "Age": "61"}, "MISS"),
        ({"Expires": "0"}, "MISS"),
        ({}, "MISS"),
    ],
)
async def test_only_what_says_how_long_it_lives_is_reused(
    origin, browse, headers, expected
):
    origin.headers = headers
    async with browse(origin.app) as web:
        answers = await _get(web, 2)

    assert _states(answers) == ["MISS", expected]


async def test_credentials_need_a_response_that_is_public(origin, browse):
    origin.headers = {"Cache-Control": "max-age=60"}
    async with browse(origin.app) as web:
        alice = await web.get("/", headers={"Authorization": "alice"})
        anonymous = await _get(web, 2)
        cookie = await web.get("/", headers={"Cookie": "session=1"})
        origin.headers = {"Cache-Control": "public, max-age=60"}
        public = await _get(web, 2, "/public", Authorization="alice")

    assert [a.text for a in (alice, *anonymous, cookie)] == ["1", "2", "2", "3"]
    assert _states(public) == ["MISS", "HIT"]


async def test_variants_are_kept_apart(origin, browse):
    origin.headers = {"Cache-Control": "max-age=60", "Vary": "Accept-Language"}
    async with browse(origin.app) as web:
        first = [
            await web.get("/", headers={"Accept-Language": language})
            for language in ("de", "de", "fr", "de", "fr", "de", "fr")
        ]

    bodies = {}
    for language, answer in zip("ddfdfdf", first, strict=True):
        bodies.setdefault(language, set()).add(answer.text)
    assert not bodies["d"] & bodies["f"]
    assert _states(first)[1] == "HIT"
    assert _states(first)[-2:] == ["HIT", "HIT"]


async def test_a_stale_response_is_validated(origin, clock, browse):
    origin.headers = {"Cache-Control": "max-age=60", "ETag": '"1"'}
    async with browse(origin.app) as web:
        await web.get("/")
        clock.now += 61
        validated = await web.get("/")
        again = await web.get("/")

    assert origin.seen[1]["if-none-match"] == '"1"'
    assert [validated.text, again.text] == ["1", "1"]
    assert _states([validated, again]) == ["MISS", "HIT"]
    assert validated.headers["cache-status"] == "accel; fwd=stale; stored"


async def test_a_client_gets_a_304(origin, browse):
    origin.headers = {
        "Cache-Control": "max-age=60",
        "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
        "ETag": '"1"',
    }
    since = {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}
    async with browse(origin.app) as web:
        await web.get("/")
        by_tag = await web.get("/", headers={"If-None-Match": '"0", W/"1"'})
        by_date = await web.get("/", headers=since)
        changed = await web.get("/", headers={"If-None-Match": '"2"'})

    assert [by_tag.status_code, by_date.status_code] == [304, 304]
    assert by_tag.content == b""
    assert changed.status_code == 200
    assert len(origin.seen) == 1


async def test_age_counts_from_the_origin(origin, clock, browse):
    origin.headers = {"Cache-Control": "max-age=60", "Age": "10"}
    async with browse(origin.app) as web:
        await web.get("/")
        clock.now += 5
        answer = await web.get("/")

    assert answer.headers.get_list("age") == ["15"]
    assert answer.headers["cache-status"] == "accel; hit; ttl=45"


async def test_stale_while_revalidate(origin, clock, browse):
    origin.headers = {"Cache-Control": "max-age=60, stale-while-revalidate=30"}
    async with browse(origin.app) as web:
        await web.get("/")
        clock.now += 70
        stale = await web.get("/")
        await origin.cache.settle()
        fresh = await web.get("/")

    assert _states([stale, fresh]) == ["STALE", "HIT"]
    assert [stale.text, fresh.text] == ["1", "2"]


async def test_stale_if_error(origin, clock, browse):
    origin.headers = {"Cache-Control": "max-age=60, stale-if-error=600"}
    async with browse(origin.app) as web:
        await web.get("/")
        clock.now += 70
        origin.status = 500
        origin.headers = {}
        spared = await web.get("/")
        clock.now += 600
        failed = await web.get("/")

    assert (spared.status_code, spared.text) == (200, "1")
    assert _states([spared]) == ["STALE"]
    assert failed.status_code == 500


async def test_a_write_forgets_its_path_and_what_it_made(origin, browse):
    origin.headers = {"Cache-Control": "max-age=60"}
    async with browse(origin.app) as web:
        for path in ("/list?page=1", "/made", "/other"):
            await web.get(path)
        await web.post("/list")
        answers = [await web.get(p) for p in ("/list?page=1", "/made", "/other")]

    assert _states(answers) == ["MISS", "MISS", "HIT"]


async def test_directives_of_the_request(origin, clock, browse):
    origin.headers = {"Cache-Control": "max-age=60"}
    async with browse(origin.app) as web:
        only = await web.get("/", headers={"Cache-Control": "only-if-cached"})
        await web.get("/")
        clock.now += 10
        states = _states(
            [
                await web.get("/", headers={"Cache-Control": control})
                for control in (
                    "only-if-cached",
                    "max-age=20",
                    "min-fresh=20",
                    "min-fresh=55",
                    "no-store",
                    "no-cache",
                )
            ]
        )

    assert only.status_code == 504
    assert states == ["HIT", "HIT", "HIT", "MISS", "BYPASS", "MISS"]


async def test_head_is_answered_from_a_stored_get(origin, browse):
    origin.headers = {"Cache-Control": "max-age=60"}
    async with browse(origin.app) as web:
        await web.get("/")
        head = await web.head("/")

    assert head.headers["x-cache"] == "HIT"
    assert head.headers["content-length"] == "1"
    assert head.content == b""


async def test_what_is_too_large_streams_through(browse):
    app = FastAPI()
    app.add_middleware(CacheMiddleware, cache=MemoryCache(), max_size=10)

    @app.get("/")
    async def stream():
        async def chunks():
            for _ in range(4):
                yield b"12345"

        return StreamingResponse(chunks(), headers={"Cache-Control": "max-age=60"})

    async with browse(app) as web:
        answers = await _get(web, 2)

    assert [a.content for a in answers] == [b"12345" * 4] * 2
    assert _states(answers) == ["MISS", "MISS"]


async def test_concurrent_requests_are_collapsed(client, browse):
    app, runs = FastAPI(), []
    app.add_middleware(CacheMiddleware, cache=client)

    @app.get("/")
    async def slow(response: Response):
        runs.append(1)
        await asyncio.sleep(0.05)
        response.headers["Cache-Control"] = "max-age=60"
        return 1

    with cache_spy(cache_for(client)) as spy:
        async with browse(app) as web:
            answers = await asyncio.gather(*(web.get("/") for _ in range(50)))

    assert {a.text for a in answers} == {"1"}
    assert len(runs) == spy.misses == 1


async def test_cache_status_off_means_no_cache(origin, browse):
    origin.headers = {"Cache-Control": "max-age=60"}
    origin.app.state.CACHE_STATUS = False
    async with browse(origin.app) as web:
        answers = await _get(web, 2)

    assert [a.text for a in answers] == ["1", "2"]


async def test_a_host_is_no_part_of_a_path(browse):
    app = FastAPI()
    app.add_middleware(CacheMiddleware, cache=MemoryCache())

    @app.get("/{path:path}")
    async def page(path: str, response: Response):
        response.headers["Cache-Control"] = "max-age=60"
        return path

    async with browse(app) as web:
        await web.get("/", headers={"Host": "test/news"})
        answer = await web.get("/news/")

    assert answer.json() == "news/"


async def test_what_a_client_breaks_off_is_not_stored_as_a_whole(browse):
    app = FastAPI()
    app.add_middleware(CacheMiddleware, cache=MemoryCache())
    begun = asyncio.Event()

    @app.get("/")
    async def stream():
        async def chunks():
            yield b"a"
            begun.set()
            # For whoever leaves meanwhile.
            await asyncio.sleep(0.01)
            yield b"b"

        return StreamingResponse(chunks(), headers={"Cache-Control": "max-age=60"})

    sent = []

    async def receive():
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"host", b"test")],
        "root_path": "",
        # Of servers that say by `receive` alone that a client has left.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }
    await app(scope, receive, send)
    async with browse(app) as web:
        answers = await _get(web, 2)

    assert [m.get("more_body") for m in sent] == [None, True]
    assert [a.content for a in answers] == [b"ab"] * 2
    assert _states(answers) == ["MISS", "HIT"]


async def test_an_age_of_thousands_of_digits_is_a_long_one(origin, browse):
    origin.headers = {"Cache-Control": "max-age=60"}
    async with browse(origin.app) as web:
        first = await web.get("/")
        second = await web.get("/", headers={"Cache-Control": f"max-age={'9' * 5000}"})

    assert _states([first, second]) == ["MISS", "HIT"]


async def test_a_location_that_is_no_address_harms_nobody(browse):
    app = FastAPI()
    app.add_middleware(CacheMiddleware, cache=MemoryCache())

    @app.post("/")
    async def login(to: str):
        return Response(status_code=303, headers={"Location": to})

    async with browse(app) as web:
        answer = await web.post("/", params={"to": "http://[half"})

    assert answer.status_code == 303


@pytest.mark.parametrize("processes", [1, 2])
async def test_nobody_waits_for_the_end_of_a_stream(client, processes):
    app = FastAPI()
    caches = [Cache(client) for _ in range(processes)]

    @app.get("/")
    async def events():
        async def chunks():
            yield b"event"
            await asyncio.Event().wait()

        return StreamingResponse(chunks())

    async def ask(cache, begun):
        async def send(message):
            if message.get("body") == b"event":
                begun.set()

        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b""}
        asked = {**scope, "headers": [], "asgi": {"spec_version": "2.3"}}
        # Nobody leaves: `receive` waits for ever.
        await CacheMiddleware(app, cache)(asked, asyncio.Event().wait, send)

    begun = [asyncio.Event(), asyncio.Event()]
    clients = [
        asyncio.create_task(ask(caches[n % processes], begun[n])) for n in range(2)
    ]
    async with asyncio.timeout(10):
        await asyncio.gather(*(event.wait() for event in begun))
    for task in clients:
        task.cancel()
    await asyncio.wait(clients)
    for cache in caches:
        await cache.aclose()


async def test_what_is_never_stored_is_not_looked_up(origin, browse):
    with cache_spy(origin.cache) as spy:
        async with browse(origin.app) as web:
            private = await _get(web, 3)
            looked_up = spy.misses
            origin.headers = {"Cache-Control": "max-age=60"}
            public = await _get(web, 3)

    assert _states(private) == ["MISS"] * 3
    assert looked_up == 1
    # The first one that may be stored is found out by chance.
    assert _states(public) == ["MISS", "MISS", "HIT"]


async def test_two_services_on_one_server_are_strangers(browse):
    cache, answers = MemoryCache(), []
    headers = {"Cache-Control": "max-age=60"}
    for title in ("shop", "bank"):
        app = FastAPI(title=title)
        app.add_middleware(CacheMiddleware, cache=cache)
        app.get("/")(lambda title=title: Response(title, headers=headers))
        async with browse(app) as web:
            answers += [answer.text for answer in await _get(web, 2)]

    assert answers == ["shop", "shop", "bank", "bank"]
