"""What `base_pattern` gives a service: state, errors, health, time, documents."""

import re
import uuid
from datetime import datetime, timedelta

import httpx2
import pytest


def test_health_tells_the_version_of_the_file(client):
    response = client.get("/healthcheck")

    assert response.json() == {"status": True, "version": "1.2.3"}


def test_each_response_tells_its_time_and_its_name(client):
    response = client.get("/healthcheck", headers={"X-Request-ID": "abc"})

    assert re.fullmatch(r"\d+\.\d\d ms", response.headers["X-Process-Time"])
    assert response.headers["X-Request-ID"] == "abc"


def test_a_friendly_origin_may_read(client):
    headers = {"Origin": "https://shop.example"}

    response = client.get("/healthcheck", headers=headers)

    assert response.headers["Access-Control-Allow-Origin"] == headers["Origin"]
    assert response.headers["Access-Control-Allow-Credentials"] == "true"


def test_a_strange_origin_may_not(client):
    response = client.get("/healthcheck", headers={"Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("path", "status"), [("/forbidden/", 403), ("/nowhere", 404), ("/broken", 500)]
)
def test_errors_are_problem_documents(service, path, status):
    # After a crash the server closes the connection: it is not for others.
    response = httpx2.get(service.url + path)
    problem = response.json()

    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem.keys() == {
        *("type", "title", "status", "detail", "instance"),
        *("context", "error_id", "datetime", "http_method", "request_path"),
    }
    assert problem["instance"] == f"urn:uuid:{uuid.UUID(problem['error_id'])}"
    assert (problem["http_method"], problem["request_path"]) == ("GET", path)
    assert datetime.fromisoformat(problem["datetime"]).utcoffset() == timedelta(hours=3)


def test_a_crash_keeps_its_reason_to_itself(service):
    assert "secret of this error" not in httpx2.get(f"{service.url}/broken").text


@pytest.mark.parametrize("option", [1, 2, 3, 4])
def test_the_time_is_that_of_the_zone(client, option):
    now = datetime.fromisoformat(client.get(f"/time/{option}").json())

    assert now.utcoffset() == timedelta(hours=3)
    # A zone that is wrong is off by hours; a clock that is set meanwhile is not.
    assert abs(datetime.now(now.tzinfo) - now) < timedelta(minutes=30)


@pytest.mark.parametrize("option", [1, 4])
def test_another_application_has_its_own_zone(client, option):
    now = datetime.fromisoformat(client.get(f"/other/time/{option}").json())

    assert now.utcoffset() in {timedelta(hours=-5), timedelta(hours=-4)}


def test_outside_of_a_request_there_is_no_zone(seed):
    assert not seed("timezone", "TIMEZONE")()


def test_the_state_has_the_names_of_the_seed(client):
    told = client.get("/state").json()

    assert told == {
        "TIMEZONE": "Europe/Moscow",
        "CACHE_STATUS": True,
        "DATABASE_MANAGER": True,
        "SECRET_KEY": True,
        "debug": False,
    }


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documents_need_no_other_host(client, path):
    page = client.get(path).text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert "://" not in "".join(links)
    assert links
    for link in links:
        assert client.get(link).status_code == 200, link


def test_docintegration_describes_each_integration(client):
    page = client.get("/docintegration", follow_redirects=True)

    assert page.status_code == 200
    for text in (
        "Integration Name",
        "Google Translate",
        "Integration with Google Translate API",
        "/v1/translateHtml",
        "https://cloud.google.com/translate/docs/reference/rest",
        "Translate text using Google Translate",
        "TranslateV2",
        "http400",
        "method_name",
    ):
        assert text in page.text


def test_docintegration_keeps_secrets(client, service):
    assert service.env["UPSTREAM_TOKEN"] not in client.get("/docintegration").text
