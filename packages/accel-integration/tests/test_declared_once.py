"""What is declared once holds for all endpoints, and arguments are checked first."""

import asyncio
import base64
import enum
import gc
import io
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO

import httpx
import httpx2
import pytest
from pydantic import BaseModel, Field

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    IntegrationError,
    IntegrationHTTP,
    MaxRetriesExceededError,
    RequestError,
    ResponseError,
    called_by,
    docintegration,
    endpoint_of,
    sp,
)
from accel_integration.testing import MockRules, patch_integration, respond

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request):
    return request.param


def sign(request):
    request.headers["x-signature"] = f"signed {request.url.path}"


class Shop(EndpointsDeclaration):
    integration = IntegrationHTTP(
        "Shop",
        strategies=[sp.Timeout(30)],
        headers=lambda credentials: {"x-key": credentials["KEY"], "accept": "text/x"},
        auth=("user", "password of the shop"),
    )

    @integration.endpoint("get", "/plain")
    async def plain(api: ApiHTTP) -> list[str]:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint(
        "get", "/other", headers={"x-key": "changed"}, auth=sign, strategies=[]
    )
    async def other(api: ApiHTTP) -> list[str]:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint("get", "/own")
    async def own(api: ApiHTTP) -> list[str]:
        headers = {"x-key": "its own", "accept": "text/plain"}
        return (await api.client.get(str(api.url), headers=headers)).json()

    @integration.endpoint("get", "/far")
    async def far(api: ApiHTTP) -> list[str]:
        return (await api.client.get("http://elsewhere.test/far")).json()

    @integration.endpoint("get", "/moved")
    async def moved(api: ApiHTTP) -> list[str]:
        return (await api.client.get(str(api.url), follow_redirects=True)).json()

    @integration.endpoint("get", "/hedged")
    @sp.Hedge(30)
    async def hedged(api: ApiHTTP) -> list[str]:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint("get", "/sync")
    def sync(api: ApiHTTP) -> list[str]:
        return api.client.get(str(api.url)).json()

    @integration.endpoint("get", "/secret", headers={"x-token": "fixed secret"})
    async def secret(api: ApiHTTP) -> int:
        return await api.client.get(str(api.url))


NAMES = ("x-key", "accept", "authorization", "x-signature")
BASIC = "Basic " + base64.b64encode(b"user:password of the shop").decode()


def echo(library):
    def handler(request):
        if request.url.path == "/moved":
            return library.Response(302, headers={"location": "http://elsewhere.test"})
        return library.Response(200, json=[request.headers.get(n, "") for n in NAMES])

    return library.MockTransport(handler)


@pytest.fixture
async def shop(library):
    async with library.AsyncClient(transport=echo(library)) as client:
        yield Shop("http://shop.test", {"KEY": "from credentials"}, client=client)


async def test_headers_and_auth_are_declared_once(shop):
    expected = ["from credentials", "text/x", BASIC, ""]

    assert await shop.plain() == expected
    assert await shop.hedged() == expected


def test_headers_and_auth_are_for_sync_endpoints_too(library):
    with library.Client(transport=echo(library)) as client:
        shop = Shop("http://shop.test", {"KEY": "k"}, client=client)

        assert shop.sync() == ["k", "text/x", BASIC, ""]


async def test_an_endpoint_may_have_others(shop):
    assert await shop.other() == ["changed", "text/x", "", "signed /other"]
    assert endpoint_of(Shop.other).strategies == ()
    assert len(endpoint_of(Shop.plain).strategies) == 1


async def test_what_the_method_sends_itself_wins(shop):
    assert await shop.own() == ["its own", "text/plain", BASIC, ""]


async def test_no_other_host_gets_what_is_declared(shop):
    assert "from credentials" not in await shop.far()
    assert BASIC not in await shop.far()
    assert "from credentials" not in await shop.moved()
    assert BASIC not in await shop.moved()


def hmac_of(request, credentials):
    request.headers["x-signature"] = f"{credentials['KEY']} of {request.url.path}"


async def hmac_of_all(request, credentials):
    body = await request.aread()
    request.headers["x-signature"] = f"{credentials['KEY']} of {len(body)} bytes"


def declare_with(auth, func):
    integration = IntegrationHTTP("Signed", auth=auth)
    endpoint = integration.endpoint("post", "/signed")(func)
    body = {"integration": integration, "call": endpoint}
    return type("Signed", (EndpointsDeclaration,), body)


async def post_form(api: ApiHTTP) -> list[str]:
    files = {"file": io.BytesIO(b"x" * 100)}
    return (await api.client.post(str(api.url), files=files)).json()


def post_sync(api: ApiHTTP) -> list[str]:
    return api.client.post(str(api.url), json={}).json()


async def test_signature_may_depend_on_the_credentials_and_the_whole_body(library):
    async with library.AsyncClient(transport=echo(library)) as client:
        shop = declare_with(hmac_of_all, post_form)("http://it", {"KEY": "k"}, client)

        *_, signature = await shop.call()

    assert re.fullmatch(r"k of \d{3} bytes", signature)


def test_sync_signature_gets_the_credentials_too(library):
    with library.Client(transport=echo(library)) as client:
        shop = declare_with(hmac_of, post_sync)("http://it", {"KEY": "k"}, client)

        assert shop.call()[-1] == "k of /signed"


def test_async_signature_of_a_sync_endpoint_is_refused(library):
    with library.Client(transport=echo(library)) as client:
        shop = declare_with(hmac_of_all, post_sync)("http://it", {"KEY": "k"}, client)

        with pytest.raises(TypeError, match="cannot await its `auth=`"):
            shop.call()


def test_headers_that_nobody_would_await_are_refused():
    async def headers(credentials):
        return {}

    with pytest.raises(TypeError, match='"headers" must be a sync function'):
        IntegrationHTTP("It", headers=headers)


@pytest.mark.parametrize("auth", [hmac_of, hmac_of_all])
def test_signature_stays_when_a_redirection_leads_away(library, auth):
    shop = declare_with(auth, post_form)("http://here", {"KEY": "k"})
    prepare = Shop.integration.extras.changed(None, auth).for_call(shop)
    with library.Client() as client:
        here = client.build_request("POST", "http://here/a", json={})
        pending = prepare(here)
        if pending is not None:
            asyncio.run(pending)
        there = client.build_request("POST", "http://there", headers=here.headers)

    prepare(there)

    assert here.headers["x-signature"].startswith("k of")
    assert "x-signature" not in there.headers


async def test_headers_that_a_function_makes_anew_stay_behind_too(library):
    nonces = (f"nonce {number}" for number in range(9))
    seen = []

    class It(EndpointsDeclaration):
        integration = IntegrationHTTP("It", headers=lambda _: {"x-nonce": next(nonces)})

        @integration.endpoint("get", "/")
        async def call(api: ApiHTTP) -> str:
            return (await api.client.get(str(api.url), follow_redirects=True)).text

    def handler(request):
        seen.append(request.headers.get("x-nonce"))
        if request.url.host == "it":
            return library.Response(302, headers={"location": "http://elsewhere"})
        return library.Response(200, text="here")

    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        assert await It("http://it", client=client).call() == "here"

    assert seen == ["nonce 0", None]


@pytest.mark.parametrize(
    "base_url",
    [
        "https://API.Example.com",
        "https://api.example.com:443/v1",
        "http://host:80",
        "http://[::1]:80",
        "https://user@host",
        "https://bücher.example",
        "https://straße.example",
    ],
)
def test_host_may_be_written_as_people_do(library, base_url):
    shop = Shop(base_url, {"KEY": "the key"})
    with library.Client() as client:
        request = client.build_request("GET", str(shop.url))

    Shop.integration.extras.for_call(shop)(request)

    assert request.headers["x-key"] == "the key"
    assert request.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://host", "http://host"),
        ("https://host", "https://host:80"),
        ("http://host:80", "http://host:8080"),
        ("https://host", "https://host.evil.example"),
        ("https://host", "https://host@evil.example"),
        ("https://bücher.example", "https://bucher.example"),
    ],
)
def test_what_only_looks_like_the_host_gets_nothing(library, base_url, url):
    shop = Shop(base_url, {"KEY": "the key"})
    with library.Client() as client:
        request = client.build_request("GET", url)

    Shop.integration.extras.for_call(shop)(request)

    assert "x-key" not in request.headers
    assert "authorization" not in request.headers


async def test_declared_secrets_are_in_no_error_repr_or_page(library):
    def handler(request):
        return library.Response(200, text=f"{request.headers} fixed secret")

    async with library.AsyncClient(transport=library.MockTransport(handler)) as client:
        shop = Shop("http://shop.test", {"KEY": "from credentials"}, client=client)
        with pytest.raises(ResponseError) as caught:
            await shop.secret()

    page = await read(docintegration(shop))
    shown = f"{caught.value} {caught.value.body} {Shop.integration.extras!r} {page}"
    for secret in ("fixed secret", "from credentials", "password of the shop"):
        assert secret not in shown
    assert BASIC not in page


async def read(app):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b""}
    await app(scope, None, send)
    return b"".join(message.get("body", b"") for message in sent).decode()


@pytest.mark.parametrize("auth", ["name", ("one",), 5])
def test_auth_that_is_none_is_refused(auth):
    with pytest.raises(TypeError, match='"auth" must be'):
        IntegrationHTTP("Api", auth=auth)
    with pytest.raises(TypeError, match='"headers" must be'):
        IntegrationHTTP("Api", headers=["x-key"])


def test_headers_that_are_no_texts_are_refused_without_their_values():
    with pytest.raises(TypeError, match="'x-key' is not") as caught:
        IntegrationHTTP("Api", headers={"x-page": "1", "x-key": b"s3cret"})

    assert "s3cret" not in str(caught.value)


class Down(EndpointsDeclaration):
    integration = IntegrationHTTP("Down", retry_budget=sp.RetryBudget(0, reserve=3))

    @integration.endpoint("get", "/a")
    @sp.RetryPattern(3, 0)
    async def first(api: ApiHTTP) -> str:
        raise ConnectionError

    @integration.endpoint("get", "/b")
    @sp.RetryPattern(3, 0)
    async def second(api: ApiHTTP) -> str:
        raise ConnectionError

    @integration.endpoint("get", "/c")
    @sp.RetryPattern(3, 0, budget=sp.RetryBudget(0, reserve=100))
    async def apart(api: ApiHTTP) -> str:
        raise ConnectionError


async def attempts_of(call):
    with pytest.raises(MaxRetriesExceededError) as caught:
        await call()
    return caught.value.attempts


async def test_retries_of_an_integration_have_one_budget_per_origin():
    one, other = Down("http://one.test"), Down("http://other.test")

    assert await attempts_of(one.first) == 3
    assert await attempts_of(one.second) == 2
    assert await attempts_of(one.second) == 1
    assert await attempts_of(other.second) == 3
    assert await attempts_of(one.apart) == 3


def test_budgets_of_origins_that_are_forgotten_go_with_them(monkeypatch):
    monkeypatch.setattr("accel_integration._strategy.MAX_ORIGINS", 2)
    one_retry = sp.RetryBudget(0, reserve=1)
    webhooks = IntegrationHTTP("Webhooks", retry_budget=one_retry)

    class Webhooks(EndpointsDeclaration):
        integration = webhooks

        @integration.endpoint("post", "/")
        @sp.RetryPattern(2, 0)
        def send(api: ApiHTTP) -> str:
            raise ConnectionError

    def attempts_at(host):
        with pytest.raises(MaxRetriesExceededError) as caught:
            Webhooks(f"http://{host}").send()
        return caught.value.attempts

    assert attempts_at("kept") == 2
    assert attempts_at("gone") == 2
    for number in range(9):
        assert attempts_at("kept") == 1
        assert attempts_at(f"h{number}") == 2
    gc.collect()

    assert attempts_at("gone") == 2


class Color(enum.Enum):
    red = "red"


class Order(BaseModel):
    amount: int


class IterationOrder(Order):
    """Called like a stream, and none."""


Names = Iterable[str] | None


class Orders(EndpointsDeclaration):
    integration = IntegrationHTTP("Orders")

    @integration.endpoint("post", "/{number}")
    @sp.Fallback("fallback")
    @sp.RetryPattern(3, 0)
    async def put(
        api: ApiHTTP,
        number: int,
        *rest: int,
        order: Order | None = None,
        color: Color = Color.red,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        **more: int,
    ) -> list:
        return [number, rest, order, color, share, more, str(api.url)]

    @integration.endpoint("get", "/iterations")
    async def after(api: ApiHTTP, last: IterationOrder, names: Names = ()) -> list:
        return [last, names]

    @integration.endpoint("post", "/upload")
    def upload(api: ApiHTTP, file: BinaryIO, chunks: Iterator[bytes]) -> list:
        return [file.read(), next(chunks)]


orders = Orders("http://orders.test")


@pytest.mark.parametrize(
    ("args", "kwargs", "argument"),
    [
        (("x",), {}, "number"),
        ((None,), {}, "number"),
        ((1, 2, "x"), {}, "rest"),
        ((), {"number": "x"}, "number"),
        ((1,), {"order": {"amount": "many"}}, "order"),
        ((1,), {"color": "blue"}, "color"),
        ((1,), {"share": 1}, "share"),
        ((1,), {"further": "x"}, "more"),
    ],
)
async def test_wrong_argument_is_named_before_anything_is_sent(args, kwargs, argument):
    with pytest.raises(RequestError, match=f"its argument '{argument}'") as caught:
        await orders.put(*args, **kwargs)

    error = caught.value
    assert isinstance(error, ValueError)
    assert isinstance(error, IntegrationError)
    assert str(error).startswith("Orders: put was not called")
    assert "Pass what it is annotated with" in str(error)
    assert error.http_status == 500


async def test_error_does_not_show_the_argument():
    with pytest.raises(RequestError) as caught:
        await orders.put("my password")

    assert "my password" not in str(caught.value)


async def test_arguments_become_what_they_are_annotated_with():
    answer = await orders.put("7", "8", order={"amount": "9"}, color="red", x="1")

    expected = [7, (8,), Order(amount=9), Color.red, 0.5, {"x": 1}]
    assert answer == [*expected, "http://orders.test/7"]


async def test_models_may_be_called_like_streams():
    assert await orders.after({"amount": "9"}) == [IterationOrder(amount=9), ()]


async def test_streams_and_files_are_handed_on_as_they_are():
    names = ["a"]

    assert (await orders.after(IterationOrder(amount=1), names))[1] is names
    assert orders.upload(io.BytesIO(b"a"), iter([b"b"])) == [b"a", b"b"]


async def test_mocked_endpoints_are_checked_too():
    rules = MockRules({Orders.put: respond(json=[])})

    with patch_integration(mock_rules=rules), pytest.raises(RequestError):
        await orders.put("x")

    assert rules.count(Orders.put) == 0


async def test_missing_argument_is_the_usual_error():
    with pytest.raises(TypeError, match="number"):
        await orders.put()


class Used(EndpointsDeclaration):
    integration = IntegrationHTTP("Used")

    @integration.endpoint("get", "/")
    async def thing(api: ApiHTTP) -> int:
        return 1


async def test_page_lists_the_routes_that_use_an_endpoint():
    used, route = Used("http://used.test"), None
    with called_by(lambda: route):
        await used.thing()  # Nobody knows the route yet.
        route = "GET /books/{id}"
        await used.thing()
        await used.thing()
    await used.thing()

    assert used.stats_of(endpoint_of(Used.thing)).used_by == {"GET /books/{id}": 2}
    assert "GET /books/{id}</p>" in await read(docintegration(used))
    assert "no route so far" in await read(docintegration(Used("http://new.test")))


async def test_callers_do_not_fill_the_memory():
    used = Used("http://used.test")
    for number in range(60):
        with called_by(lambda number=number: f"GET /{number}"):
            await used.thing()

    assert len(used.stats_of(endpoint_of(Used.thing)).used_by) == 50


async def test_answer_survives_a_caller_that_cannot_be_told(caplog):
    used = Used("http://used.test")

    with called_by(lambda: 1 / 0):
        assert await used.thing() == 1

    assert "A function given to `called_by` failed." in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert used.stats_of(endpoint_of(Used.thing)).calls == 1
