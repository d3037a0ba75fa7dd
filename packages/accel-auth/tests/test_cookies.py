"""Tokens in cookies, and requests that other sites send with them."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from accel_auth import CookieTransport

HEADER = "X-CSRF-Token"


@pytest.fixture
def site(make_service):
    return make_service(cookies=CookieTransport())


@pytest.fixture
def logged_in(site):
    site.csrf = site.log_in().json()["csrf_token"]
    return site


def test_tokens_are_in_hidden_cookies_and_not_in_the_body(site):
    response = site.log_in()

    assert response.json().keys() == {"token_type", "expires_in", "scope", "csrf_token"}
    cookies = {c.partition("=")[0]: c for c in response.headers.get_list("set-cookie")}
    assert cookies.keys() == {
        "__Host-access_token",
        "__Secure-refresh_token",
        "__Host-csrf_token",
    }
    assert all("Secure" in c and "SameSite=lax" in c for c in cookies.values())
    hidden = {name for name, cookie in cookies.items() if "HttpOnly" in cookie}
    assert hidden == {"__Host-access_token", "__Secure-refresh_token"}
    assert "Path=/token" in cookies["__Secure-refresh_token"]
    assert "Domain" not in "".join(cookies.values())


def test_a_safe_request_needs_the_cookie_alone(logged_in):
    assert logged_in.client.get("/me").json()["sub"] == "admin"


def test_an_unsafe_request_needs_the_proof(logged_in):
    bare = logged_in.client.post("/write")
    proven = logged_in.client.post("/write", headers={HEADER: logged_in.csrf})

    assert bare.status_code == 403
    assert "`X-CSRF-Token`" in bare.json()["detail"]
    assert proven.status_code == 200


@pytest.mark.parametrize("proof", ["", "wrong", "\u00fc"])
def test_a_wrong_proof_is_refused(logged_in, proof):
    headers = {HEADER: proof.encode()}

    assert logged_in.client.post("/write", headers=headers).status_code == 403


def test_a_refused_request_is_an_audit_event(logged_in):
    seen = []
    logged_in.auth.subscribe(seen.append)

    logged_in.client.post("/write")
    logged_in.client.post("/token", headers={"Sec-Fetch-Site": "cross-site"})

    assert [(e.name, e.username) for e in seen] == [
        ("csrf_rejected", "admin"),
        ("csrf_rejected", None),
    ]


def test_a_planted_cookie_is_no_proof(logged_in):
    """A plain double submit would accept whatever pair a sibling domain plants."""
    logged_in.client.cookies.set("__Host-csrf_token", "planted")

    response = logged_in.client.post("/write", headers={HEADER: "planted"})

    assert response.status_code == 403


def test_the_proof_of_another_session_is_refused(logged_in):
    old = logged_in.csrf
    logged_in.log_in()

    response = logged_in.client.post("/write", headers={HEADER: old})

    assert response.status_code == 403


def test_refreshing_by_cookie_needs_the_proof_and_renews_it(logged_in):
    form = {"grant_type": "refresh_token"}
    bare = logged_in.client.post("/token", data=form)
    proof = {HEADER: logged_in.csrf}
    fresh = logged_in.client.post("/token", data=form, headers=proof)

    assert (bare.status_code, fresh.status_code) == (403, 200)
    newer = {HEADER: fresh.json()["csrf_token"]}
    assert newer != proof
    assert logged_in.client.post("/write", headers=proof).status_code == 403
    assert logged_in.client.post("/write", headers=newer).status_code == 200


def test_logout_by_cookie_needs_the_proof_and_clears_all(logged_in):
    token = logged_in.client.cookies["__Host-access_token"]
    bare = logged_in.client.post("/token/revoke")
    done = logged_in.client.post("/token/revoke", headers={HEADER: logged_in.csrf})

    assert (bare.status_code, done.status_code) == (403, 200)
    assert not logged_in.client.cookies
    assert logged_in.me(token).status_code == 401


def test_another_site_can_not_clear_the_cookies(logged_in):
    response = logged_in.client.post(
        "/token/revoke",
        data={"token": "junk"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert response.status_code == 403
    assert "set-cookie" not in response.headers


def test_two_tabs_that_refresh_at_once_hold_one_proof(logged_in):
    cookies = dict(logged_in.client.cookies)
    form, proof = {"grant_type": "refresh_token"}, {HEADER: logged_in.csrf}

    proofs = []
    for _ in range(2):
        logged_in.client.cookies.clear()
        logged_in.client.cookies.update(cookies)
        answer = logged_in.client.post("/token", data=form, headers=proof)
        proofs.append(answer.json()["csrf_token"])

    assert proofs[0] == proofs[1] != logged_in.csrf
    for proof in proofs:
        answer = logged_in.client.post("/write", headers={HEADER: proof})
        assert answer.status_code == 200


def test_the_refresh_cookie_comes_back_below_where_the_app_is_mounted(site):
    outer = FastAPI()
    outer.mount("/shop", site.app)
    with TestClient(outer, base_url="https://testserver") as browser:
        form = {"username": "admin", "password": "admin-pw"}
        login = browser.post("/shop/token", data=form)
        proof = {HEADER: login.json()["csrf_token"]}

        form = {"grant_type": "refresh_token"}
        fresh = browser.post("/shop/token", data=form, headers=proof)
        proof = {HEADER: fresh.json()["csrf_token"]}
        browser.post("/shop/token/revoke", headers=proof)

        assert fresh.status_code == 200
        assert not browser.cookies


def test_a_bearer_token_needs_no_proof(logged_in):
    token = logged_in.client.cookies["__Host-access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    assert logged_in.client.post("/write", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_site_can_not_log_its_visitors_in(site, headers):
    form = {"username": "admin", "password": "admin-pw"}

    response = site.client.post("/token", data=form, headers=headers)

    assert response.status_code == 403
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://testserver"}, {"Sec-Fetch-Site": "same-origin"}]
)
def test_the_own_pages_log_in(site, headers):
    form = {"username": "admin", "password": "admin-pw"}

    assert site.client.post("/token", data=form, headers=headers).status_code == 200


def test_a_broken_refresh_cookie_is_an_invalid_grant(site):
    site.client.cookies.set("__Secure-refresh_token", "junk")

    response = site.client.post("/token", data={"grant_type": "refresh_token"})

    assert response.status_code == 400


def test_without_any_token_the_field_is_missing(site):
    response = site.client.post("/token", data={"grant_type": "refresh_token"})

    assert response.status_code == 422
    assert "`refresh_token` is missing" in response.json()["detail"]


def test_a_service_without_the_option_reads_no_cookie(service):
    token = service.log_in().json()["access_token"]
    service.client.cookies.set("__Host-access_token", token)

    assert service.client.get("/me").status_code == 401


def test_plain_http_in_development_drops_the_prefixes(make_service):
    site = make_service(cookies=CookieTransport(secure=False))

    cookies = site.log_in().headers.get_list("set-cookie")

    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "access_token",
        "refresh_token",
        "csrf_token",
    ]
    assert not any("Secure" in cookie for cookie in cookies)


def test_a_websocket_takes_a_header_but_no_cookie(logged_in):
    from typing import Annotated

    from fastapi import Depends, WebSocket
    from starlette.websockets import WebSocketDisconnect

    from accel_auth import jwt_auth

    @logged_in.app.websocket("/ws")
    async def echo(socket: WebSocket, claims: Annotated[dict, Depends(jwt_auth)]):
        await socket.accept()
        await socket.send_text(claims["sub"])
        await socket.close()

    token = logged_in.client.cookies["__Host-access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    with logged_in.client.websocket_connect("/ws", headers=headers) as socket:
        assert socket.receive_text() == "admin"
    cookie = {"Cookie": f"__Host-access_token={token}"}
    with (
        pytest.raises(WebSocketDisconnect),
        logged_in.client.websocket_connect("/ws", headers=cookie),
    ):
        pass
