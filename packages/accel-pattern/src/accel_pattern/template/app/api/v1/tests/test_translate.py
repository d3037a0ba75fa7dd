"""The integration, without the real upstream."""

from accel_pattern.testing import patch_integration

from app.integration.google_translate.mock import google_translate_mock_rules


@patch_integration(mock_rules=google_translate_mock_rules)
def test_translation(client, url_path_for):
    answer = client.get(url_path_for("translate"), params={"text": "Hello"})

    assert answer.json() == {"text": "привет"}
