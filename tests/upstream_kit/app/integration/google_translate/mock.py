"""Answers in place of the translator's."""

from app.integration.google_translate.endpoint import GoogleTranslateEndpoints
from fastapi_accelerator.integration.http_integration import ApiHTTP
from fastapi_accelerator.testutils.fixture_integration import MockRules


async def overwrite_translate(api: ApiHTTP, *args, **kwargs):
    match args:
        case ("Hello", "en", "ru"):
            return {"text": "Привет"}
    return None


google_translate_mock_rules = MockRules(
    {GoogleTranslateEndpoints.translate: overwrite_translate}
)
