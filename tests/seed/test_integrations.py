"""Calls to other services, as the seed writes them, and their stability patterns."""

import ast
import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from accel_integration.testing import FakeClock


def translate(client, text, **params):
    return client.get("/translate", params={"text": text, **params})


def test_the_integration_of_the_seed_answers(client, upstream, unique):
    response = client.get("/name", params={"argument_1": unique})

    assert response.json() == {"body": unique.upper()}
    path, _, body = upstream.seen[-1]
    assert (path, body) == ("/path", {"argument_1": unique})


def test_a_text_is_translated_line_by_line(client, upstream, service, unique):
    response = translate(client, f"{unique}\nworld")

    path, headers, body = upstream.seen[-1]
    sent = {name.lower(): value for name, value in headers.items()}
    assert response.json() == {"text": f"{unique} in ru\nworld in ru"}
    assert path == "/v1/translateHtml"
    assert body == [[[unique, "world"], "en", "ru"], "te_lib"]
    assert sent["content-type"] == "application/json+protobuf"
    assert sent["x-goog-api-key"] == service.env["UPSTREAM_TOKEN"]


def test_a_translation_is_cached_without_a_request(client, upstream, unique):
    answers = [translate(client, unique, to_lang="de") for _ in range(3)]
    other = translate(client, unique, to_lang="fr")

    assert [a.headers["X-Cache"] for a in answers] == ["MISS", "HIT", "HIT"]
    assert answers[0].json() == answers[2].json() == {"text": f"{unique} in de"}
    assert other.json() == {"text": f"{unique} in fr"}
    assert upstream.asked(unique) == 2


def test_a_dropped_connection_is_tried_again(client, upstream, unique):
    late, never = f"{unique} late", f"{unique} never"
    upstream.hang_up.update({late: 1, never: 3})

    # Both at once, since they wait for a real second between attempts.
    with ThreadPoolExecutor() as pool:
        came = pool.submit(translate, client, late)
        gone = pool.submit(client.get, "/name", params={"argument_1": never})

    assert came.result().json() == {"text": f"{late} in ru"}
    assert gone.result().status_code == 502
    assert gone.result().headers["content-type"] == "application/problem+json"
    assert (upstream.asked(late), upstream.asked(never)) == (2, 3)


# What a method may return ---------------------------------------------------------


class Found(BaseModel):
    name: str


@pytest.fixture
def declared(seed, upstream):
    """Return a function that declares an endpoint, which returns *answer*."""
    home = "integration.http_integration"
    EndpointsDeclaration = seed(home, "EndpointsDeclaration")
    post = seed(home, "HTTPMethod").post

    def declare(returned, answer):
        class Declared(EndpointsDeclaration):
            integration = seed(home, "IntegrationHTTP")("Declared", doc="For a test")

            class Schema:
                class Good(BaseModel):
                    name: str

            class SchemaError:
                class http400(BaseModel):
                    error: str

            async def ask(api):
                return answer

            ask.__annotations__["return"] = returned
            ask = integration.endpoint(post, "/path", version="v1", docurl="")(ask)

        return Declared(base_url=upstream.url, credentials={})

    return declare


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("returned", "answer", "expected"),
    [
        ("Schema.Good", {"name": "a"}, {"name": "a"}),
        ("list[Schema.Good]", [{"name": "a"}], [{"name": "a"}]),
        ("Schema.Good | SchemaError.http400", {"error": "b"}, {"error": "b"}),
        ("list[Schema.Good] | SchemaError.http400", [{"name": "a"}], [{"name": "a"}]),
        ("list[Schema.Good] | SchemaError.http400", {"error": "b"}, {"error": "b"}),
        ("dict", {"any": "thing"}, {"any": "thing"}),
        ("list[dict]", [{"any": "thing"}], [{"any": "thing"}]),
        ("Any", {"any": ["thing"]}, {"any": ["thing"]}),
    ],
)
async def test_a_method_returns_what_it_declares(declared, returned, answer, expected):
    async with declared(returned, answer) as api:
        result = await api.ask()

    assert plain(result) == expected


def plain(result: Any) -> Any:
    if isinstance(result, list):
        return [plain(item) for item in result]
    return result.model_dump() if isinstance(result, BaseModel) else result


@pytest.mark.anyio
async def test_another_answer_is_an_error_of_the_upstream(declared):
    async with declared("Schema.Good", {"other": 1}) as api:
        with pytest.raises(Exception, match="name") as caught:
            await api.ask()

    assert caught.value.http_status == 502


# Stability patterns ---------------------------------------------------------------


class Flaky:
    """Fails so many times, and then answers."""

    def __init__(self, failures):
        self.failures = failures
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise httpx.ConnectError("no route")
        return "fine"


@pytest.fixture
def sp(seed):
    return seed("integration.stability_patterns", "sp")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.mark.anyio
async def test_a_retry_makes_three_attempts_a_second_apart(sp, clock):
    flaky = Flaky(2)

    @sp.RetryPattern()
    async def ask():
        return await flaky()

    with clock.drive(ask):
        assert await ask() == "fine"

    assert flaky.calls == 3
    assert clock.sleeps == [1, 1]


@pytest.mark.anyio
async def test_a_retry_gives_up(sp, clock, seed):
    flaky = Flaky(10)
    error = seed("integration.stability_patterns", "MaxRetriesExceededError")

    @sp.RetryPattern()
    async def ask():
        return await flaky()

    with clock.drive(ask), pytest.raises(error) as caught:
        await ask()

    assert flaky.calls == 3
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


@pytest.mark.anyio
async def test_a_response_that_is_no_exception_is_a_success(sp):
    calls = []

    @sp.RetryPattern()
    @sp.CircuitBreaker(fail_threshold=1)
    async def ask():
        calls.append(1)
        return httpx.Response(500)

    assert (await ask()).status_code == (await ask()).status_code == 500
    assert len(calls) == 2


@pytest.mark.anyio
async def test_a_timeout_ends_what_takes_too_long(sp, seed):
    error = seed("integration.stability_patterns", "StabilityTimeoutError")

    @sp.Timeout(seconds=0.05)
    async def ask():
        await asyncio.Event().wait()

    with pytest.raises(error, match=r"0\.05"):
        await ask()


def test_a_timeout_is_ten_seconds_by_default(sp):
    assert sp.Timeout().seconds == 10


@pytest.mark.anyio
async def test_a_breaker_opens_after_three_failures_for_ten_seconds(sp, clock, seed):
    flaky = Flaky(3)
    error = seed("integration.stability_patterns", "CircuitBreakerError")

    @sp.CircuitBreaker()
    async def ask():
        return await flaky()

    with clock.drive(ask):
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await ask()
        with pytest.raises(error):
            await ask()
        clock.advance(9.9)
        with pytest.raises(error):
            await ask()
        clock.advance(0.2)

        assert await ask() == "fine"

    assert flaky.calls == 4


@pytest.mark.anyio
async def test_a_throttle_lets_a_thousand_calls_pass_in_a_second(sp, clock, seed):
    error = seed("integration.stability_patterns", "ThrottlingError")

    @sp.Throttling()
    async def ask():
        return "fine"

    with clock.drive(ask):
        for _ in range(1000):
            await ask()
        with pytest.raises(error):
            await ask()
        clock.advance(1)

        assert await ask() == "fine"


@pytest.mark.anyio
async def test_a_fallback_answers_instead(sp):
    async def instead():
        return "something else"

    @sp.Fallback(instead)
    @sp.RetryPattern(max_attempts=1)
    async def ask():
        raise httpx.ConnectError("no route")

    assert await ask() == "something else"


@pytest.mark.anyio
async def test_all_patterns_stack_on_one_method(sp, clock):
    flaky = Flaky(1)

    @sp.Fallback(lambda: "something else")
    @sp.Timeout()
    @sp.RetryPattern()
    @sp.CircuitBreaker()
    @sp.Throttling()
    async def ask():
        return await flaky()

    with clock.drive(ask):
        assert await ask() == "fine"

    assert flaky.calls == 2


def test_patterns_serve_sync_functions_too(sp, clock):
    calls = []

    @sp.RetryPattern()
    def ask():
        calls.append(1)
        if len(calls) < 3:
            raise httpx.ConnectError("no route")
        return "fine"

    with clock.drive(ask):
        assert ask() == "fine"


# Models from examples -------------------------------------------------------------


def test_a_dict_becomes_models_that_accept_it(seed):
    generate = seed("commands.py2dantic", "generate_pydantic_models")
    data = {"id": 1, "owner": {"name": "Ann"}, "tags": ["a"], "rows": [{"x": 1.5}]}

    source = generate(data)

    module: dict[str, Any] = {}
    exec(source, module)
    model = module["RootModel"]
    assert model.model_validate(data).model_dump(by_alias=True) == data
    with pytest.raises(ValidationError):
        model.model_validate(data | {"owner": 1})


def test_models_have_the_names_that_are_asked_for(seed):
    generate = seed("commands.py2dantic", "generate_pydantic_models")

    source = generate({"a": {"b": 1}}, prfix_class_name="Order", depth=5)

    names = [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef)]
    assert names[-1] == "Order"
    assert all(name.startswith("Order") for name in names)


def test_the_command_writes_models_from_a_file(tmp_path):
    example = tmp_path / "example.json"
    example.write_text(json.dumps({"name": "Ann"}))

    source = subprocess.run(
        [sys.executable, "-m", "accel_integration", "py2dantic", example],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "class RootModel(BaseModel):" in source
    assert "name: str" in source
