"""Authentication in the form of the seed."""

import base64
import json
from urllib.parse import urljoin

import pytest

USER = {"username": "admin", "password": "admin"}


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_login_gives_a_token_with_what_the_service_adds(client):
    response = client.post("/token", data=USER)
    answer = response.json()

    assert answer["token_type"].lower() == "bearer"
    assert claims(answer["access_token"])["version"] == "Admin"
    assert response.headers["Cache-Control"] == "no-store"


def test_a_wrong_password_gives_none(client):
    response = client.post("/token", data=USER | {"password": "wrong"})

    assert response.status_code in {400, 401}
    assert "access_token" not in response.text


def test_a_protected_route_answers_whom_it_knows(client, token):
    answer = client.get("/check_protected", headers=bearer(token)).json()

    assert answer["message"] == "This is a protected route"
    assert answer["user"] == claims(token)


@pytest.mark.parametrize("headers", [{}, bearer("none"), {"Authorization": "Basic x"}])
def test_a_protected_route_refuses_anybody_else(client, headers):
    response = client.get("/check_protected", headers=headers)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_changed_token_is_refused(client, token):
    head, body, signature = token.split(".")
    changed = claims(token) | {"version": "Root"}
    body = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()

    response = client.get(
        "/check_protected", headers=bearer(f"{head}.{body}.{signature}")
    )

    assert response.status_code == 401


def test_the_token_of_another_application_is_refused(client, token):
    form = {"username": "eve", "password": "of eve"}
    foreign = client.post("/other/token", data=form).json()["access_token"]

    there = client.get("/other/cached/mine", headers=bearer(foreign))
    here = client.get("/cached/mine", headers=bearer(foreign))
    mine_there = client.get("/other/cached/mine", headers=bearer(token))

    assert there.status_code == 200
    assert here.status_code == 401
    assert mine_there.status_code == 401


def test_the_hooks_of_an_application_are_its_own(client):
    assert client.post("/other/token", data=USER).status_code in {400, 401}


def test_openapi_offers_the_login(client):
    document = client.get("/openapi.json").json()

    route = document["paths"]["/check_protected"]["get"]
    assert route["summary"] == "Check JWT authentication"
    assert route["security"]
    (scheme,) = document["components"]["securitySchemes"].values()
    url = scheme["flows"]["password"]["tokenUrl"]
    assert urljoin("http://service/docs", url) == "http://service/token"


@pytest.mark.anyio
async def test_a_service_without_a_strong_secret_does_not_start(seed):
    from fastapi import FastAPI

    app = FastAPI()
    seed("pattern.pattern_fastapi", "base_pattern")(app, secret_key="short")

    class AuthJWT(seed("auth_jwt", "BaseAuthJWT")):
        async def check_auth(username: str, password: str) -> bool:
            return False

    AuthJWT.mount_auth(app)

    with pytest.raises(Exception, match="32"):
        async with app.router.lifespan_context(app):
            pass
