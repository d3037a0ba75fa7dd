"""The example that the system began with runs unchanged."""

# ruff: noqa: T201, TRY201 - it is shown as it was written

import subprocess
import sys

import httpx
import pytest
from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
    sp,
)
from accel_integration.testing import MockRules, patch_integration, respond


class GoogleTranslateEndpoints(EndpointsDeclaration):
    integration = IntegrationHTTP(
        "Google Translate",
        doc="Integration with Google Translate API",
    )

    class Schema:
        """Schemas for successful responses"""

        class TranslateV2(BaseModel):
            text: str

    class SchemaError:
        """Schemas for unsuccessful responses"""

        class http400(BaseModel):
            error: dict

    @integration.endpoint(
        HTTPMethod.post,
        "/v1/translateHtml",
        version="v2",
        docurl="https://cloud.google.com/translate/docs/reference/rest",
    )
    # Apply stability patterns
    @sp.Timeout()
    # Automatically retries the request when an error occurs.
    @sp.RetryPattern()
    async def translate(
        api: ApiHTTP,
        text: str,
        from_lang: str,
        to_lang: str,
    ) -> Schema.TranslateV2 | SchemaError.http400:  # Specify response type
        """Translate text using Google Translate"""
        try:
            # Execute request to external system
            response: httpx.Response = await api.client.post(
                api.url.geturl(),
                json=[[text.split("\n"), from_lang, to_lang], "te_lib"],
                headers={
                    "content-type": "application/json+protobuf",
                    "x-goog-api-key": api.credentials["API_TOKEN"],
                },
            )
            # Process response
            print(f"Processed {api.url}: Status {response.status_code}")
            return {"text": "\n".join(x[0] for x in response.json())}
        except httpx.RequestError as e:
            print(f"Error processing {api.url}: {e}")
            raise e


gtapi = GoogleTranslateEndpoints(
    base_url="https://translate-pa.googleapis.com",
    credentials={"API_TOKEN": "s3cr3t-token"},
)


async def overwrite_translate(api: ApiHTTP, *args, **kwargs):
    match args:
        case ("hello", "en", "ru"):
            return {"text": "Привет"}
    return None


rules = MockRules({GoogleTranslateEndpoints.translate: overwrite_translate})


@pytest.mark.anyio
@patch_integration(mock_rules=rules)
async def test_mocked_translation_is_an_instance_of_its_schema():
    answer = await gtapi.translate("hello", "en", "ru")

    assert answer == GoogleTranslateEndpoints.Schema.TranslateV2(text="Привет")


@pytest.mark.anyio
async def test_real_method_runs_against_a_mocked_response(capsys):
    rules = {GoogleTranslateEndpoints.translate: respond(json=[["bonjour"], ["toi"]])}

    with patch_integration(rules):
        answer = await gtapi.translate("hello\nyou", "en", "fr")

    assert answer.text == "bonjour\ntoi"
    assert capsys.readouterr().out == (
        "Processed https://translate-pa.googleapis.com/v1/translateHtml: Status 200\n"
    )


def test_sp_needs_nothing_but_the_standard_library():
    program = """
import sys
before = set(sys.modules)
from accel_integration import sp
sp.RetryPattern(), sp.Timeout(), sp.CircuitBreaker(), sp.Throttling(), sp.Fallback(1)
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(roots - set(sys.stdlib_module_names) - {"accel_integration"}))
"""

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"
