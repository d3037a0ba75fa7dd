"""The testing kit answers instead of others, and lets nothing real out."""

import asyncio
import gzip
import json
from typing import Any

import httpx
import httpx2
import pytest
from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    CircuitBreakerError,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    MaxRetriesExceededError,
    ResponseStatusError,
    ResponseValidationError,
    StabilityTimeoutError,
    endpoint_of,
    sp,
)
from accel_integration.testing import (
    FakeClock,
    Fault,
    MockRules,
    UnmockedCallError,
    UnrecordedRequestError,
    fail,
    fault_server,
    latency,
    on_request,
    patch_integration,
    recorded,
    respond,
)

pytestmark = pytest.mark.anyio

BREAKER = sp.CircuitBreaker(5, 60)


class Shop(EndpointsDeclaration):
    integration = IntegrationHTTP("Shop")

    class Schema:
        class Item(BaseModel):
            id: int

    class SchemaError:
        class http404(BaseModel):
            detail: str

    @integration.endpoint(HTTPMethod.get, "/items/{item_id}")
    @sp.Timeout(1.5)
    @sp.RetryPattern(3, 0.2)
    @BREAKER
    async def item(api: ApiHTTP, item_id: int) -> Schema.Item | SchemaError.http404:
        response = await api.client.get(
            str(api.url), headers={"x-token": api.credentials["TOKEN"]}
        )
        return response.json()

    @integration.endpoint(HTTPMethod.get, "/other")
    async def other(api: ApiHTTP) -> dict:
        return (await api.client.get(str(api.url))).json()

    @integration.endpoint(HTTPMethod.get, "/sync")
    @sp.RetryPattern(3, 60)
    def sync(api: ApiHTTP) -> Schema.Item:
        return api.client.get(str(api.url)).json()


@pytest.fixture
def shop():
    return Shop("http://127.0.0.1:9", {"TOKEN": "t"})


async def test_answer_may_be_a_function_of_the_arguments(shop):
    async def answer(api, item_id):
        return {"id": item_id + int(api.credentials["TOKEN"] == "t")}

    with patch_integration({Shop.item: answer}):
        assert await shop.item(41) == Shop.Schema.Item(id=42)


async def test_answer_may_be_a_sync_function_or_a_plain_value(shop):
    with patch_integration({Shop.item: lambda _, item_id: {"id": item_id}}):
        assert (await shop.item(1)).id == 1
    with patch_integration({Shop.item: {"id": 7}}):
        assert (await shop.item(1)).id == 7


async def test_answer_is_validated_like_a_real_one(shop):
    with (
        patch_integration({Shop.item: {"name": "x"}}),
        pytest.raises(ResponseValidationError, match="id: Field required"),
    ):
        await shop.item(1)


async def test_call_without_a_rule_makes_no_request(shop):
    with patch_integration({Shop.item: {"id": 1}}):
        with pytest.raises(UnmockedCallError, match="Shop: other was called, but no"):
            await shop.other()
        with pytest.raises(NotImplementedError):
            shop.sync()


async def test_decorated_async_test_is_patched_to_its_end(shop):
    rules = MockRules({Shop.item: {"id": 1}})

    @patch_integration(mock_rules=rules)
    async def test(a, *, b):
        await asyncio.sleep(0)
        return (await shop.item(1)).id, a, b

    assert await test(2, b=3) == (1, 2, 3)
    with pytest.raises((httpx.ConnectError, MaxRetriesExceededError)):
        await Shop("http://127.0.0.1:9", {"TOKEN": ""}).other()


def test_decorated_sync_test_is_patched(shop):
    @patch_integration(mock_rules=MockRules({Shop.item: {"id": 1}}))
    def test():
        return asyncio.run(shop.item(5)).id

    assert test() == 1


def test_decorated_method_is_patched(shop):
    class Tests:
        @patch_integration(mock_rules=MockRules({Shop.sync: {"id": 1}}))
        def test(self):
            return shop.sync().id

    assert Tests().test() == 1


@pytest.mark.parametrize(
    "rule",
    [
        fail(1).then({"a": 1}),
        latency(0, fail(1).then({"a": 1})),
        latency(0, fail(1)).answer.then(fail(1).then({"a": 1})),
    ],
    ids=["script", "latency", "script in a script"],
)
async def test_every_test_finds_its_rules_as_they_were_written(shop, rule):
    rules = MockRules({Shop.other: rule})

    @patch_integration(rules)
    async def test():
        with patch_integration(rules), pytest.raises(httpx.ConnectError):
            await shop.other()
        assert rules.count(Shop.other) == 1
        # A patch inside of another one changes nothing.
        with patch_integration(rules):
            return await outcomes()

    async def outcomes():
        found = []
        for _ in range(3):
            try:
                found.append(await shop.other())
            except httpx.ConnectError as exc:
                found.append(type(exc))
        return found, rules.count(Shop.other)

    assert await test() == await test()


def test_what_would_not_be_patched_is_refused():
    class Tests:
        """Some tests."""

    def fixture():
        yield

    async def async_fixture():
        yield

    for target in (Tests, fixture, async_fixture):
        with pytest.raises(TypeError, match="is a class or a generator"):
            patch_integration({})(target)


async def test_a_script_may_begin_with_no_failure_at_all(shop):
    with patch_integration({Shop.item: fail(0).then({"id": 1})}):
        assert (await shop.item(5)).id == 1
    with pytest.raises(ValueError, match=r"has no answer: write `fail\(0\)\.then\("):
        MockRules({Shop.item: fail(0)})


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: fail(-1), ValueError, '"times" must be >= 0: -1'),
        (lambda: fail(ConnectionError()), TypeError, '"times" must be a whole number'),
        (lambda: latency(-1, None), ValueError, '"seconds" must be >= 0'),
        (lambda: latency("1", None), TypeError, '"seconds" must be a number'),
    ],
)
def test_rule_that_makes_no_sense_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


async def test_patterns_stay_in_force_around_mocks(shop):
    with patch_integration({Shop.item: fail(2).then({"id": 1})}) as rules:
        assert (await shop.item(5)).id == 1

    assert [call.args for call in rules.calls] == [(5,)] * 3
    assert rules.count(Shop.item) == 3
    assert rules.count(Shop.other) == 0


async def test_retries_around_mocks_take_no_time(shop):
    _, retry, *_ = endpoint_of(Shop.item).strategies

    with patch_integration({Shop.item: fail(9)}):
        clock = retry.clock
        with pytest.raises(MaxRetriesExceededError):
            await shop.item(5)

    assert clock.sleeps == [0.2, 0.2]


async def test_states_do_not_leak_from_one_patch_into_the_next(shop):
    with patch_integration({Shop.item: fail(99)}):
        for _ in range(3):
            with pytest.raises((MaxRetriesExceededError, CircuitBreakerError)):
                await shop.item(1)
        assert BREAKER.state == "open"

    with patch_integration({Shop.item: {"id": 1}}):
        assert (await shop.item(1)).id == 1


async def test_exceptions_are_raised(shop):
    with (
        patch_integration({Shop.other: ValueError("broken")}),
        pytest.raises(ValueError, match="broken"),
    ):
        await shop.other()


async def test_latency_tries_the_timeout(shop):
    with (
        patch_integration({Shop.item: latency(30, {"id": 1})}),
        pytest.raises(StabilityTimeoutError),
    ):
        await shop.item(1)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_requests_of_the_real_method_are_answered(library):
    def answer(request):
        assert request.headers["x-token"] == "t"
        assert request.headers["x-always"] == "1"
        return respond(json={"id": int(request.url.path.rpartition("/")[2])})

    client = library.AsyncClient(headers={"x-always": "1"})
    async with client:
        shop = Shop("http://127.0.0.1:9", {"TOKEN": "t"}, client)
        with patch_integration({Shop.item: on_request(answer)}):
            assert (await shop.item(8)).id == 8


async def test_status_of_a_mocked_response_counts(shop):
    with patch_integration({Shop.item: respond(404, json={"detail": "none"})}):
        assert await shop.item(1) == Shop.SchemaError.http404(detail="none")
    with (
        patch_integration({Shop.item: respond(500, json={"id": "x"})}),
        pytest.raises(ResponseStatusError),
    ):
        await shop.item(1)


async def test_connection_of_the_real_method_may_fail(shop):
    with patch_integration({Shop.item: fail(2).then(respond(json={"id": 1}))}) as rules:
        assert (await shop.item(1)).id == 1

    assert len(rules.calls) == 3


def test_sync_endpoints_are_mocked_in_every_way(shop):
    for rule in (
        {"id": 1},
        lambda _: {"id": 1},
        respond(json={"id": 1}),
        on_request(lambda _: respond(json={"id": 1})),
        fail(2).then(respond(json={"id": 1})),
        fail(2).then(latency(0.001, {"id": 1})),
    ):
        with patch_integration({Shop.sync: rule}):
            assert shop.sync().id == 1


async def test_patches_nest(shop):
    with patch_integration({Shop.other: {"a": 1}}):
        with patch_integration({Shop.item: {"id": 1}}):
            assert (await shop.item(1)).id == 1
            assert await shop.other() == {"a": 1}
        with pytest.raises(UnmockedCallError):
            await shop.item(1)


def test_rules_are_about_endpoints_only():
    with pytest.raises(TypeError, match="is not an endpoint: name it as"):
        MockRules({len: 1})


# The clock -----------------------------------------------------------------------


async def test_clock_drives_decorated_functions():
    breaker = sp.CircuitBreaker(1, 60)

    @breaker
    @sp.Throttling(1, burst=1)
    async def call(*, broken=False):
        if broken:
            raise ConnectionError

    with FakeClock().drive(call) as clock:
        with pytest.raises(ConnectionError):
            await call(broken=True)
        clock.advance(59)
        with pytest.raises(CircuitBreakerError):
            await call()
        clock.advance(1)
        await call()

    assert breaker.state == "closed"


def test_clock_needs_something_to_drive():
    with pytest.raises(TypeError, match="has no stability patterns"):
        FakeClock().drive(len).__enter__()


async def test_clock_wakes_sleepers_in_order():
    clock, woken = FakeClock(auto=False), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3, 1, 2)]
    await asyncio.sleep(0)
    clock.advance(2)
    await asyncio.sleep(0)

    assert woken == [1, 2]
    clock.advance(1)
    await asyncio.gather(*tasks)
    assert woken == [1, 2, 3]
    assert repr(clock) == "<FakeClock 1003>"


def test_fault_server_can_change_its_mind():
    with fault_server() as server:
        assert httpx.get(server.url).json() is None
        server.play(Fault.ok({"a": 1}, status=201, x_test="1"))
        response = httpx.post(server.url, json={"b": 2})

    assert (response.status_code, response.json()) == (201, {"a": 1})
    assert response.headers["x-test"] == "1"
    assert server.requests[1].body == b'{"b":2}'


@pytest.mark.parametrize("status", [299, 522, 599])
def test_fault_server_knows_statuses_without_a_name(status):
    with fault_server(Fault.ok({"a": 1}, status=status)) as server:
        response = httpx.get(server.url)

    assert (response.status_code, response.json()) == (status, {"a": 1})


# Cassettes -----------------------------------------------------------------------


async def test_recorded_responses_are_given_again_without_the_server(tmp_path):
    path = tmp_path / "tapes" / "shop.json"
    answers = Fault.ok({"id": 1, "key": "s3cr3t"}), Fault.ok({"id": 2})
    with fault_server(*answers) as server:
        async with Shop(server.url, {"TOKEN": "s3cr3t"}) as shop:
            with patch_integration({Shop.item: recorded(path, record=True)}):
                first = [(await shop.item(7)).id for _ in range(2)]

    other = Shop("http://127.0.0.1:9", {"TOKEN": "another"})
    with patch_integration({Shop.item: recorded(path)}):
        again = [(await other.item(7)).id for _ in range(3)]

    assert first == [1, 2]
    assert again == [1, 2, 2]
    assert "s3cr3t" not in path.read_text()
    assert '"GET /items/7"' in path.read_text()


def test_sync_endpoints_are_recorded_too(tmp_path):
    path = tmp_path / "shop.json"
    with fault_server(Fault.ok({"id": 5})) as server:
        shop = Shop(server.url)
        with patch_integration({Shop.sync: recorded(path, record=True)}):
            assert shop.sync().id == 5
        shop.close()

    with patch_integration({Shop.sync: recorded(path)}):
        assert Shop("http://127.0.0.1:9").sync().id == 5


async def test_request_that_was_not_recorded_is_explained(shop, tmp_path):
    rule = recorded(tmp_path / "none.json")

    with (
        patch_integration({Shop.item: rule}),
        pytest.raises(
            AssertionError,
            match=r"no response to GET http://127\.0\.0\.1:9/items/7\. It has none",
        ),
    ):
        await shop.item(7)


async def test_client_of_a_class_of_ones_own_is_mocked(tmp_path):
    class Own(httpx2.AsyncClient):
        pass

    async with Own() as client:
        shop = Shop("http://127.0.0.1:9", {"TOKEN": "t"}, client)
        with patch_integration({Shop.item: respond(json={"id": 3})}):
            assert (await shop.item(1)).id == 3


async def test_driving_one_function_leaves_others_under_the_same_breaker_alone():
    breaker = sp.CircuitBreaker()

    @breaker
    async def driven(): ...

    @breaker
    async def other(): ...

    with FakeClock().drive(driven):
        await driven()
    breaker.isolate()

    for call in (driven, other):
        with pytest.raises(CircuitBreakerError):
            await call()


class Site(EndpointsDeclaration):
    integration = IntegrationHTTP("Site")

    @integration.endpoint("get", "/{path}")
    async def get(api: ApiHTTP, path: str) -> httpx.Response:
        return await api.client.get(str(api.url), follow_redirects=True)

    @integration.endpoint("get", "/list")
    async def page(api: ApiHTTP, number: int) -> httpx.Response:
        return await api.client.get(str(api.url), params={"page": number})

    @integration.endpoint("post", "/upload")
    async def upload(api: ApiHTTP, film: bytes) -> httpx.Response:
        files = {"film": film}
        return await api.client.post(str(api.url), files=files, data={"title": "x"})

    @integration.endpoint("post", "/post")
    async def post(api: ApiHTTP, **options: Any) -> httpx.Response:
        return await api.client.post(str(api.url), **options)

    @integration.endpoint("post", "/call")
    async def call(api: ApiHTTP, value: int, pin: str = "1234") -> httpx.Response:
        body = {"value": value, "password": pin, "key": api.credentials["TOKEN"]}
        return await api.client.post(str(api.url), json=body)


async def taped(path, credentials, use, *faults):
    """Record what *use* does with a site, and play it without the server."""
    with fault_server(*faults) as server:
        async with Site(server.url, credentials) as site:
            rule = recorded(path, record=True)
            tape = {getattr(Site, name): rule for name in Site.endpoints()}
            with patch_integration(tape):
                first = await use(site)
    rule = recorded(path)
    with patch_integration({getattr(Site, name): rule for name in Site.endpoints()}):
        return first, await use(Site("http://127.0.0.1:9", {"TOKEN": "another"}))


async def test_bytes_and_headers_are_recorded_as_they_came(tmp_path):
    blob = bytes(range(256))
    headers = {
        "content-type": "image/png",
        "link": '</list?2>; rel="next", </list?page=2&token=t0ps3cret>; rel="last"',
        "set-cookie": "sid=t0ps3cret; Path=/",
        "x-auth-token": "t0ps3cret",
        "etag": '"1"',
        "content-encoding": "gzip",
    }

    def server(_):
        return httpx.Response(200, content=gzip.compress(blob), headers=headers)

    path = tmp_path / "site.json"
    with patch_integration({Site.get: recorded(path, record=True)}):
        async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as client:
            first = await Site("http://site.test", client=client).get("image")
    with patch_integration({Site.get: recorded(path)}):
        second = await Site("http://127.0.0.1:9").get("image")

    live, again = first.headers, second.headers
    assert first.content == second.content == blob
    assert "t0ps3cret" in live["link"]
    assert again["etag"] == '"1"'
    assert again["content-type"] == "image/png"
    assert (
        again["link"] == '</list?2>; rel="next", </list?page=2&token=***>; rel="last"'
    )
    assert again["set-cookie"] == "sid=***; Path=/"
    assert "t0ps3cret" not in path.read_text()


async def test_redirects_are_recorded_step_by_step(tmp_path):
    async def use(site):
        response = await site.get("old")
        return response.json(), len(response.history), response.url.path

    path = tmp_path / "site.json"
    moved = Fault.ok(status=302, location="/new")
    both = await taped(path, {}, use, moved, Fault.ok({"a": 1}))

    assert both == (({"a": 1}, 1, "/new"),) * 2


async def test_upload_is_found_again_whatever_its_boundary(tmp_path):
    async def use(site):
        return (await site.upload(b"film")).json()

    path = tmp_path / "site.json"

    assert await taped(path, {}, use, Fault.ok({"a": 1})) == ({"a": 1},) * 2


def login(password):
    account = {"name": "me", "password": password}
    return [
        {"json": account},
        {"json": {"deep": [account]}},
        {"json": [account]},
        {"data": account},
    ]


@pytest.mark.parametrize("number", range(4), ids=["json", "deep", "list", "form"])
async def test_no_hash_tells_a_password_to_who_can_guess(tmp_path, number):
    pins, files = ("1234", "9876"), []

    for pin in pins:
        path = tmp_path / f"{pin}.json"
        await taped(
            path, {}, lambda site, pin=pin: site.post(**login(pin)[number]), Fault.ok()
        )
        files.append(json.loads(path.read_text()))
    requests = [[(key, t["request"]) for key, (t,) in file.items()] for file in files]

    assert requests[0] == requests[1]


async def test_fields_of_a_form_that_come_twice_are_told_apart(tmp_path):
    path = tmp_path / "site.json"
    both, one = {"a": ["1", "2"]}, {"a": ["2"]}
    await taped(path, {}, lambda site: site.post(data=both), Fault.ok())

    with (
        patch_integration({Site.post: recorded(path)}),
        pytest.raises(UnrecordedRequestError, match="another body: 'a' differ"),
    ):
        await Site("http://127.0.0.1:9").post(data=one)


async def test_difference_to_what_was_recorded_is_named(tmp_path):
    async def use(site):
        await site.call(1)
        await site.upload(b"film")
        await site.page(1)

    path = tmp_path / "site.json"
    await taped(path, {"TOKEN": "s3cr3t"}, use, Fault.ok())
    rule = recorded(path)
    site = Site("http://me:pass@127.0.0.1:9", {"TOKEN": "another"})
    with patch_integration({getattr(Site, name): rule for name in Site.endpoints()}):
        await site.call(1)
        with pytest.raises(
            UnrecordedRequestError,
            match=r"POST http://\*\*\*@127\.0\.0\.1:9/call\. .* another body: 'value' differ",
        ):
            await site.call(2)
        await site.call(1, "4321")
        with pytest.raises(
            UnrecordedRequestError, match=r"form-data of .* bytes instead of multi"
        ):
            await site.upload(b"another film")
        with pytest.raises(
            UnrecordedRequestError, match=r"/list\?page=2\. It has GET /list\?page=1, "
        ):
            await site.page(2)


async def test_client_that_follows_redirects_is_recorded_step_by_step_too(tmp_path):
    def server(request):
        moved = {"location": "/new"} if request.url.path == "/old" else {}
        return httpx.Response(302 if moved else 200, headers=moved)

    path = tmp_path / "site.json"
    transport = httpx.MockTransport(server)
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        with patch_integration({Site.get: recorded(path, record=True)}):
            response = await Site("http://site.test", client=client).get("old")

    assert [past.status_code for past in response.history] == [302]
    assert '"GET /old"' in path.read_text()
    assert '"GET /new"' in path.read_text()
