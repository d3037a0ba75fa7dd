"""The page of integrations: where it is, who sees it, and who uses what."""

import pytest
from fastapi import APIRouter, HTTPException, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel

from accel_integration import (
    ApiHTTP,
    EndpointsDeclaration,
    HTTPMethod,
    IntegrationHTTP,
)
from accel_integration.testing import MockRules, patch_integration
from accel_pattern import base_pattern


class Forecast(BaseModel):
    celsius: float


class Weather(EndpointsDeclaration):
    integration = IntegrationHTTP("Weather")

    @integration.endpoint(HTTPMethod.get, "/forecast")
    async def forecast(api: ApiHTTP, place: str) -> Forecast:
        """Look into the future."""


async def sunny(api, place):
    return {"celsius": 31}


@pytest.fixture
def weather():
    return Weather(base_url="https://weather.example")


def only_staff(request: Request):
    if request.headers.get("x-staff") != "yes":
        raise HTTPException(403)


@pytest.mark.parametrize("path", ["/docintegration", "/docintegration/"])
def test_it_is_found_with_and_without_a_slash(app, weather, path):
    base_pattern(app, useintegration=[weather])

    with TestClient(app) as client:
        page = client.get(path)
        style = client.get("/docintegration/docintegration.css")

    assert "Look into the future" in page.text
    assert style.headers["content-type"].startswith("text/css")


def test_it_works_under_a_root_path(app, weather):
    base_pattern(app, useintegration=[weather])

    with TestClient(app, root_path="/shop") as client:
        page = client.get("/shop/docintegration")

    assert "/shop/docintegration/docintegration.css" in page.text


def test_it_is_off_where_it_is_not_wanted(app, weather):
    base_pattern(app, useintegration=[weather], docintegration=False)

    with TestClient(app) as client:
        assert client.get("/docintegration").status_code == 404


@pytest.mark.parametrize("part", ["", "/", "/state.json", "/openapi/weather.json"])
def test_a_dependency_guards_all_of_it(app, weather, part):
    base_pattern(app, useintegration=[weather], docintegration=only_staff)

    with TestClient(app) as client:
        stranger = client.get(f"/docintegration{part}")
        staff = client.get(f"/docintegration{part}", headers={"x-staff": "yes"})

    assert (stranger.status_code, staff.status_code) == (403, 200)
    assert "Weather" not in stranger.text


def test_it_stays_out_of_the_documentation_of_the_api(app, weather):
    base_pattern(app, useintegration=[weather])

    assert not [path for path in app.openapi()["paths"] if "docintegration" in path]


def test_it_names_the_routes_that_use_an_endpoint(app, weather):
    inner, router = APIRouter(prefix="/places"), APIRouter(prefix="/api")

    @inner.get("/{place}/weather")
    async def ask(place: str) -> Forecast:
        return await weather.forecast(place)

    router.include_router(inner)
    base_pattern(app, (router,), useintegration=[weather])

    with (
        patch_integration(mock_rules=MockRules({Weather.forecast: sunny})),
        TestClient(app) as client,
    ):
        assert client.get("/api/places/Tbilisi/weather").json() == {"celsius": 31}
        page = client.get("/docintegration").text

    assert "GET /api/places/{place}/weather" in page
