"""What a checker sees of integrations and their patterns."""

from datetime import timedelta
from typing import assert_type

from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    sp,
)


class Rate(BaseModel):
    value: float


@sp.Timeout(seconds=2)
@sp.RetryPattern(max_attempts=2, delay=timedelta(seconds=0.1))
async def fetch(name: str, *, limit: int = 3) -> list[str]:
    return [name] * limit


@sp.CircuitBreaker()
def compute(value: int) -> float:
    return value / 2


class Bank(EndpointsDeclaration):
    integration = IntegrationHTTP("Bank", doc="Rates")

    @integration.endpoint(HTTPMethod.get, "/rate")
    @sp.RetryPattern()
    async def rate(api: ApiHTTP, currency: str) -> Rate:
        response = await api.client.get(api.url.geturl(), params={"c": currency})
        return Rate.model_validate(response.json())


async def use() -> None:
    """Keep signatures through every decorator."""
    assert_type(await fetch("a", limit=1), list[str])
    assert_type(compute(3), float)
    assert_type(await Bank(base_url="https://bank.example").rate("EUR"), Rate)
