import httpx
from pydantic import BaseModel

from fastapi_accelerator.integration.http_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
)
from fastapi_accelerator.integration.stability_patterns import sp


class NameIntegration(EndpointsDeclaration):
    integration = IntegrationHTTP(
        "Integration Name",
        doc="Integration with ... API",
    )

    class Schema:
        """Pydantic schemas for successful responses"""

        class Successful(BaseModel):
            body: str

    class SchemaError:
        """Pydantic schemas for unsuccessful responses"""

        class http400(BaseModel):
            error: str

    @integration.endpoint(HTTPMethod.post, "/path", version="...", docurl="https://...")
    @sp.RetryPattern()
    async def method_name(
        api: ApiHTTP, argument_1: str
    ) -> Schema.Successful | SchemaError.http400:
        try:
            response: httpx.Response = await api.client.post(
                api.url.geturl(), json={"argument_1": argument_1}
            )
            return response.json()
        except httpx.RequestError as e:
            raise e
