"""No user ever gets what was made for another one."""

from types import SimpleNamespace
from typing import Annotated

import pytest
import redis.asyncio as redis
from fastapi import (
    APIRouter,
    Cookie,
    Depends,
    FastAPI,
    Header,
    Request,
    Response,
    Security,
)
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBearer,
    OAuth2PasswordBearer,
)
from pydantic import AliasChoices, BaseModel, Field

from accel_cache import MemoryCache, cache_redis

pytestmark = pytest.mark.anyio

USERS = ["alice", "bob", "alice", "bob"]


@pytest.fixture
def cache():
    return MemoryCache()


def _reads_request(cache):
    @cache(ttl=60)
    async def endpoint(request: Request):
        return request.headers.get("authorization")

    return endpoint


def _reads_dependency(cache):
    def user(authorization: str = Header("")):
        return authorization

    @cache(ttl=60)
    async def endpoint(name: str = Depends(user)):
        return name

    return endpoint


def _reads_bearer(cache):
    @cache(ttl=60)
    async def endpoint(token: Annotated[str, Depends(OAuth2PasswordBearer("/token"))]):
        return token

    return endpoint


@pytest.mark.parametrize("make", [_reads_request, _reads_dependency, _reads_bearer])
async def test_authorization_separates_users(cache, browse, make):
    app = FastAPI()
    app.get("/")(make(cache))
    async with browse(app) as web:
        answers = [
            await web.get("/", headers={"Authorization": f"Bearer {user}"})
            for user in USERS
        ]

    assert [a.json().rpartition(" ")[2] for a in answers] == USERS
    assert [a.headers["x-cache"] for a in answers] == ["MISS", "MISS", "HIT", "HIT"]
    assert all("private" in a.headers["cache-control"] for a in answers)


async def test_cookies_separate_users(cache, browse):
    app = FastAPI()

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(session: Annotated[str, Cookie()]):
        return session

    async with browse(app) as web:
        answers = [
            await web.get("/", headers={"Cookie": f"session={user}"}) for user in USERS
        ]

    assert [a.json() for a in answers] == USERS


async def test_named_cookies_identify_and_others_do_not_split(browse):
    app, cache = FastAPI(), MemoryCache(identity_cookies=["session"])

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(session: Annotated[str, Cookie()]):
        return session

    async with browse(app) as web:
        answers = [
            await web.get("/", headers={"Cookie": cookie})
            for cookie in ("session=a; theme=1", "session=a; theme=2", "session=b")
        ]

    assert [a.json() for a in answers] == ["a", "a", "b"]
    assert [a.headers["x-cache"] for a in answers] == ["MISS", "HIT", "MISS"]


@pytest.mark.parametrize(
    ("scheme", "send"),
    [
        (APIKeyHeader(name="X-Key"), lambda user: {"headers": {"X-Key": user}}),
        (APIKeyQuery(name="key"), lambda user: {"params": {"key": user}}),
        (APIKeyCookie(name="key"), lambda user: {"headers": {"Cookie": f"key={user}"}}),
    ],
)
async def test_keys_of_any_security_scheme_separate_users(cache, browse, scheme, send):
    app, router = FastAPI(), APIRouter()

    @router.get("/")
    @cache(ttl=60)
    async def endpoint(request: Request):
        where = {**request.query_params, **request.cookies, **request.headers}
        return where.get("x-key") or where["key"]

    # The dependency comes from the inclusion: the route does not know it.
    app.include_router(router, dependencies=[Security(scheme)])
    async with browse(app) as web:
        answers = [await web.get("/", **send(user)) for user in USERS]

    assert [a.json() for a in answers] == USERS
    assert all("private" in a.headers["cache-control"] for a in answers)


async def test_declared_headers_are_a_part_of_the_key(cache, browse):
    app = FastAPI()

    def tenant(x_tenant: Annotated[str, Header()]):
        return x_tenant

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(name: Annotated[str, Depends(tenant)]):
        return name

    async with browse(app) as web:
        answers = [await web.get("/", headers={"X-Tenant": user}) for user in USERS]

    assert [a.json() for a in answers] == USERS
    assert "x-tenant" in answers[0].headers["vary"]


async def test_an_identity_that_only_a_middleware_knows_is_not_cached(cache, browse):
    app = FastAPI()

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(request: Request):
        return request.scope["user"].name

    users = iter(USERS)

    async def with_user(scope, receive, send):
        scope["user"] = SimpleNamespace(is_authenticated=True, name=next(users))
        await app(scope, receive, send)

    async with browse(with_user) as web:
        answers = [await web.get("/") for _ in USERS]

    assert [a.json() for a in answers] == USERS
    assert {a.headers["x-cache"] for a in answers} == {"BYPASS"}


async def test_scopes(cache, browse):
    app = FastAPI()

    @app.get("/public")
    @cache(ttl=60, scope="public")
    async def public():
        return 1

    @app.get("/private")
    @cache(ttl=60, scope="private")
    async def private():
        return 1

    @app.get("/tenant")
    @cache(ttl=60, scope=lambda request: request.headers.get("x-tenant"))
    async def tenant(request: Request):
        return request.headers.get("x-tenant")

    async with browse(app) as web:
        shared = [
            await web.get("/public", headers={"Authorization": u}) for u in ("a", "b")
        ]
        own = await web.get("/private")
        tenants = [await web.get("/tenant", headers={"X-Tenant": u}) for u in USERS]

    assert shared[1].headers["x-cache"] == "HIT"
    assert shared[1].headers["cache-control"] == "max-age=60"
    assert own.headers["cache-control"] == "private, max-age=60"
    assert [t.json() for t in tenants] == USERS


async def test_hosts_and_methods_do_not_share(cache, browse):
    app, runs = FastAPI(), []

    @app.api_route("/", methods=["GET", "POST"])
    @cache(ttl=60)
    async def endpoint(request: Request):
        runs.append(1)
        return f"{request.method} {request.headers['host']}"

    async with browse(app) as web:
        posts = [await web.post("/") for _ in range(2)]
        gets = [await web.get("/", headers={"Host": host}) for host in ("a", "b", "a")]

    assert [g.json() for g in gets] == ["GET a", "GET b", "GET a"]
    assert {p.headers["x-cache"] for p in posts} == {"BYPASS"}
    assert len(runs) == 4


async def test_basic_credentials_and_refusals_stay_outside_of_the_cache(cache, browse):
    app = FastAPI()

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(_: Annotated[object, Depends(HTTPBasic())]):
        return "secret"

    async with browse(app) as web:
        await web.get("/", auth=("alice", "pw"))
        refused = await web.get("/")

    assert refused.status_code == 401
    assert "secret" not in refused.text


async def test_optional_credentials_have_an_anonymous_partition(cache, browse):
    app = FastAPI()
    bearer = HTTPBearer(auto_error=False)

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(found: Annotated[object, Depends(bearer)]):
        return found.credentials if found else "anonymous"

    async with browse(app) as web:
        mine = await web.get("/", headers={"Authorization": "Bearer alice"})
        anonymous = await web.get("/")

    assert [mine.json(), anonymous.json()] == ["alice", "anonymous"]


async def test_what_sets_a_cookie_is_not_stored(cache, browse):
    app, runs = FastAPI(), []

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(response: Response):
        runs.append(1)
        response.set_cookie("session", str(len(runs)))
        return len(runs)

    async with browse(app) as web:
        first = await web.get("/")
        web.cookies.clear()
        second = await web.get("/")

    assert [first.json(), second.json()] == [1, 2]
    assert "session=2" in second.headers["set-cookie"]


async def test_no_credential_reaches_the_server(client, server, browse):

    app = FastAPI()

    @app.get("/")
    @cache_redis(cache_class=client, cache_ttl=60)
    async def endpoint():
        return 1

    async with browse(app) as web:
        await web.get("/?q=hidden-query", headers={"Authorization": "hidden-token"})

    async with redis.from_url(server.url) as reader:
        keys = [key async for key in reader.scan_iter("*")]
        values = [await reader.get(key) for key in keys]
    assert len(keys) == 2
    assert not [data for data in (*keys, *values) if b"hidden" in data]


async def test_declared_cookies_are_a_part_of_the_key_whoever_they_identify(browse):
    app = FastAPI()
    cache = MemoryCache(identity_cookies=["session"])

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(
        theme: Annotated[str, Cookie()] = "light",
        token: Annotated[str | None, Security(APIKeyCookie(name="key"))] = None,
    ):
        return [theme, token]

    sent = ["key=a; theme=dark", "key=a", "key=b; x=1", "key=b; x=2"]
    async with browse(app) as web:
        answers = [await web.get("/", headers={"Cookie": cookie}) for cookie in sent]

    assert [a.json() for a in answers] == [
        *(["dark", "a"], ["light", "a"], ["light", "b"], ["light", "b"])
    ]
    assert answers[3].headers["x-cache"] == "HIT"


class Sender(BaseModel):
    x_user: str
    region: str = Field("", validation_alias=AliasChoices("x-region", "X_Region"))


@pytest.mark.parametrize("name", ["x-user", "x-region", "x_region"])
@pytest.mark.parametrize("kind", [Sender, Sender | None])
async def test_every_name_of_a_header_is_a_part_of_the_key(cache, browse, kind, name):
    app = FastAPI()

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(sender: Annotated[kind, Header()]):
        return [sender.x_user, sender.region]

    async with browse(app, headers={"x-user": "ann"}) as web:
        answers = [await web.get("/", headers={name: value}) for value in "ab"]

    assert answers[0].json() != answers[1].json()


async def test_a_header_may_be_declared_by_a_validation_alias(cache, browse):
    app = FastAPI()

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(tenant: Annotated[str, Header(validation_alias="x-tenant")]):
        return tenant

    async with browse(app) as web:
        answers = [await web.get("/", headers={"x-tenant": t}) for t in "ab"]

    assert [a.json() for a in answers] == ["a", "b"]


async def test_what_a_dependency_says_of_caching_counts(cache, browse):
    app = FastAPI()

    def tenant(request: Request, response: Response):
        response.headers["Vary"] = "X-Tenant"
        if request.headers["x-tenant"] == "secret":
            response.headers["Cache-Control"] = "no-store"
        return request.headers["x-tenant"]

    @app.get("/")
    @cache(ttl=60)
    async def endpoint(name: Annotated[str, Depends(tenant)]):
        return name

    sent = ["a", "b", "b", "secret", "secret"]
    async with browse(app) as web:
        answers = [await web.get("/", headers={"X-Tenant": name}) for name in sent]

    assert [a.json() for a in answers] == sent
    states = [a.headers["x-cache"] for a in answers]
    assert states == ["MISS", "MISS", "HIT", "MISS", "MISS"]
