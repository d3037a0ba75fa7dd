"""The services that this one calls."""

from app.integration.google_translate.endpoint import GoogleTranslateEndpoints

gtapi = GoogleTranslateEndpoints(
    # Nobody listens there: a test that forgets its mock fails.
    base_url="http://127.0.0.1:1",
    credentials={"API_TOKEN": "t"},
)
