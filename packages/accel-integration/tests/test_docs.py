"""The documentation is complete, safe to show, and tells how things are."""

import base64
import datetime as dt
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Annotated, Any, BinaryIO, Literal
from uuid import UUID

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel, Field, create_model

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    RequestError,
    called_by,
    docintegration,
    sp,
)
from accel_integration._describe import entries_of, integration_state
from accel_integration._openapi import openapi_of
from accel_integration._page import prose

pytestmark = pytest.mark.anyio


class Payments(EndpointsDeclaration):
    integration = IntegrationHTTP("Payments", doc="Cards & <refunds>")

    class Schema:
        class Charge(BaseModel):
            id: str = Field(description="What the provider calls it")
            currency: Literal["EUR", "USD"] = "EUR"
            tags: list[str] = []

    class SchemaError:
        class http402(BaseModel):
            code: str | None = None

    @integration.endpoint(
        HTTPMethod.post, "/charges", version="v3", docurl="https://docs.test/charges"
    )
    @sp.Timeout(20)
    @sp.RetryPattern(2, 0, statuses={503})
    @sp.CircuitBreaker(2)
    async def charge(
        api: ApiHTTP, a: int, api_key: str = "hush-hush", p: str = "x", i: int = 1
    ) -> Schema.Charge | SchemaError.http402:
        """Charge a card."""
        response = await api.client.post(
            str(api.url),
            json={"a": a},
            headers={
                "Authorization": f"Bearer {api.credentials['TOKEN']}",
                "X": "`id`",
            },
        )
        response.raise_for_status()
        return response

    @integration.endpoint(
        HTTPMethod.get, "/charges/{charge_id}", docurl="javascript:x()"
    )
    async def find(api: ApiHTTP, charge_id: str, **extra: Any) -> list[Schema.Charge]:
        """<script>alert(1)</script>"""
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint(HTTPMethod.get, "/charges/{charge_id}")
    async def raw(api: ApiHTTP, charge_id: str) -> httpx.Response: ...


def reply(request):
    if request.method == "GET":
        return httpx.Response(200, json=[])
    if b"9" in request.content:
        return httpx.Response(500, json={})
    return httpx.Response(200, json={"id": "1"})


@pytest.fixture
async def payments():
    Payments.charge.__accel_endpoint__.plan.reset()
    async with Payments(
        "https://user:pa55word@pay.test/base/",
        {"TOKEN": "s3cr3t-token"},
        client=lambda: httpx.AsyncClient(transport=httpx.MockTransport(reply)),
    ) as payments:
        yield payments


@pytest.fixture
async def web(payments):
    app = docintegration([payments, Payments, payments], title="Ours")
    transport = httpx.ASGITransport(app, root_path="/docintegration")
    base_url = "http://test/docintegration"
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as web:
        yield web


async def test_page_is_complete_without_javascript(web):
    page = (await web.get("/")).text

    for text in (
        "<h1>Ours</h1>",
        "3 integrations, 9 endpoints",
        "Cards &amp; &lt;refunds&gt;",
        "https://***@pay.test/base/",
        "version v3",
        'href="https://docs.test/charges"',
        "gives up after 20 s",
        "tries up to 2 times, 0 s apart, also on status 503",
        "What the provider calls it",
        "&quot;EUR&quot; | &quot;USD&quot;",
        "list of string",
        "<code>http402</code> <span>on 402</span>",
    ):
        assert text in page


async def test_every_parameter_is_documented_but_the_api(payments):
    (charge, *_) = payments.integration.docs["methods"]

    assert list(charge["annotations"]) == ["a", "api_key", "p", "i", "return"]
    assert charge["httpmethod"] == "POST"
    assert charge["annotations"]["return"] == "Charge | http402"


def test_types_are_written_as_people_write_them():
    integration = IntegrationHTTP("Listing")

    class Listing(EndpointsDeclaration):
        @integration.endpoint(HTTPMethod.get, "/list")
        async def items(
            api: ApiHTTP,
            order: Literal["newest", "oldest"] | None = None,
            ids: list[int] | None = None,
            pair: tuple[int, ...] = (),
            on_page: Callable[[int], str] | None = None,
        ) -> dict[str, Any]: ...

    (items,) = integration.docs["methods"]

    assert items["annotations"] == {
        "order": "Literal['newest', 'oldest'] | None",
        "ids": "list[int] | None",
        "pair": "tuple[int, ...]",
        "on_page": "Callable[[int], str] | None",
        "return": "dict[str, Any]",
    }


async def test_two_integrations_of_one_name_are_kept_apart(web):
    state = (await web.get("/state.json")).json()

    slugs = [integration["slug"] for integration in state["integrations"]]
    assert slugs == ["payments", "payments-2", "payments-3"]


async def test_nothing_hostile_or_secret_reaches_the_page(web, payments):
    await payments.charge(1)
    page = (await web.get("/", params={"q": '"><script>'})).text
    page += (await web.get("/")).text
    page += (await web.get("/state.json")).text
    page += (await web.get("/openapi/payments.json")).text

    assert "<script>alert" not in page.replace('"<script>alert(1)</script>"', "")
    assert '"><script>' not in page
    assert 'href="javascript' not in page
    basic = base64.b64encode(b"user:pa55word").decode()
    assert "authorization: ***" in page
    for secret in ("s3cr3t-token", "pa55word", basic, "hush-hush"):
        assert secret not in page


async def test_secret_in_a_path_is_shown_nowhere():
    class Rates(EndpointsDeclaration):
        integration = IntegrationHTTP("Rates")

        @integration.endpoint("get", "/rates?api_key=hush-hush&base={base}&all=1")
        async def rates(api: ApiHTTP, base: str) -> Any: ...

    transport = httpx.ASGITransport(docintegration([Rates("https://rates.test")]))
    async with httpx.AsyncClient(transport=transport, base_url="http://it") as web:
        page = (await web.get("/")).text
        page += (await web.get("/state.json")).text
        page += (await web.get("/openapi/rates.json")).text
    page += repr([Rates.integration.docs, Rates.integration.endpoints])

    assert "/rates?api_key=***&base={base}&all=1" in page
    assert '"const": "1"' in page
    assert "hush-hush" not in page


async def test_nothing_comes_from_elsewhere_and_nothing_runs_inline(web):
    response = await web.get("/")
    policy = response.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'(src|stylesheet" href)="(https?:)?//', response.text)
    assert not re.search(r"<script(?! src)|<style| style=| on\w+=", response.text)


PATHS = ("/docs/", "/v1/docs", "/api/v1/docs/")


async def test_a_proxy_may_cut_its_part_off_the_path():
    docs = docintegration([Payments])

    async def mounted(scope, receive, send):
        await docs({**scope, "root_path": "/api/v1/docs"}, receive, send)

    transport = httpx.ASGITransport(mounted)
    async with httpx.AsyncClient(transport=transport, base_url="http://it") as web:
        pages = [(await web.get(path)).text for path in PATHS]
        state = await web.get("/docs/state.json")

    assert pages[0] == pages[1] == pages[2]
    assert '"/api/v1/docs/docintegration.css"' in pages[0]
    assert state.json()["integrations"]


async def test_assets_are_served_below_the_mount(web):
    page = (await web.get("/")).text

    for url in re.findall(r'"(/docintegration/docintegration\.\w+)"', page):
        asset = await web.get(f"http://test{url}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].startswith("text/")
    assert 'data-state-url="/docintegration/state.json"' in page


async def test_search_works_on_the_server(web):
    page = (await web.get("/", params={"q": "FIND"})).text

    assert "3 integrations, 3 endpoints" in page
    assert "<h3>charge</h3>" not in page


async def test_search_for_nothing_says_so(web):
    page = (await web.get("/", params={"q": "nowhere"})).text

    assert '<p class="empty" id="nothing">' in page


async def test_state_goes_from_idle_to_up_to_open(web, payments):
    async def state_of_charge():
        integration = (await web.get("/state.json")).json()["integrations"][0]
        return integration["state"], integration["endpoints"][0]

    assert (await state_of_charge())[0] == "idle"

    await payments.charge(1)
    state, charge = await state_of_charge()
    assert state == charge["state"] == "up"
    assert charge["circuit"] == "closed"
    assert charge["last_status"] == 200
    assert charge["p50"] > 0

    for _ in range(2):
        with pytest.raises(httpx.HTTPStatusError):
            await payments.charge(9)
    with pytest.raises(Exception, match="is open"):
        await payments.charge(9)
    state, charge = await state_of_charge()
    assert state == charge["state"] == "open"
    assert charge["circuit"] == "open"
    assert (charge["calls"], charge["errors"], charge["refused"]) == (4, 3, 1)
    assert charge["shown"]["error_share"] == "75.0%"
    assert charge["shown"]["last_error"].startswith("CircuitBreakerError at 20")


async def test_command_shows_the_last_request_without_secrets(web, payments):
    await payments.charge(1)

    page = (await web.get("/")).text

    assert "curl --request POST &quot;https://***@pay.test/base/charges&quot;" in page
    assert "X: \\`id\\`" in page or "x: \\`id\\`" in page
    assert "--data @body" in page


async def test_command_names_credentials_as_variables():
    def answer(request):
        return httpx.Response(200, json={"id": "1"})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with client, Payments("http://pay.test", {"TOKEN": "t0ken"}, client) as pay:
        await pay.charge(1)
        transport = httpx.ASGITransport(docintegration(pay))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as web:
            page = (await web.get("/")).text

    assert "authorization: Bearer $TOKEN&quot;" in page.replace("A", "a")
    assert "t0ken" not in page


async def test_only_reading_is_allowed(web):
    response = await web.post("/")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert (await web.get("/etc/passwd")).status_code == 404
    head = await web.head("/")
    assert head.content == b""
    assert int(head.headers["content-length"]) > 1_000


class Everything(EndpointsDeclaration):
    """What an endpoint may look like, as far as a document shows it."""

    integration = IntegrationHTTP(
        "Everything", auth=("user", "password"), headers={"x-key": "secret"}
    )

    class Schema:
        class Node(BaseModel):
            value: int | float | None
            children: list["Everything.Schema.Node"] = []
            at: dt.datetime
            price: Decimal = Field(gt=0)

        class Tag(BaseModel):
            name: str = Field(max_length=10, examples=["new"])

    class SchemaError:
        class http400(BaseModel):
            detail: list[dict[str, Any]]

        class http404Missing(BaseModel):
            code: Literal[404]

    @integration.endpoint("get", "/nodes/{node_id}/tags/{tag}")
    async def node(
        api: ApiHTTP, node_id: UUID, tag: str = "all", deep: bool = False
    ) -> Schema.Node | list[Schema.Tag] | SchemaError.http400: ...

    @integration.endpoint("get", "/search?q={text}&kind=book&tag=x-{tag}")
    async def search(
        api: ApiHTTP, text: str, tag: str
    ) -> list[Schema.Tag] | SchemaError.http404Missing: ...

    @integration.endpoint("post", "/files")
    async def upload(
        api: ApiHTTP, file: BinaryIO, *names: str, **more: Any
    ) -> dict[str, Schema.Tag]: ...

    @integration.endpoint("post", "/files")
    async def upload_all(api: ApiHTTP, pieces: AsyncIterator[bytes]) -> None: ...

    @integration.endpoint("get", "files/{file_id}", version="v2")
    def download(api: ApiHTTP, file_id: int) -> Any: ...

    @integration.endpoint("delete", "/")
    async def clear(api: ApiHTTP) -> bytes: ...


@pytest.mark.parametrize(
    "declaration",
    [
        Payments("https://user:hidden@pay.test/v1/", {"TOKEN": "x"}),
        Payments,
        Everything("https://everything.test"),
        Everything,
    ],
    ids=["payments", "payments, undeployed", "everything", "everything, undeployed"],
)
def test_openapi_documents_are_valid(declaration):
    (entry,) = entries_of(declaration)

    document = json.loads(json.dumps(openapi_of(entry)))

    validate(document, cls=OpenAPIV31SpecValidator)


def test_models_of_one_name_are_kept_apart():
    One = create_model("Answer", a=(int, ...))
    Other = create_model("Answer", b=(int, ...))

    class Two(EndpointsDeclaration):
        integration = IntegrationHTTP("Two")

        @integration.endpoint("get", "/first")
        async def first(api: ApiHTTP) -> One: ...

        @integration.endpoint("get", "/second")
        async def second(api: ApiHTTP) -> Other: ...

    (entry,) = entries_of(Two)

    schemas = openapi_of(entry)["components"]["schemas"]

    assert [list(schema["properties"]) for schema in schemas.values()] == [["a"], ["b"]]


async def test_endpoints_that_a_function_makes_are_kept_apart():
    integration = IntegrationHTTP("Made")

    def made(path):
        @integration.endpoint("get", path)
        async def fetch(api: ApiHTTP, number: int) -> int:
            return number

        return fetch

    class Made(EndpointsDeclaration):
        books = made("/books")
        films = made("/films")

    Made.integration = integration
    it = Made("http://made.test")
    (entry,) = entries_of(it)

    assert await it.books(1) + await it.books(1) == 2

    assert [state["calls"] for state in integration_state(entry)["endpoints"]] == [2, 0]
    validate(openapi_of(entry), cls=OpenAPIV31SpecValidator)
    with pytest.raises(RequestError, match="Made: films was not called"):
        await it.films("x")


class Unbounded(BaseModel):
    limit: float = math.inf
    share: Annotated[float, Field(ge=-math.inf, le=1)]


async def test_documents_hold_no_number_that_json_has_not():
    class It(EndpointsDeclaration):
        integration = IntegrationHTTP("It")

        @integration.endpoint("get", "/")
        async def it(api: ApiHTTP) -> Unbounded: ...

    (entry,) = entries_of(It)

    text = json.dumps(openapi_of(entry), allow_nan=False)

    properties = json.loads(text)["components"]["schemas"]["Unbounded"]["properties"]
    assert properties["limit"] == {"title": "Limit", "type": "number"}
    assert properties["share"] == {"title": "Share", "type": "number", "maximum": 1}


async def test_page_survives_routes_that_are_no_text(web, payments):
    with called_by(lambda: "GET /\ud800"):
        await payments.charge(1)

    response = await web.get("/")

    assert response.status_code == 200
    assert "GET /?" in response.text


async def test_openapi_knows_a_query_in_a_path():
    (entry,) = entries_of(Everything)

    parameters = openapi_of(entry)["paths"]["/search"]["get"]["parameters"]

    assert {(p["name"], p["in"]) for p in parameters} == {
        ("q", "query"),
        ("kind", "query"),
        ("tag", "query"),
    }
    assert [p["schema"] for p in parameters] == [
        {"type": "string"},
        {"const": "book"},
        {"type": "string"},
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Pays *amount* by ``card``.", "Pays <em>amount</em> by <code>card</code>."),
        ("See `Charge`.", "See <code>Charge</code>."),
        ("2*3*4 and **kwargs, a * b", "2*3*4 and **kwargs, a * b"),
        ("`<script>` *<img>*", "<code>&lt;script&gt;</code> *&lt;img&gt;*"),
        ('`a" onload="x`', "<code>a&quot; onload=&quot;x</code>"),
        ("*a\nb* `c\nd`", "*a\nb* `c\nd`"),
    ],
)
def test_docstrings_may_mark_emphasis_and_code(text, shown):
    assert prose(text) == shown


async def test_openapi_document_describes_an_integration(web):
    document = (await web.get("/openapi/payments.json")).json()

    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "Payments"
    assert document["servers"] == [{"url": "https://***@pay.test/base"}]
    charge = document["paths"]["/charges"]["post"]
    assert charge["operationId"] == "charge"
    assert charge["externalDocs"] == {"url": "https://docs.test/charges"}
    assert charge["x-arguments"]["required"] == ["a"]
    assert list(charge["responses"]) == ["2XX", "402"]
    find = document["paths"]["/charges/{charge_id}"]["get"]
    assert find["parameters"][0]["name"] == "charge_id"
    assert find["responses"]["2XX"]["content"]["application/json"]["schema"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Charge"},
    }
    assert "/charges/{charge_id}#raw" in document["paths"]
    assert set(document["components"]["schemas"]) == {"Charge", "http402"}


async def test_every_reference_in_the_document_leads_somewhere(web):
    text = (await web.get("/openapi/payments.json")).text
    document = json.loads(text)

    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document["components"]["schemas"]


async def test_lifespan_is_answered():
    inbox = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    outbox = []

    async def receive():
        return next(inbox)

    async def send(message):
        outbox.append(message["type"])

    await docintegration([])({"type": "lifespan"}, receive, send)

    assert outbox == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_what_is_no_declaration_is_refused():
    for what in ([int], 5):
        with pytest.raises(TypeError, match="is not an `EndpointsDeclaration`"):
            docintegration(what)


# Command line --------------------------------------------------------------------

MODULE = """
from typing import Any
from accel_integration import *

class Weather(EndpointsDeclaration):
    integration = IntegrationHTTP("Weather", "Rain or shine")

    @integration.endpoint("get", "/now")
    async def now(api: ApiHTTP, city: str) -> Any:
        "What it is like"

weather = Weather("https://weather.test")
everything = [weather, Weather]
"""


def run(*args, cwd, stdin=None, **variables):
    return subprocess.run(
        [sys.executable, "-m", "accel_integration", *args],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **variables},
        check=False,
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "weather.py").write_text(MODULE)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    return tmp_path


def test_docs_command_writes_one_page(project):
    result = run("docs", "weather:everything", "--title", "Mine", cwd=project)

    assert result.returncode == 0, result.stderr
    assert "<h1>Mine</h1>" in result.stdout
    assert "<style>" in result.stdout
    assert "<script" not in result.stdout


def test_openapi_command_writes_one_document_or_several(project):
    one = json.loads(run("openapi", "weather:weather", cwd=project).stdout)
    two = json.loads(run("openapi", "weather:everything", cwd=project).stdout)

    assert one["info"]["title"] == "Weather"
    assert list(two) == ["weather", "weather-2"]


def test_py2dantic_command_reads_a_file_or_the_standard_input(project):
    (project / "data.json").write_text('{"a": 1}')

    from_file = run("py2dantic", "data.json", "--name", "Thing", cwd=project)
    from_stdin = run("py2dantic", "-", cwd=project, stdin='{"a": 1}')

    assert "class Thing(BaseModel):\n    a: int\n" in from_file.stdout
    assert "class RootModel(BaseModel):" in from_stdin.stdout


def test_pages_are_utf_8_wherever_they_are_written(project):
    ascii_only = {"PYTHONIOENCODING": "ascii"}

    page = run("docs", "weather:weather", "--title", "Été", cwd=project, **ascii_only)
    models = run("py2dantic", "-", cwd=project, stdin='{"été": 1}', **ascii_only)

    assert "<h1>Été</h1>" in page.stdout
    assert "été: int" in models.stdout


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_py2dantic_command_reads_what_other_systems_write(project, encoding):
    (project / "data.json").write_text('{"été": 1}', encoding)

    assert "été: int" in run("py2dantic", "data.json", cwd=project).stdout


def test_py2dantic_command_merges_several_examples(project):
    (project / "one.json").write_text('{"a": 1, "b": "x"}')

    result = run("py2dantic", "one.json", "-", cwd=project, stdin='{"a": 0.5}')

    expected = "class RootModel(BaseModel):\n    a: int | float\n"
    assert f"{expected}    b: str | None = None\n" in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("docs", "weather"), "Name an object as MODULE:OBJECT"),
        (("docs", "nowhere:x"), "No module named 'nowhere'"),
        (("docs", "weather:nothing"), "has no attribute 'nothing'"),
        (("docs", "weather:Any"), "is not an `EndpointsDeclaration`"),
        (("py2dantic", "missing.json"), "No such file"),
        (("py2dantic", "deep.json"), "RecursionError: "),
    ],
)
def test_commands_explain_what_is_wrong(project, args, message):
    result = run(*args, cwd=project)

    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
