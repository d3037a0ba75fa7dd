"""Mistakes in declarations and calls: refused at once, with what would be right."""

import enum
from typing import Any

import httpx
import httpx2
import pytest

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    IntegrationHTTP,
    OrderWarning,
    RequestError,
    sp,
)
from accel_integration.testing import Fault, fault_server

pytestmark = pytest.mark.anyio


class Remote(EndpointsDeclaration):
    integration = IntegrationHTTP("Remote", strategies=[sp.Fallback("fallback")])

    @integration.endpoint("post", "/rpc")
    async def rpc(api: ApiHTTP, method: str, *, times: int = 1) -> Any:
        return f"{method} {times}"

    @integration.endpoint("post", "/many")
    async def many(api: ApiHTTP, *names: str, **more: int) -> Any:
        return [*names, *more]

    @integration.endpoint("post", "/strict")
    def strict(api: ApiHTTP, first: str, /, second: str = "b") -> Any:
        return first + second

    @integration.endpoint("get", "/a/{x}")
    async def find(api: ApiHTTP, x: Any) -> Any:
        return str(api.url)


remote = Remote("http://remote.test")


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), {}, "missing a required argument: 'method'"),
        (("m",), {"typo": 1}, "got an unexpected keyword argument 'typo'"),
        (("m", 2), {}, "too many positional arguments"),
        (("m",), {"method": "n"}, "multiple values for argument 'method'"),
    ],
    ids=["missing", "unknown", "too many", "twice"],
)
async def test_no_fallback_answers_arguments_that_nobody_takes(args, kwargs, why):
    with pytest.raises(TypeError, match=f"Remote: rpc was not called: {why}"):
        await remote.rpc(*args, **kwargs)


def test_positional_arguments_have_no_name():
    with pytest.raises(TypeError, match=r"Remote: strict was not called: .*first"):
        remote.strict(first="a")


async def test_right_arguments_may_be_given_in_every_way():
    assert await remote.rpc("m") == "m 1"
    assert await remote.rpc(method="m", times=2) == "m 2"
    assert await remote.many("a", "b", c=1) == ["a", "b", "c"]
    assert remote.strict("a") == remote.strict("a", second="b") == "ab"


@pytest.mark.parametrize("value", ["", ".", "..", None])
async def test_path_argument_that_leads_elsewhere_is_named(value):
    with pytest.raises(RequestError, match=r"it must not be .* part of a path") as e:
        await remote.find(value)

    assert (e.value.endpoint, e.value.argument) == ("Remote: find", "x")


async def test_path_argument_that_is_no_text_is_named():
    with pytest.raises(RequestError, match=r"argument 'x'.*surrogates not allowed"):
        await remote.find("\ud800")


class Color(str, enum.Enum):  # noqa: UP042 - many are written so
    red = "red"


async def test_path_argument_of_an_enumeration_is_its_value():
    assert await remote.find(Color.red) == "http://remote.test/a/red"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_no_guest_opens_a_circuit_by_what_no_client_sends(library):
    class It(EndpointsDeclaration):
        integration = IntegrationHTTP("It")

        @integration.endpoint("get", "/")
        @sp.RetryPattern(2, 0)
        @sp.CircuitBreaker(1)
        async def get(api: ApiHTTP, header: str = "", more: str = "") -> int:
            url, headers = f"{api.url}{more}", {"x-header": header}
            return (await api.client.get(url, headers=headers)).json()

    with fault_server(Fault.ok(1)) as server:
        async with It(server.url, client=library.AsyncClient) as it:
            for hostile in ("é", "a\r\nb: c"):
                with pytest.raises((UnicodeEncodeError, library.LocalProtocolError)):
                    await it.get(hostile)
            with pytest.raises(library.InvalidURL):
                await it.get(more="\n")

            assert await it.get() == 1


async def test_a_connection_that_the_other_side_gave_up_is_a_failure_of_it():
    answers = [httpx.LocalProtocolError("Invalid input in state CLOSED"), 1]

    @sp.RetryPattern(2, 0)
    async def call():
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    assert await call() == 1


async def test_a_wrong_argument_is_a_mistake_for_patterns_around_too():
    calls = []

    @sp.RetryPattern(3, 0)
    async def around():
        calls.append(1)
        await remote.find("")

    with pytest.raises(RequestError):
        await around()

    assert len(calls) == 1


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("/f/{x:path}", r"Write `\{name\}`, which is one segment"),
        ("/f/{}", r"Write `\{name\}`"),
        ("https://other.test/a", "Give its beginning to the declaration"),
        ("https://u:pa55word@it/?a=1", r"path 'https://\*\*\*@it/\?a=1' is a URL"),
    ],
)
def test_path_that_means_something_else_is_refused(path, cure):
    async def find(api: ApiHTTP, x: str) -> Any: ...

    with pytest.raises(ValueError, match=cure):
        IntegrationHTTP("It").endpoint("get", path)(find)


@pytest.mark.parametrize("kind", [ApiHTTP, "accel_integration.ApiHTTP"])
def test_a_self_before_the_api_is_refused(kind):
    async def find(self, api: Any) -> Any: ...

    find.__annotations__["api"] = kind

    with pytest.raises(ValueError, match="Leave 'self' out"):
        IntegrationHTTP("It").endpoint("get", "/")(find)


def test_a_strategy_above_the_endpoint_is_doubted():
    integration = IntegrationHTTP("It")

    @integration.endpoint("get", "/")
    async def find(api: ApiHTTP) -> Any: ...

    retried = sp.RetryPattern(3, 0, statuses={503})(find)

    with pytest.warns(OrderWarning, match=r"It\.find: RetryPattern above") as caught:
        type("It", (EndpointsDeclaration,), {"find": retried})

    assert caught[0].filename == __file__
