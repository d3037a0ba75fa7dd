"""Pages and the state of the service."""

import pytest


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/docintegration", "/healthcheck", "/readyz"]
)
def test_page_is_there(client, path):
    assert client.get(path).status_code == 200


def test_admin_panel_asks_who_it_is(client):
    answer = client.get("/admin/", follow_redirects=True)

    assert answer.url.path.endswith("/login")
    assert "csrf_token" in answer.text
