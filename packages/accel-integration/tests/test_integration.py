"""Endpoints: what they send, what they answer, and what they keep to themselves."""

import asyncio
import contextvars
import gc
import json
import pickle
import subprocess
import sys
import traceback
import weakref
from dataclasses import dataclass
from typing import Any, Optional, Union

import httpx
import httpx2
import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

import accel_integration
from accel_integration import (
    ApiHTTP,
    CircuitBreakerError,
    Credentials,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationError,
    IntegrationHTTP,
    MaxRetriesExceededError,
    ResponseStatusError,
    ResponseValidationError,
    mask_url,
    sp,
)
from accel_integration._describe import entries_of, state_of
from accel_integration._endpoint import endpoint_of
from accel_integration._openapi import openapi_of
from accel_integration.testing import Fault, fault_server

pytestmark = pytest.mark.anyio

integration = IntegrationHTTP("Users", doc="People")


class User(BaseModel):
    id: int
    name: str = ""


class Lenient(BaseModel):
    text: str | None = None


class http400(BaseModel):
    error: str


class http404Error(BaseModel):
    error: str


def mocked(answer, *, status=200, **options):
    """Return what makes a client that always gets *answer*."""

    def handler(request):
        handler.requests.append(request)
        return httpx.Response(status, json=answer, **options)

    handler.requests = []
    factory = lambda: httpx.AsyncClient(transport=httpx.MockTransport(handler))  # noqa: E731
    return handler.requests, factory


async def get(api):
    return (await api.client.get(str(api.url))).json()


def declare(returns, func=get, path="/it", **options):
    """Return a declaration with one endpoint, `call`."""

    async def call(api: ApiHTTP):
        return await func(api)

    call.__annotations__["return"] = returns
    endpoint = IntegrationHTTP("It").endpoint("get", path, **options)(call)
    body = {"integration": endpoint.__accel_endpoint__.integration, "call": endpoint}
    return type("It", (EndpointsDeclaration,), body)


async def answer_of(returns, answer, *, status=200):
    _, client = mocked(answer, status=status)
    async with declare(returns)("http://it", client=client) as it:
        return await it.call()


# URLs and what the endpoint gets --------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("http://a", "/b", "http://a/b"),
        ("http://a/", "/b", "http://a/b"),
        ("http://a/", "b/", "http://a/b/"),
        ("http://a/v1/", "/b", "http://a/v1/b"),
        ("http://a", "", "http://a"),
        ("http://a?key=1", "/b", "http://a/b?key=1"),
        ("http://a?key=1", "/b?c=2", "http://a/b?c=2&key=1"),
    ],
)
async def test_base_url_and_path_meet_in_one_slash(base_url, path, url):
    async def look(api):
        return [api.url.geturl(), str(api.url), f"{api.url}"]

    it = declare(list[str], look, path)(base_url)

    assert await it.call() == [url] * 3


async def test_endpoint_gets_what_it_needs():
    async def look(api):
        return {
            "method": api.httpmethod,
            "version": api.version,
            "token": api.credentials["TOKEN"],
            "host": api.url.netloc,
            "client": type(api.client).__name__,
        }

    async with declare(dict, look, version="v2")("http://a:1", {"TOKEN": "t"}) as it:
        assert await it.call() == {
            "method": "GET",
            "version": "v2",
            "token": "t",
            "host": "a:1",
            "client": "AsyncClient",
        }


class Files(EndpointsDeclaration):
    integration = IntegrationHTTP("Files")

    @integration.endpoint(HTTPMethod.get, "/files/{name}")
    async def find(api: ApiHTTP, name: str = "all") -> str:
        return str(api.url)

    @integration.endpoint(HTTPMethod.get, "/sync")
    def fetch(api: ApiHTTP) -> dict:
        return api.client.get(str(api.url)).json()

    @integration.endpoint("delete", "/unused")
    async def unused(api: ApiHTTP) -> None: ...


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", "a"), ("a/../b", "a%2F..%2Fb"), ("ä?#", "%C3%A4%3F%23"), ("...", "...")],
)
async def test_path_arguments_stay_in_their_segment(name, path):
    files = Files("http://a")

    assert await files.find(name) == f"http://a/files/{path}"
    assert await files.find(name=name) == f"http://a/files/{path}"


async def test_path_arguments_have_defaults():
    assert await Files("http://a").find() == "http://a/files/all"


@pytest.mark.parametrize(
    ("text", "query"), [("", ""), ("..", ".."), ("a&b=c d", "a%26b%3Dc%20d")]
)
async def test_path_may_end_in_a_query(text, query):
    class Search(EndpointsDeclaration):
        integration = IntegrationHTTP("Search")

        @integration.endpoint("get", "/search?q={text}")
        async def find(api: ApiHTTP, text: str) -> str:
            return api.url.geturl()

    assert await Search("http://a").find(text) == f"http://a/search?q={query}"


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_path_arguments_cannot_lead_elsewhere(name):
    with pytest.raises(ValueError, match="it is part of a path"):
        await Files("http://a").find(name)


def test_sync_endpoints_use_a_sync_client():
    with fault_server(Fault.ok({"a": 1})) as server:
        files = Files(server.url)
        assert files.fetch() == {"a": 1}
        files.close()


@pytest.mark.parametrize("base_url", ["https://a/#/api", "https://u:s3cr3t#1@a"])
def test_base_url_has_no_fragment(base_url):
    with pytest.raises(ValueError, match='"%23" instead') as caught:
        Files(base_url)

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["ftp://a", "a.test", "javascript:x"])
def test_base_url_must_be_http(base_url):
    with pytest.raises(ValueError, match="must begin with http:// or https://"):
        Files(base_url)


async def test_endpoint_must_be_called_on_an_instance():
    with pytest.raises(TypeError, match="must be called on an instance"):
        await Files.find("a", "b")


def test_endpoint_must_say_what_it_returns():
    async def silent(api: ApiHTTP): ...

    with pytest.raises(ValueError, match="it has no return annotation"):
        integration.endpoint(HTTPMethod.get, "/")(silent)


def test_path_may_only_name_arguments_of_the_function():
    async def find(api: ApiHTTP, item: str) -> Any: ...

    with pytest.raises(ValueError, match="names item_id, which it does not take"):
        integration.endpoint("get", "/{item_id}")(find)


def test_endpoint_outside_of_a_declaration_is_explained():
    @IntegrationHTTP("Lost").endpoint("get", "/")
    async def lost(api: ApiHTTP) -> Any: ...

    with pytest.raises(TypeError, match="is not in the body of an"):
        _ = lost.__accel_endpoint__.schema


# Answers -------------------------------------------------------------------------


async def test_answer_is_an_instance_of_its_schema():
    assert await answer_of(User, {"id": "1"}) == User(id=1)


async def test_answer_may_be_a_list():
    assert await answer_of(list[User], [{"id": 1}]) == [User(id=1)]


@pytest.mark.parametrize("answer", [{"a": [1]}, [1, "x"], "text", 5])
async def test_any_passes_everything(answer):
    assert await answer_of(Any, answer) == answer


async def test_builtin_types_are_checked_too():
    assert await answer_of(dict[str, int], {"a": "1"}) == {"a": 1}
    with pytest.raises(ResponseValidationError):
        await answer_of(list[int], {"a": 1})


@pytest.mark.parametrize(
    "union",
    [
        User | http400,
        Union[User, http400],  # noqa: UP007 - the old way is tested
        Optional[User] | http400,  # noqa: UP045 - the old way is tested
    ],
    ids=["bar", "Union", "Optional"],
)
async def test_status_chooses_from_a_union_however_it_is_written(union):
    assert await answer_of(union, {"id": 1}) == User(id=1)
    assert await answer_of(union, {"error": "x"}, status=400) == http400(error="x")


async def test_an_error_is_never_taken_for_success():
    answer = await answer_of(Lenient | http400, {"error": "x"}, status=400)

    assert answer == http400(error="x")


async def test_best_match_wins_where_the_status_is_unknown():
    async def local(api):
        return {"error": "x"}

    it = declare(Lenient | http400, local)("http://a")

    assert await it.call() == http400(error="x")


async def test_best_match_wins_among_equals():
    class Small(BaseModel):
        id: int

    assert await answer_of(Small | User, {"id": 1, "name": "n"}) == User(id=1, name="n")
    assert await answer_of(User | Small, {"id": 1}) == User(id=1)


async def test_class_named_after_a_status_may_say_more():
    union = User | http404Error

    assert await answer_of(union, {"error": "x"}, status=404) == http404Error(error="x")


async def test_list_of_a_status_class_means_that_status():
    union = list[User] | list[http400]

    assert await answer_of(union, [{"error": "x"}], status=400) == [http400(error="x")]


async def test_undeclared_error_status_is_an_error():
    with pytest.raises(ResponseStatusError, match="add a class named `http500`") as e:
        await answer_of(Lenient | http400, {"detail": "x"}, status=500)

    assert e.value.status == 500
    assert e.value.http_status == 502


async def test_an_upstreams_404_is_our_502():
    with pytest.raises(ResponseStatusError) as caught:
        await answer_of(User, {}, status=404)

    assert caught.value.http_status == 502


async def test_what_the_method_makes_of_an_error_is_kept():
    async def handles(api):
        response = await api.client.get(str(api.url))
        return {"text": f"it was {response.status_code}"}

    _, client = mocked({}, status=500)
    async with declare(Lenient | http400, handles)("http://a", client=client) as it:
        assert await it.call() == Lenient(text="it was 500")


async def test_response_itself_may_be_returned():
    async def whole(api):
        return await api.client.get(str(api.url))

    _, client = mocked({"id": 1})
    async with declare(User, whole)("http://a", client=client) as it:
        assert await it.call() == User(id=1)
    async with declare(httpx.Response, whole)("http://a", client=client) as it:
        assert (await it.call()).status_code == 200


async def test_body_that_is_no_json_is_an_answer_that_does_not_fit():
    async def whole(api):
        return await api.client.get(str(api.url))

    with fault_server(Fault.ok("<html>")) as server:
        async with declare(User, whole)(server.url) as it:
            with pytest.raises(ResponseValidationError) as caught:
                await it.call()

    assert caught.value.body == "<html>"


async def test_instances_are_not_validated_again():
    user = User.model_construct(id="not a number")

    async def made(api):
        return user

    assert await declare(User | http400, made)("http://a").call() is user


async def test_validation_error_shows_where_but_not_what():
    answer = {"id": "tok-123456", "name": "x" * 5_000}

    _, client = mocked(answer)
    declaration = declare(User)
    async with declaration(
        "http://u:p4ssw0rd@it", {"KEY": "tok-123456"}, client=client
    ) as it:
        with pytest.raises(ResponseValidationError) as caught:
            await it.call()
    error = caught.value

    assert str(error) == (
        "It: call got an answer with status 200 from http://***@it/it that does not fit "
        "its schema: id: Input should be a valid integer, unable to parse string as an "
        "integer."
    )
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert len(error.body) <= 1024
    assert error.body.startswith('{"id": "***", "name": "xxx')


async def test_future_annotations_see_the_class_and_the_function_around_it():
    module = """
from __future__ import annotations
from pydantic import BaseModel, SecretBytes, SecretStr
from accel_integration import *

def make():
    class Local(BaseModel):
        id: int

    class Api(EndpointsDeclaration):
        integration = IntegrationHTTP("Api")

        class Schema:
            class Ok(BaseModel):
                id: int

        @integration.endpoint("get", "/")
        @sp.Timeout(1)
        async def inner(api: ApiHTTP) -> Schema.Ok | Local:
            return {"id": "1"}

        @integration.endpoint("get", "/")
        async def local(api: ApiHTTP, a: Local) -> list[Local]:
            return [{"id": "1"}]

    return Api
"""
    names = {"__name__": "made_up"}
    exec(module, names)
    api = names["make"]()("http://a")

    assert type(await api.inner()).__qualname__ == "make.<locals>.Api.Schema.Ok"
    assert type((await api.local({"id": 1}))[0]).__name__ == "Local"


def test_unknown_name_in_an_annotation_is_an_error_at_once():
    async def call(api: "ApiHTTP") -> "Missing": ...  # noqa: F821

    endpoint = integration.endpoint("get", "/")(call)

    with pytest.raises(TypeError, match="name 'Missing' is not defined"):
        type("Bad", (EndpointsDeclaration,), {"call": endpoint})


async def test_subclasses_inherit_endpoints():
    class More(Files):
        pass

    assert list(More.endpoints()) == ["find", "fetch", "unused"]
    assert await More("http://a").find("x") == "http://a/files/x"


# Clients -------------------------------------------------------------------------


async def test_client_is_pooled_per_declaration_and_loop():
    async def who(api):
        return id(api.client)

    first, second = declare(int, who)("http://a"), declare(int, who)("http://a")

    assert await first.call() == await first.call() == id(first.client)
    assert await first.call() != await second.call()
    await first.aclose()
    await second.aclose()


async def test_connection_is_used_again():
    async def local_port(api):
        response = await api.client.get(str(api.url))
        stream = response.extensions["network_stream"]
        return stream.get_extra_info("client_addr")[1]

    with fault_server() as server:
        async with declare(int, local_port)(server.url) as it:
            assert await it.call() == await it.call()


async def test_closed_declaration_opens_again_when_it_is_used():
    with fault_server(Fault.ok({"a": 1})) as server:
        it = declare(dict)(server.url)
        client = it.client
        await it.aclose()

        assert client.is_closed
        assert await it.call() == {"a": 1}
        await it.aclose()


def test_each_event_loop_has_its_own_client():
    with fault_server(Fault.ok({"a": 1})) as server:
        it = declare(dict)(server.url)
        loops = []

        async def use():
            async with it:
                loops.append(weakref.ref(asyncio.get_running_loop()))
                return await it.call()

        assert [asyncio.run(use()) for _ in range(3)] == [{"a": 1}] * 3
        gc.collect()
        assert [loop() for loop in loops] == [None] * 3


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_client_that_was_passed_in_stays_open(library):
    with fault_server(Fault.ok({"error": "x"}, status=400)) as server:
        async with library.AsyncClient() as client:
            async with declare(User | http400)(server.url, client=client) as it:
                assert await it.call() == http400(error="x")
                assert it.client is client
            assert not client.is_closed


async def test_client_without_hooks_serves_too():
    class Bare:
        async def request(self): ...

        async def get(self, url):
            return httpx.Response(200, json={"id": 1})

    assert await declare(User)("http://a", client=Bare()).call() == User(id=1)


# Secrets -------------------------------------------------------------------------


async def test_secrets_are_in_no_repr():
    declaration = declare(str, get)
    it = declaration("http://user:hunter22@a?token=abcdef", {"KEY": "s3cr3t"})

    async def look(api):
        return "".join(map(repr, (api, api.url, api.credentials))) + str(
            api.credentials
        )

    shown = repr(it) + repr(it.credentials) + repr(it.url) + repr(vars(it))
    other = declare(str, look)("http://user:hunter22@a", {"KEY": "s3cr3t"})
    shown += await other.call()

    for secret in ("hunter22", "abcdef", "s3cr3t"):
        assert secret not in shown.replace(f"'base_url': '{it.base_url}'", "")


@dataclass
class Login:
    api_key: str
    region: str = "before"


class Settings(BaseModel):
    password: str = ""
    hidden: SecretStr | None = None
    region: str = "before"


@pytest.mark.parametrize(
    "credentials",
    [
        {"key": "s3cr3t-key"},
        ["user", "s3cr3t-key"],
        ("user", b"s3cr3t-key"),
        {"deep": [{"key": "s3cr3t-key"}]},
        SecretStr("s3cr3t-key"),
        SecretBytes(b"s3cr3t-key"),
        Login("s3cr3t-key"),
        Settings(password="s3cr3t-key"),
        Settings(hidden=SecretStr("s3cr3t-key")),
    ],
    ids=[
        *("dict", "list", "bytes", "deep", "SecretStr", "SecretBytes"),
        *("dataclass", "settings", "settings with SecretStr"),
    ],
)
async def test_secrets_are_found_in_credentials_of_any_shape(credentials):
    async def echo(api):
        return "before s3cr3t-key after"

    with pytest.raises(ResponseValidationError) as caught:
        await declare(User, echo)("http://a", credentials).call()

    assert caught.value.body == "before *** after"


PASSWORD = 'p\\ss"wörd'


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (json.dumps({"sent": PASSWORD}), '{"sent": "***"}'),
        (f"<p>{json.dumps(PASSWORD)}", '<p>"***"'),
        (f"<p>{json.dumps(PASSWORD, ensure_ascii=False)}", '<p>"***"'),
        (f"<p>{PASSWORD}", "<p>***"),
    ],
    ids=["json", "escapes", "letters", "plain"],
)
async def test_secrets_are_found_however_they_are_written(content, shown):
    transport = httpx.MockTransport(lambda _: httpx.Response(500, text=content))

    async def whole(api):
        return await api.client.get(str(api.url))

    async with httpx.AsyncClient(transport=transport) as client:
        it = declare(User, whole)("http://a", {"PASSWORD": PASSWORD}, client)
        with pytest.raises(ResponseStatusError) as caught:
            await it.call()

    assert caught.value.body == shown


async def test_an_answer_that_shows_the_request_tells_nothing_of_its_login():
    def echo(request):
        shown = [request.headers[name] for name in ("authorization", "x-session")]
        return httpx.Response(500, text=" and ".join(shown))

    async def login(api):
        return await api.client.get(
            str(api.url), auth=("me", "pa55word"), headers={"x-session": "abcdef"}
        )

    client = httpx.AsyncClient(transport=httpx.MockTransport(echo))
    async with client:
        with pytest.raises(ResponseStatusError) as caught:
            await declare(User, login)("http://a", client=client).call()

    assert caught.value.body == "*** and ***"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_a_secret_with_a_line_break_is_in_no_traceback(library):
    async def login(api):
        headers = {"x-key": api.credentials["KEY"]}
        return await api.client.get(str(api.url), headers=headers)

    with fault_server() as server:
        it = declare(Any, login)(server.url, {"KEY": "s3cr3t\n"}, library.AsyncClient)
        async with it:
            with pytest.raises(library.LocalProtocolError, match="and strip it") as e:
                await it.call()

    assert "s3cr3t" not in "".join(traceback.format_exception(e.value))
    assert e.value.request.url == server.url + "/it"


def test_a_secret_with_a_line_break_is_in_no_traceback_of_threads():
    class It(EndpointsDeclaration):
        integration = IntegrationHTTP("It", headers=lambda known: {"x-key": known})

        @integration.endpoint("get", "/")
        def call(api: ApiHTTP) -> Any:
            return api.client.get(str(api.url))

    it = It("http://127.0.0.1:9", "s3cr3t\n")
    refused = pytest.raises(httpx.LocalProtocolError, match="and strip it")
    with fault_server() as server, refused as e:
        it.base_url = server.url
        it.call()
    it.close()

    assert "s3cr3t" not in "".join(traceback.format_exception(e.value))


def test_secret_in_a_base_url_shows_nowhere():
    it = declare(User)("http://it/bot123:abc", {"TOKEN": "123:abc"})
    (entry,) = entries_of(it)

    shown = json.dumps([repr(it), openapi_of(entry), state_of([entry])])

    assert "http://it/bot***" in shown
    assert "123:abc" not in shown


def test_credentials_are_a_dict():
    credentials = Credentials(a="1")

    assert credentials == {"a": "1"}
    assert {**credentials} == {"a": "1"}
    assert f"{credentials}" == "<Credentials a=***>"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://a/b?q=1", "http://a/b?q=1"),
        ("http://u:p@a:1/b", "http://***@a:1/b"),
        (
            "http://a?api_key=x&access_token=y&page=2",
            "http://a?api_key=***&access_token=***&page=2",
        ),
        ("http://a?Signature=x#frag", "http://a?Signature=***"),
        ("http://[bad", "***"),
    ],
)
def test_urls_are_masked(url, masked):
    assert mask_url(url) == masked


@pytest.mark.parametrize("token", ["123:ABC/def", "with space", "ключ", "a+b=c&d"])
async def test_credential_in_a_path_is_masked_as_it_is_written_there(token):
    class Bot(EndpointsDeclaration):
        integration = IntegrationHTTP("Bot")

        @integration.endpoint("get", "/bot{token}/send?to={token}")
        async def send(api: ApiHTTP, token: str) -> User:
            return await get(api)

    _, client = mocked({"oops": 1}, status=500)
    async with Bot("http://it", {"token": token}, client) as bot:
        with pytest.raises(ResponseStatusError) as caught:
            await bot.send(token)

    assert caught.value.url == "http://it/bot***/send?to=***"


# Patterns, errors, events --------------------------------------------------------


class Guarded(EndpointsDeclaration):
    integration = IntegrationHTTP("Guarded")

    @integration.endpoint("get", "/")
    @sp.RetryPattern(2, 0, on=ConnectionError)
    @sp.CircuitBreaker(1)
    async def call(api: ApiHTTP) -> dict:
        if "bad" in api.url.netloc:
            raise ConnectionError
        return {}


async def test_a_bad_base_url_does_not_trip_a_good_one():
    bad, good = Guarded("http://bad"), Guarded("http://good")

    with pytest.raises(CircuitBreakerError):
        await bad.call()

    assert await good.call() == {}
    assert (bad.stats_of(Guarded.endpoints()["call"]).errors) == 1


async def test_listeners_hear_of_calls_and_patterns():
    heard = []
    unsubscribe = Guarded.integration.subscribe(heard.append)

    await Guarded("http://good").call()
    with pytest.raises(CircuitBreakerError):
        await Guarded("http://bad2").call()
    unsubscribe()
    await Guarded("http://good").call()

    assert [event.name for event in heard] == [
        "integration.call",
        "integration.breaker",
        "integration.retry",
        "integration.rejected",
        "integration.call",
    ]
    assert heard[0].integration == "Guarded"
    assert heard[0].origin == "http://good"
    assert (heard[-1].attempts, heard[-1].error) == (2, "CircuitBreakerError")


async def test_status_of_the_call_in_progress_is_its_own():
    async def nested(api):
        inner = declare(Any)("http://b", client=mocked({"e": 1}, status=500)[1])
        async with inner:
            await inner.call()
        return (await api.client.get(str(api.url))).json()

    _, client = mocked({"id": 1}, status=201)
    async with declare(User | http400, nested)("http://a", client=client) as it:
        assert await it.call() == User(id=1)
        assert it.stats_of(it.endpoints()["call"]).last_status == 201


async def test_no_half_of_a_secret_is_left_where_the_body_ends():
    async def echo(api):
        return "x" * 1_020 + api.credentials["KEY"]

    with pytest.raises(ResponseValidationError) as caught:
        await declare(User, echo)("http://a", {"KEY": "s3cr3t-key"}).call()

    assert caught.value.body == "x" * 1_020 + "***"


def test_errors_survive_pickling():
    error = CircuitBreakerError("it", 3.5)

    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), copy.retry_after) == (type(error), str(error), 3.5)


@pytest.mark.parametrize(
    "error",
    [
        CircuitBreakerError("it", 1),
        MaxRetriesExceededError("it", 3, OSError(), "why"),
        ResponseStatusError("it", url="u", status=404, body="", retry_after=None),
    ],
)
def test_errors_carry_what_a_service_answers(error):
    assert isinstance(error, IntegrationError)
    assert isinstance(error.http_status, int)
    assert error.retry_after is None or isinstance(error.retry_after, float | int)
    assert error.message == str(error)


# The package ---------------------------------------------------------------------


def test_exports_are_complete_and_lazy():
    exported = accel_integration.__all__

    assert len(exported) == len(set(exported))
    assert set(exported) <= set(dir(accel_integration))
    for name in exported:
        assert getattr(accel_integration, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = accel_integration.nothing


def test_checkers_and_python_see_the_same_exports():
    import ast
    import inspect

    tree = ast.parse(inspect.getsource(accel_integration))
    imported = {
        (alias.asname, node.module.rpartition(".")[2])
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }

    assert imported == set(accel_integration._HOMES.items())
    assert {name for name, _ in imported} == set(accel_integration.__all__)


def test_nothing_but_the_declared_dependencies_is_imported():
    program = """
import sys
import accel_integration
for name in accel_integration.__all__:
    getattr(accel_integration, name)
import accel_integration.testing
unwanted = {"fastapi", "starlette", "redis", "pytest", "flask", "sqlalchemy", "httpx2"}
print(sorted(unwanted & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"


async def test_plain_functions_note_statuses_of_watched_clients():
    statuses = iter([503, 200, 503])

    def handler(request):
        return httpx.Response(next(statuses), json={})

    client = accel_integration.watch_client(
        httpx.AsyncClient(transport=httpx.MockTransport(handler))
    )

    @sp.RetryPattern(3, 0, statuses={503})
    async def fetch(*, really=True):
        return (await client.get("http://a")).json() if really else "nothing"

    async with client:
        assert await fetch() == {}
        await client.get("http://a")
        assert await fetch(really=False) == "nothing"


async def test_one_integration_may_have_endpoints_in_two_classes():
    shared = IntegrationHTTP("Shared")

    class First(EndpointsDeclaration):
        integration = shared

        @shared.endpoint("get", "/first")
        async def call(api: ApiHTTP) -> str:
            return str(api.url)

    class Second(EndpointsDeclaration):
        integration = shared

        @shared.endpoint("get", "/second")
        async def call(api: ApiHTTP) -> str:
            return str(api.url)

    assert await First("http://a").call() == "http://a/first"
    assert await Second("http://a").call() == "http://a/second"
    assert [m["path"] for m in shared.docs["methods"]] == ["/first", "/second"]


@pytest.mark.parametrize("name", ["url", "version", "close", "stats_of", "base_url"])
def test_names_of_the_declaration_itself_are_refused(name):
    async def call(api: ApiHTTP) -> Any: ...

    body = {name: integration.endpoint("get", "/")(call)}

    with pytest.raises(TypeError, match=f"has a `{name}` of its own"):
        type("Bad", (EndpointsDeclaration,), body)


def test_endpoint_must_take_an_api():
    async def alone() -> Any: ...

    with pytest.raises(ValueError, match="it takes no `ApiHTTP`"):
        integration.endpoint("get", "/")(alone)


async def test_plain_functions_may_have_a_parameter_called_api():
    @sp.CircuitBreaker()
    async def call(api):
        return api

    assert await call(api=5) == 5
    assert await call(6) == 6


async def test_an_endpoint_dropped_in_the_middle_complains_not():
    async def patient(api):
        await asyncio.sleep(60)

    coro = declare(Any, patient)("http://a").call()
    contextvars.copy_context().run(coro.send, None)

    del coro
    gc.collect()


async def test_a_model_with_a_status_code_is_no_response():
    class Job(BaseModel):
        status_code: int

    class Other(BaseModel):
        status_code: int

    async def made(api):
        return Other(status_code=500)

    with pytest.raises(ResponseValidationError):
        await declare(Job, made)("http://a").call()


async def test_strategies_of_an_integration_are_around_all_of_its_endpoints():
    breaker = sp.CircuitBreaker(2)

    class Api(EndpointsDeclaration):
        integration = IntegrationHTTP(
            "Api", strategies=[sp.Fallback("instead"), breaker]
        )

        @integration.endpoint("get", "/plain")
        async def plain(api: ApiHTTP) -> str:
            raise ConnectionError

        @integration.endpoint("get", "/retried")
        @sp.RetryPattern(2, 0)
        async def retried(api: ApiHTTP) -> str:
            raise ConnectionError

    api = Api("http://host")

    assert await api.plain() == "instead"
    assert await api.retried() == "instead"

    # Two attempts are one failure for what is around them.
    assert breaker.at(Api.retried, "http://host").failures == 1
    assert breaker.at(Api.plain, "http://host").failures == 1
    first, second, third = endpoint_of(Api.retried).strategies
    assert isinstance(first, sp.Fallback)
    assert second is breaker
    assert isinstance(third, sp.RetryPattern)


# Clients -------------------------------------------------------------------------


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_client_of_the_other_kind_is_refused(library):
    class Both(EndpointsDeclaration):
        integration = IntegrationHTTP("Both")

        @integration.endpoint("get", "/a")
        async def wait(api: ApiHTTP) -> Any:
            return await get(api)

        @integration.endpoint("get", "/a")
        def stay(api: ApiHTTP) -> Any:
            return api.client.get(str(api.url)).json()

    async with library.AsyncClient() as client:
        with pytest.raises(TypeError, match="with a sync client for it"):
            Both("http://it", client=client).stay()
    with library.Client() as client:
        with pytest.raises(TypeError, match="with an async client for it"):
            await Both("http://it", client=client).wait()
        with pytest.raises(TypeError, match="with an async client for it"):
            await Both("http://it", client=library.Client).wait()


async def limits_of(client, seconds, **options):
    """Return the limits of a request that an endpoint would send by *client*."""
    request = client.build_request("GET", "http://it", **options)

    # An endpoint knows its deadline from the start.
    async def call(api):
        await client.event_hooks["request"][0](request)

    await (sp.Timeout(seconds)(call) if seconds else call)(None)
    return {round(limit) for limit in request.extensions["timeout"].values()}


async def test_deadline_replaces_the_limits_that_nobody_asked_for():
    async with declare(Any)("http://it") as it:
        assert await limits_of(it.client, None) == {5}
        assert await limits_of(it.client, 20) == {20}
        assert await limits_of(it.client, 2) == {2}
        assert await limits_of(it.client, 20, timeout=7) == {7}
        assert await limits_of(it.client, 20, timeout=None) == {20}


async def test_limits_of_a_client_of_ones_own_stay():
    async with httpx.AsyncClient(timeout=7) as client:
        it = declare(Any)("http://it", client=client)

        assert await limits_of(it.client, 20) == {7}
        assert await limits_of(it.client, 2) == {2}


async def test_entering_a_declaration_opens_its_client():
    it = declare(Any)("http://it")
    async with it:
        assert it._pool._async
