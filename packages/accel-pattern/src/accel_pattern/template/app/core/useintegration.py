"""Integrations used in the project."""

from app.core.config import TRANSLATE_TOKEN, TRANSLATE_URL
from app.integration.google_translate.endpoint import GoogleTranslateEndpoints

gtapi = GoogleTranslateEndpoints(
    base_url=TRANSLATE_URL,
    credentials={"API_TOKEN": TRANSLATE_TOKEN},
)
