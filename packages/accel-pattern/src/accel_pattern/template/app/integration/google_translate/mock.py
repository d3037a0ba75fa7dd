"""Answers for tests, in place of Google's."""

from accel_integration import ApiHTTP
from accel_integration.testing import MockRules

from app.integration.google_translate.endpoint import GoogleTranslateEndpoints


async def overwrite_translate(
    api: ApiHTTP,
    text: str,
    from_lang: str,
    to_lang: str,
) -> dict[str, str]:
    """Translate the little that the tests ask for."""
    known = {("hello", "ru"): "привет"}
    return {"text": known.get((text.lower(), to_lang), text)}


google_translate_mock_rules = MockRules(
    {GoogleTranslateEndpoints.translate: overwrite_translate}
)
