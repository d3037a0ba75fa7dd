"""Answers: which of them count, and what becomes of bodies that nobody can read."""

import contextlib
import json
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    CircuitBreakerError,
    EndpointsDeclaration,
    IntegrationHTTP,
    MaxRetriesExceededError,
    ResponseStatusError,
    ResponseValidationError,
    sp,
)
from accel_integration.testing import Fault, fault_server

pytestmark = pytest.mark.anyio

RETRY = sp.RetryPattern(3, 0)
DEEP = "[" * 100_000
LONG_NUMBER = b"1" * 5_000


class User(BaseModel):
    id: int


@dataclass
class Order:
    id: int


class http404(BaseModel):
    detail: str


async def whole(api):
    return await api.client.get(str(api.url))


async def body(api):
    return (await api.client.get(str(api.url))).json()


def served(returns, content, status, *, func=whole, patterns=()):
    """Return an instance whose `call` gets *content*, and the requests it made."""
    requests = []

    def handler(request):
        requests.append(request)
        return httpx.Response(status, content=content)

    async def call(api: ApiHTTP):
        return await func(api)

    call.__annotations__["return"] = returns
    integration = IntegrationHTTP("It", strategies=patterns)
    members = {
        "integration": integration,
        "call": integration.endpoint("get", "/")(call),
    }
    client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    it = type("It", (EndpointsDeclaration,), members)(
        "http://user:pw@it", client=client
    )
    return it, requests


@pytest.mark.parametrize(
    ("returns", "content"),
    [
        (None, b""),
        (User | None, b""),
        (str, b"Internal Server Error"),
        (bytes, b"Internal Server Error"),
        (dict[str, Any], b'{"id": 1}'),
        (list[int], b"[1]"),
        (list, b"[2]"),
        (bool, b"true"),
        (Order, b'{"id": 1}'),
    ],
)
async def test_an_undeclared_error_is_no_success_whatever_its_body_looks_like(
    returns, content
):
    it, _ = served(returns, content, 500)

    with pytest.raises(ResponseStatusError, match="got status 500"):
        await it.call()


@pytest.mark.parametrize(
    ("returns", "made"),
    [(None, None), (str, "text"), (bytes, b"text"), (list, [1]), (dict[str, int], {})],
)
async def test_what_a_method_only_hands_on_is_no_success_either(returns, made):
    async def hand_on(api):
        await whole(api)
        return made

    it, _ = served(returns, b"", 500, func=hand_on)

    with pytest.raises(ResponseStatusError):
        await it.call()


class Found:
    """A class of one's own."""


@pytest.mark.parametrize(
    ("returns", "made"),
    [(bool, False), (int, 500), (float, 1), (Found, Found()), (User | None, None)],
)
async def test_what_a_method_makes_of_an_error_itself_is_its_word(returns, made):
    async def judge(api):
        await whole(api)
        return made

    it, _ = served(returns, b"", 500, func=judge)

    assert await it.call() == made


ENDLESS = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize("made", [{("a", 1): 2}, {b"a": 1}, ENDLESS])
async def test_what_a_method_makes_and_no_json_can_say_is_refused_as_usual(made):
    async def make(api):
        return made

    it, _ = served(User, b"", 200, func=make)

    with pytest.raises(ResponseValidationError, match="does not fit its schema") as c:
        await it.call()
    assert c.value.body == f"<{type(made).__name__}>"


@pytest.mark.parametrize("returns", [Any, object])
async def test_any_takes_errors_too(returns):
    it, _ = served(returns, b'{"a": 1}', 500)

    assert await it.call() == {"a": 1}


async def test_a_model_that_fits_perfectly_may_take_an_error():
    it, _ = served(User | None, b'{"id": 1}', 500)

    assert await it.call() == User(id=1)


async def test_a_fallback_may_answer_an_error_with_anything():
    patterns = [sp.Fallback([1]), sp.RetryPattern(1, 0)]
    it, _ = served(list[int], b"<html>", 503, func=body, patterns=patterns)

    assert await it.call() == [1]


@pytest.mark.parametrize(("status", "requests"), [(503, 3), (400, 1)])
async def test_statuses_decide_although_the_body_is_no_json(status, requests):
    patterns = [sp.RetryPattern(3, 0, statuses={503})]
    it, made = served(
        dict[str, int], b"<html>sorry", status, func=body, patterns=patterns
    )

    with pytest.raises((ResponseStatusError, MaxRetriesExceededError)) as caught:
        await it.call()

    error = caught.value.__cause__ if status == 503 else caught.value
    assert isinstance(error, ResponseStatusError)
    assert (error.status, error.body) == (status, "<html>sorry")
    assert "pw" not in error.url
    assert len(made) == requests


@pytest.mark.parametrize("read", [body, whole])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>", "is no JSON"),
        (b'"\xff"', "is no JSON"),
        (DEEP, "nested too deeply"),
        (LONG_NUMBER, "is no JSON"),
    ],
    ids=["html", "bytes", "deep", "long"],
)
async def test_a_body_that_nobody_can_read_is_no_error_of_ours(read, content, why):
    it, _ = served(dict[str, int], content, 200, func=read)

    with pytest.raises(ResponseValidationError, match=why) as caught:
        await it.call()

    assert caught.value.status == 200
    assert 1 <= len(caught.value.body) <= 1024


@pytest.mark.parametrize("charset", ["hex", "idna", "undefined", "rot13", "x" * 99])
async def test_a_charset_that_is_none_is_no_error_of_ours(charset):
    async def odd(_api):
        headers = {"content-type": f"text/html; charset={charset}"}
        return httpx.Response(200, content=b"<html>", headers=headers)

    it, _ = served(dict[str, int], b"", 200, func=odd)

    with pytest.raises(ResponseValidationError, match="is no JSON") as caught:
        await it.call()

    assert caught.value.body == "<html>"


async def test_names_of_fields_write_no_lines_of_their_own_into_a_log():
    content = json.dumps({"a\nERROR it was you": "x", "b" * 9_000: "x"})
    it, _ = served(dict[str, int], content, 200)

    with pytest.raises(ResponseValidationError) as caught:
        await it.call()

    assert r"schema: a\nERROR it was you: Input should" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("read", [body, whole])
@pytest.mark.parametrize(
    "content", [b"<html>", DEEP, LONG_NUMBER], ids=["html", "deep", "long"]
)
async def test_a_circuit_opens_for_garbage(read, content):
    patterns = [sp.CircuitBreaker(2, 30)]
    it, _ = served(dict[str, int], content, 200, func=read, patterns=patterns)

    for _ in range(2):
        with pytest.raises(ResponseValidationError):
            await it.call()

    with pytest.raises(CircuitBreakerError):
        await it.call()


@pytest.mark.parametrize("read", [body, whole])
async def test_garbage_with_a_good_status_is_asked_for_again(read):
    patterns = [sp.Fallback({}), sp.RetryPattern(3, 0, statuses={503})]
    it, made = served(dict[str, int], b"<html>", 200, func=read, patterns=patterns)

    assert await it.call() == {}
    assert len(made) == 3


@pytest.mark.parametrize(
    ("returns", "content", "status"),
    [
        (str, b"<html>", 200),
        (Any, b"<html>", 200),
        (httpx.Response, b"<html>", 200),
        (User, b'{"name": "no id"}', 200),
        (User, b"<html>", 500),
    ],
    ids=["text", "any", "response", "other schema", "error"],
)
async def test_any_other_response_is_one_to_patterns(returns, content, status):
    patterns = [sp.RetryPattern(3, 0)]
    it, made = served(returns, content, status, patterns=patterns)

    with contextlib.suppress(ResponseStatusError, ResponseValidationError):
        await it.call()

    assert len(made) == 1


async def test_an_open_response_that_nobody_can_take_is_asked_for_once():
    async def opened(api):
        request = api.client.build_request("GET", str(api.url))
        response = await api.client.send(request, stream=True)
        seen.append(response)
        return response

    seen = []
    with fault_server(Fault.ok({"a": 1})) as server:
        it, _ = served(dict[str, int], b"", 200, func=opened, patterns=[RETRY])
        async with type(it)(server.url) as it:
            with pytest.raises(httpx.ResponseNotRead):
                await it.call()
            await seen[0].aclose()

    assert len(seen) == 1


@pytest.mark.parametrize(
    ("returns", "content", "kind", "answer"),
    [
        (bytes, b"\x89PNG\xff", "image/png", b"\x89PNG\xff"),
        (bytes, b'{"a": 1}', "application/json", b'{"a": 1}'),
        (bytes | http404, b"12", "text/csv", b"12"),
        (str, b"12", "text/plain", "12"),
        (str, b"null", "text/plain; charset=utf-8", "null"),
        (str, b'"text"', "application/json", "text"),
        (str | http404, b"<p>", "text/html", "<p>"),
    ],
)
async def test_bytes_and_text_of_a_response_are_what_came(
    returns, content, kind, answer
):
    async def answered(_api):
        return httpx.Response(200, content=content, headers={"content-type": kind})

    it, _ = served(returns, b"", 200, func=answered)

    assert await it.call() == answer


async def test_an_object_is_no_text():
    it, _ = served(str, b'{"a": 1}', 200)

    with pytest.raises(ResponseValidationError, match="should be a valid string"):
        await it.call()


async def test_a_response_is_read_once():
    class Counted(httpx.Response):
        reads = 0

        def json(self):
            Counted.reads += 1
            return super().json()

    async def counted(_api):
        return Counted(200, json={"id": 1})

    it, _ = served(User, b"", 200, func=counted)

    assert await it.call() == User(id=1)
    assert Counted.reads == 1


async def test_mistakes_of_the_method_itself_stay_what_they_are():
    async def endless(api):
        await whole(api)
        return await endless(api)

    async def misread(_api):
        return json.loads("no answer of anybody")

    def mistake():
        raise ValueError

    named_alike = FunctionType(mistake.__code__, {"__name__": "jsonapi.client"})

    async def mistaken(api):
        await whole(api)
        return named_alike()

    it, _ = served(dict[str, int], b"{}", 200, func=mistaken)
    with pytest.raises(ValueError, match=r"^$"):
        await it.call()
    it, _ = served(dict[str, int], b"{}", 200, func=endless)
    with pytest.raises(RecursionError):
        await it.call()
    it, _ = served(dict[str, int], b"{}", 200, func=misread)
    with pytest.raises(json.JSONDecodeError):
        await it.call()


class Sync(EndpointsDeclaration):
    integration = IntegrationHTTP("Sync")

    @integration.endpoint("get", "/")
    @sp.RetryPattern(3, 0, statuses={503})
    def read(api: ApiHTTP) -> dict[str, int]:
        return api.client.get(str(api.url)).json()

    @integration.endpoint("get", "/")
    @sp.RetryPattern(3, 0, statuses={503})
    def whole(api: ApiHTTP) -> dict[str, int]:
        return api.client.get(str(api.url))


def test_sync_endpoints_say_the_same_of_a_body_that_is_no_json():
    transport = httpx.MockTransport(lambda _: httpx.Response(400, text="<html>"))
    it = Sync("http://it", client=httpx.Client(transport=transport))

    with pytest.raises(ResponseStatusError, match="got status 400") as caught:
        it.read()

    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


def test_sync_endpoints_ask_again_for_garbage_that_they_hand_on():
    requests = []

    def handler(request):
        requests.append(request)
        return httpx.Response(200, text="<html>")

    it = Sync("http://it", client=httpx.Client(transport=httpx.MockTransport(handler)))

    with pytest.raises(MaxRetriesExceededError):
        it.whole()

    assert len(requests) == 3
