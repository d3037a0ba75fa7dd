"""The seed's own snippets, unchanged."""

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from accel_auth import BaseAuthJWT, jwt_auth

SECRET = "a-secret-of-this-test-that-is-long-enough"


class AuthJWT(BaseAuthJWT):
    async def check_auth(username: str, password: str) -> bool:
        """Check the entered login and password."""
        return username == "admin" and password == "admin"

    async def add_jwt_body(username: str) -> dict:
        """Function to add additional data to the user's JWT token"""
        return {"version": username.title()}


def seed_app(secret=SECRET):
    app = FastAPI()
    AuthJWT.mount_auth(app)

    @app.get("/check_protected", summary="Check JWT authentication")
    async def protected_route(jwt: dict = Depends(jwt_auth)):  # noqa: B008, FAST002 -- the seed's form
        return {"message": "This is a protected route", "user": jwt}

    app.state.SECRET_KEY = secret
    return app


@pytest.fixture
def client():
    with TestClient(seed_app()) as client:
        yield client


def log_in(client, username="admin", password="admin"):
    return client.post("/token", data={"username": username, "password": password})


def test_logs_in_and_reaches_the_protected_route(client):
    token = log_in(client).json()["access_token"]

    response = client.get(
        "/check_protected", headers={"Authorization": f"Bearer {token}"}
    )

    assert response.status_code == 200
    user = response.json()["user"]
    assert response.json()["message"] == "This is a protected route"
    assert user["sub"] == "admin"
    assert user["version"] == "Admin"
    assert {"exp", "iat", "jti", "sid"} <= user.keys()


def test_answers_a_pair_of_tokens(client):
    response = log_in(client)

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert body["token_type"] == "bearer"
    assert 1795 <= body["expires_in"] <= 1800


@pytest.mark.parametrize("pair", [("admin", "wrong"), ("nobody", "admin")])
def test_refuses_wrong_credentials_alike(client, pair):
    response = log_in(client, *pair)

    assert response.status_code == 401
    assert response.json() == {
        "error": "invalid_grant",
        "error_description": "Invalid credentials",
        "detail": "Invalid credentials",
    }
    assert response.headers["www-authenticate"] == 'Bearer realm="api"'


def test_refuses_a_request_without_a_token(client):
    response = client.get("/check_protected")

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="api"'
    assert "POST /token" in response.json()["detail"]
