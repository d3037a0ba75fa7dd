"""Calls to a translator."""

from http import HTTPStatus

from pydantic import BaseModel

from fastapi_accelerator.integration.http_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
)


class GoogleTranslateEndpoints(EndpointsDeclaration):
    integration = IntegrationHTTP("Google Translate", doc="Translates texts")

    class Schema:
        class TranslateV2(BaseModel):
            text: str

    @integration.endpoint(HTTPMethod.post, "/v2/translate", version="v2")
    async def translate(
        api: ApiHTTP, text: str, from_lang: str, to_lang: str
    ) -> Schema.TranslateV2:
        response = await api.client.post(api.url.geturl(), json=[text, to_lang])
        assert response.status_code == HTTPStatus.OK
        return response.json()

    @integration.endpoint(HTTPMethod.get, "/v2/languages", version="v2")
    async def languages(api: ApiHTTP) -> list:
        response = await api.client.get(api.url.geturl())
        return response.json()
