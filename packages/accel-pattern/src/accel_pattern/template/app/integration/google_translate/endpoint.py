"""Calls to Google Translate."""

from datetime import timedelta

import httpx
from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    sp,
)
from pydantic import BaseModel


class GoogleTranslateEndpoints(EndpointsDeclaration):
    """The endpoints that this service needs."""

    integration = IntegrationHTTP(
        "Google Translate",
        doc="Integration with Google Translate API",
    )

    class Schema:
        """Successful answers."""

        class TranslateV2(BaseModel):
            """A translation."""

            text: str

    class SchemaError:
        """Unsuccessful answers."""

        class http400(BaseModel):  # noqa: N801 - the name says the status
            """What is wrong with the request."""

            error: dict[str, object]

    @integration.endpoint(
        HTTPMethod.post,
        "/v1/translateHtml",
        version="v2",
        docurl="https://cloud.google.com/translate/docs/reference/rest",
    )
    @sp.Timeout(seconds=5)
    @sp.RetryPattern(max_attempts=3, delay=timedelta(milliseconds=50))
    @sp.CircuitBreaker(fail_threshold=5, reset_timeout=2)
    @sp.Throttling(calls_per_second=50)
    async def translate(
        api: ApiHTTP,
        text: str,
        from_lang: str,
        to_lang: str,
    ) -> Schema.TranslateV2 | SchemaError.http400:
        """Translate *text*, line by line."""
        response: httpx.Response = await api.client.post(
            api.url.geturl(),
            json=[[text.split("\n"), from_lang, to_lang], "te_lib"],
            headers={
                "content-type": "application/json+protobuf",
                "x-goog-api-key": api.credentials["API_TOKEN"],
            },
        )
        if response.status_code == httpx.codes.BAD_REQUEST:
            return GoogleTranslateEndpoints.SchemaError.http400(**response.json())
        # A server's failure must raise, or no pattern takes notice of it.
        response.raise_for_status()
        text = "\n".join(line[0] for line in response.json())
        return GoogleTranslateEndpoints.Schema.TranslateV2(text=text)
